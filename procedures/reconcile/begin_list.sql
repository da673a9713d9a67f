-- begin_list: begin to read all transfers, the newest, or events, where the last read ended.
--
-- Our own clock bounds no list, as it may be wrong: the newest time that Stripe showed in the
-- last read does, less a day; of the newest, less an hour. Without one the whole list is read: a
-- restored database has forgotten transfers, and Stripe keeps events for 30 days.
-- Safe to repeat, also by several workers at once: one read of a kind is open.

create or replace function payout.begin_list(p_kind text, p_worker text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := payout.clock();
    v_last payout.stripe_reads := payout.newest_read(p_kind);
    v_overlap interval := case p_kind
        when 'newest' then interval '1 hour' else interval '1 day' end;
    v_books_from timestamptz;
    v_query jsonb := case p_kind
        when 'events' then '{"types": ["transfer.reversed"]}'::jsonb else '{}'::jsonb end;
begin
    -- A rule that has ended may have hidden any of them.
    if v_last.newest_created_at is not null and not exists (
        select from payout.not_ours_rules as r
        where p_kind = 'comparison' and r.ended_at > v_last.begun_at
    ) then
        v_query := v_query || jsonb_build_object('created', jsonb_build_object('gte', greatest(0,
            floor(extract(epoch from v_last.newest_created_at - v_overlap)))));
    end if;
    if p_kind = 'comparison' then
        v_books_from := coalesce(v_last.begun_at - interval '1 day', to_timestamp(0));
    end if;

    insert into payout.stripe_reads (
        kind, path, queries, next_parameters, worker, begun_at, books_from, adoption_id,
        newest_created_at, objects_expected)
    values (
        p_kind, case p_kind when 'events' then '/v1/events' else '/v1/transfers' end,
        jsonb_build_array(v_query), v_query, p_worker, v_now, v_books_from,
        (select max(o.adoption_id) from payout.adoptions as o), v_last.newest_created_at, (
            select count(*)
            from (
                -- Kept apart by the offset, so that it is read by its ids.
                select l.* from payout.ledger_entries as l
                where l.ledger_entry_id >= payout.first_entry_id(v_books_from)
                offset 0
            ) as e
            where e.kind = 'paid' and e.created_at >= v_books_from and e.created_at < v_now))
    on conflict do nothing;
end
$$;
comment on function payout.begin_list(text, text) is
    'Begins a read, unless one is open.';
