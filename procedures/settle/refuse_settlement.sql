-- refuse_settlement: refuse a settlement that cannot be paid out, and say why.
--
-- Raises: SP301, SP303, SP305, SP306, SP308 it cannot be paid out as it is; SP402 it can by now.

create or replace function payout.refuse_settlement(p_settlement payout.settlements)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_wrong record;
begin
    select * into strict v_wrong from payout.settlement_problem(p_settlement);
    raise exception 'settlement %', p_settlement.settlement_id || v_wrong.problem
        using errcode = v_wrong.code, hint = v_wrong.hint;
end
$$;
comment on function payout.refuse_settlement(payout.settlements) is
    'Raises the error of the first thing that is wrong with a settlement.';
