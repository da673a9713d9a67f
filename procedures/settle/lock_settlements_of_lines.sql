-- lock_settlements_of_lines: lock settlements whose lines change, until the transaction ends.
--
-- A settlement that is pending and of another transaction is also written: a completion with an
-- older snapshot fails (40001) instead of missing the lines.
-- Locks: the rows of the settlements, in the order of their ids.
-- Raises: SP310 there is no such settlement, unless its lines are deleted with it.

create or replace function payout.lock_settlements_of_lines(
    p_settlement_ids text[], p_must_exist boolean
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_found_ids text[] := array(
        select s.settlement_id::text
        from payout.settlements as s
        where s.settlement_id = any (p_settlement_ids)
        order by s.settlement_id
        for no key update);
begin
    if p_must_exist and cardinality(v_found_ids) < cardinality(p_settlement_ids) then
        raise exception 'settlement % does not exist',
            (select min(i) from unnest(p_settlement_ids) as i where i <> all (v_found_ids))
            using
                errcode = 'SP310',
                detail = 'A line needs its settlement, which this transaction does not see.',
                hint = 'Insert a settlement before its lines, or in the same statement.',
                schema = 'payout',
                table = 'settlement_lines';
    end if;

    update payout.settlements as s
    set state = s.state
    where s.settlement_id = any (v_found_ids)
        and s.state = 'pending'
        and s.xmin <> pg_current_xact_id()::xid;
end
$$;
comment on function payout.lock_settlements_of_lines(text[], boolean) is
    'Locks the settlements of changed lines against completion; refuses lines of none (SP310).';
