-- continue_list: go on with the list of a kind that is being read, or begin it.
--
-- Called by: claim_reads. One of each kind is open, by a unique key.
-- Locks: the open read, so that its last page is not taken meanwhile.

create or replace function payout.continue_list(p_kind text, p_worker text)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_read_id bigint;
begin
    -- Another worker may finish it, or begin it first: hence a loop.
    loop
        update payout.stripe_reads as r
        set abandoned_at = payout.clock()
        from payout.engine_settings as e
        where r.kind = p_kind and r.kind in ('newest', 'events', 'comparison')
            and r.finished_at is null and r.abandoned_at is null
            and not case p_kind
                when 'newest' then payout.is_current(r, e.comparison_counts_for / 2)
                else payout.is_of_this_database(r)
            end;
        select r.read_id into v_read_id
        from payout.stripe_reads as r
        where r.kind = p_kind and r.kind in ('newest', 'events', 'comparison')
            and r.finished_at is null and r.abandoned_at is null
        for update;
        exit when found;
        perform payout.begin_list(p_kind, p_worker);
    end loop;
    return v_read_id;
end
$$;
comment on function payout.continue_list(text, text) is
    'Returns the one open read of the kind; abandons one that no longer counts.';
