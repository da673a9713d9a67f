-- continue_list: go on with the list of a kind that is being read, or begin it.
--
-- One of each kind is open, by a unique key.
-- Locks: the open read, so that its last page is not taken meanwhile.

create or replace function payout.continue_list(p_kind text, p_worker text)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_read payout.stripe_reads;
    v_newest_counts_for interval := (
        select e.comparison_counts_for / 2 from payout.engine_settings as e);
begin
    -- Another worker may finish it, or begin it first: hence a loop.
    loop
        select * into v_read
        from payout.stripe_reads as r
        where r.kind = p_kind and r.kind in ('newest', 'events', 'comparison')
            and r.finished_at is null and r.abandoned_at is null
        for update;
        exit when case p_kind
            when 'newest' then payout.is_current(v_read, v_newest_counts_for)
            else payout.is_of_this_database(v_read)
        end;
        update payout.stripe_reads as r
        set abandoned_at = payout.clock()
        where r.read_id = v_read.read_id;
        perform payout.begin_list(p_kind, p_worker);
    end loop;
    return v_read.read_id;
end
$$;
comment on function payout.continue_list(text, text) is
    'Returns the one open read of the kind; abandons one that no longer counts.';
