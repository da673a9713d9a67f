-- refuse_bad_settlement: name the reason why a settlement cannot be paid out as it stands.
--
-- Called by: functions that make its transfers, if these do not come to its total.
-- Raises: SP305, SP308 header; SP303 total; SP301, SP302 payees; SP304, SP306 amounts; SP402 the
-- reason is gone by now, as when a payee was registered meanwhile.

create or replace function payout.refuse_bad_settlement(
    p_settlement payout.settlements, p_made_minor bigint
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform payout.refuse_bad_header(p_settlement);
    perform payout.refuse_bad_total(p_settlement);
    perform payout.refuse_bad_payees(p_settlement.settlement_id);
    perform payout.refuse_bad_amounts(p_settlement.settlement_id, p_settlement.currency);
    if p_made_minor is distinct from p_settlement.total_minor then
        raise exception 'settlement %: payees or currencies changed while it was scheduled',
            p_settlement.settlement_id
            using
                errcode = 'SP402',
                hint = 'Repeat the transaction.';
    end if;
end
$$;
comment on function payout.refuse_bad_settlement(payout.settlements, bigint) is
    'Refuses a settlement that cannot be paid out as it stands (SP301 to SP306, SP308), or of '
    'which another sum than its total can (SP402).';
