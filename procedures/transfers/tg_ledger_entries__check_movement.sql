-- tg_ledger_entries__check_movement: the rules of a row of ledger_entries.
--
-- The movements stand in branches by kind: PL/pgSQL prepares only the expressions that it
-- reaches.
-- Raises: 23514 with the name of the first rule that is broken.

create or replace function payout.tg_ledger_entries__check_movement()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_exists boolean := false;
begin
    if new.kind = 'obligation' then
        v_exists := new.debit_account = 'settlement_funds'
            and new.credit_account like 'payable:_%' and new.generation = 1;
    elsif new.kind = 'reserve' then
        v_exists := new.debit_account like 'payable:_%' and new.credit_account = 'in_flight';
    elsif new.kind = 'paid' then
        v_exists := new.debit_account = 'in_flight' and new.credit_account = 'stripe_balance';
    elsif new.kind = 'release' then
        v_exists := new.debit_account = 'in_flight' and new.credit_account like 'payable:_%';
    elsif new.kind = 'reversal' then
        v_exists := new.debit_account = 'stripe_balance'
            and new.credit_account like 'payable:_%'
            and new.stripe_reversal_id is not null;
    elsif new.kind in ('cancel', 'settle_outside') then
        v_exists := (new.debit_account = 'in_flight' or new.debit_account like 'payable:_%')
            and new.credit_account = case new.kind
                when 'cancel' then 'settlement_funds' else 'paid_outside' end;
    elsif new.kind = 'write_off' then
        v_exists := new.debit_account like 'payable:_%'
            and new.credit_account = 'settlement_funds';
    end if;
    if not v_exists or new.amount_minor <= 0
        or (new.stripe_reversal_id is not null and new.kind <> 'reversal')
        or (new.operator_action_id is not null)
            <> (new.kind in ('cancel', 'settle_outside', 'write_off')) then
        perform payout.refuse_bad_row('ledger_entries', case
            when new.amount_minor <= 0 then 'amount_is_positive'
            when new.kind = 'obligation' and new.generation <> 1
                then 'obligation_is_of_the_first_generation'
            else 'movement_exists'
        end);
    end if;
    return new;
end
$$;
comment on function payout.tg_ledger_entries__check_movement() is
    'Trigger: the amount is above 0, the accounts are those of the kind, only reversals name a '
    'reversal, and only what an operator ordered names the act (23514).';
