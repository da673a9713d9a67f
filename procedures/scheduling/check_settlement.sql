-- check_settlement: whether a complete settlement can be paid out as it stands.
--
-- One look at the lines; only when something is wrong do the refuse functions
-- look again to say what.
-- Raises: SP305 currency; SP308 metadata; SP303 the lines do not add up; SP301,
-- SP302 payees; SP304, SP306 amounts.

create or replace function payout.check_settlement(p_settlement payout.settlements)
returns integer
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_lines_minor numeric;
    v_transfers integer;
    v_has_problem boolean;
begin
    select
        sum(o.amount_minor), count(*)::integer,
        bool_or(
            o.amount_minor > c.largest_amount_minor
            or o.amount_minor % c.amount_step <> 0
            or not exists (
                select from payout.payee_accounts as a where a.payee_id = o.payee_id
            ))
    into v_lines_minor, v_transfers, v_has_problem
    from (
        select l.payee_id, sum(l.amount_minor) as amount_minor
        from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id
        group by l.payee_id, l.source_transaction
    ) as o
    join payout.currencies as c on c.currency = p_settlement.currency;

    if v_has_problem is not false
        or v_lines_minor is distinct from p_settlement.total_minor
        or p_settlement.metadata <> '{}' then
        perform payout.refuse_bad_header(p_settlement);
        perform payout.refuse_bad_total(p_settlement);
        perform payout.refuse_bad_payees(p_settlement.settlement_id);
        perform payout.refuse_bad_amounts(p_settlement.settlement_id, p_settlement.currency);
    end if;
    return v_transfers;
end
$$;
comment on function payout.check_settlement(payout.settlements) is
    'Refuses a settlement that cannot be paid out (SP301 to SP306, SP308); returns how many '
    'transfers it makes.';
