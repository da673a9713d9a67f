-- begin_lookups: begin a look-up for each parked transfer that is due for one.
--
-- Called by: claim_reads.
-- Locks: the transfers' progress rows, skipping those that are locked.

create or replace function payout.begin_lookups(p_worker text, p_limit integer)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := payout.clock();
    v_ids bigint[];
begin
    with due as (
        select s.payout_transfer_id
        from payout.transfer_states as s
        where s.next_lookup_at <= v_now and payout.progress_problem(s) is null
        order by s.next_lookup_at
        limit p_limit
        for update skip locked
    ), moved as (
        update payout.transfer_states as s
        set next_lookup_at = v_now + interval '10 minutes'
        from due as d
        where s.payout_transfer_id = d.payout_transfer_id
        returning s.payout_transfer_id
    ), begun as (
        insert into payout.stripe_reads (
            kind, path, queries, next_parameters, payout_transfer_id, worker, begun_at,
            adoption_id)
        select 'lookup', '/v1/transfers', q.queries, q.queries -> 0, t.payout_transfer_id,
            p_worker, v_now, (select max(a.adoption_id) from payout.adoptions as a)
        from moved as m
        join payout.payout_transfers as t on t.payout_transfer_id = m.payout_transfer_id
        cross join lateral payout.lookup_queries(t) as q (queries)
        returning read_id
    )
    select coalesce(array_agg(b.read_id order by b.read_id), '{}') into v_ids from begun as b;
    return v_ids;
end
$$;
comment on function payout.begin_lookups(text, integer) is
    'Begins up to p_limit look-ups and returns their reads.';
