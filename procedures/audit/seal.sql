-- seal: close rows that can no longer change, so that a later change shows.
--
-- Each sweep calls it. It seals at most once a minute; a call in between returns 0.
-- Locks: the rows of seal_marks, skipping them while another call has them.
-- Raises: SP311 a limit below 1.

create or replace function payout_api.seal(p_limit integer default 10000)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set plan_cache_mode = force_custom_plan
as $$
declare
    v_now timestamptz := payout.clock();
    v_mark payout.seal_marks;
    v_sealed integer := 0;
begin
    if p_limit is null or p_limit < 1 then
        raise exception 'seal of % rows', coalesce(p_limit::text, 'null')
            using
                errcode = 'SP311',
                hint = 'Give a limit of at least 1, or none.';
    end if;

    -- The first mark is the lock: there is one chain, hence one sealer at a time.
    perform
    from payout.seal_marks as m
    where m.table_name = (select min(f.table_name) from payout.seal_marks as f)
        and exists (
            select from payout.seal_marks as d
            where d.marked_at <= v_now - interval '1 minute' or d.marked_at > v_now
        )
    for update skip locked;
    if not found then
        return 0;
    end if;

    for v_mark in
        select m.*
        from payout.seal_marks as m
        where m.marked_at <= v_now - interval '1 minute' or m.marked_at > v_now
        order by m.table_name
    loop
        begin
            v_sealed := v_sealed + payout.seal_up_to_mark(v_mark, v_now, p_limit);
        exception
            when integrity_constraint_violation or data_exception
                or sqlstate 'SP103' or sqlstate 'SP201' then
                -- The other tables, and the sweep, go on; the doctor tells of seals that are late.
                raise log 'payout: % cannot be sealed: %', v_mark.table_name, sqlerrm;
        end;
    end loop;
    return v_sealed;
end
$$;
comment on function payout_api.seal(integer) is
    'Seals rows of payout_api.sealed_rows that no new row can precede, about p_limit of each '
    'table; returns how many. Safe to repeat.';
grant execute on function payout_api.seal(integer) to payout_worker, payout_operator;
