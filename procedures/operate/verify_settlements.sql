-- verify_settlements: whether settlements are scheduled, and paid as their lines say.
--
-- Called by: operators, auditors; after a restore, or when the doctor names a guard. It reads the
-- settlements from p_from to p_to, in the order of their ids, with their lines, jobs and transfers,
-- and says after each step of ten thousand how far it is: that id is where to go on.

create or replace function payout_api.verify_settlements(
    p_from text default null, p_to text default null
)
returns table (check_name text, detail text, hint text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_from text := coalesce(p_from, '');
    v_to text;
    v_last text;
    v_rows bigint;
    v_found bigint := 0::bigint;
begin
    loop
        -- Text has no successor that could be computed: the next id is looked up.
        select min(n.settlement_id), coalesce(p_to, max(n.settlement_id)) into v_from, v_last
        from (
            select s.settlement_id from payout.settlements as s
            union all
            select l.settlement_id from payout.settlement_lines as l
            union all
            select j.settlement_id from payout.payout_jobs as j
            union all
            select t.settlement_id from payout.payout_transfers as t
        ) as n
        where n.settlement_id >= v_from and n.settlement_id is distinct from v_to;
        exit when (v_from <= v_last) is not true;
        if v_to is not null then
            raise notice 'settlements up to % are verified, of %; % found', v_to, v_last, v_found;
        end if;
        v_to := coalesce((
            select s.settlement_id
            from payout.settlements as s
            where s.settlement_id between v_from and v_last
            order by s.settlement_id
            offset 9999
            limit 1), v_last);
        return query select * from payout.check_settlements(v_from, v_to);
        get diagnostics v_rows = row_count;
        v_found := v_found + v_rows;
        v_from := v_to;
    end loop;
end
$$;
comment on function payout_api.verify_settlements(text, text) is
    'One row for each settlement from p_from to p_to, by id (null: from the first, to the last), '
    'that is not scheduled to the last line, or has a secret in its metadata, and for each line '
    'and job without a settlement. None: all is well.';
grant execute on function payout_api.verify_settlements(text, text)
    to payout_operator, payout_auditor;
