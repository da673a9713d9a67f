-- entry_fits: the rules of a row of ledger_entries.
--
-- The movements that exist, by kind: PL/pgSQL prepares only what it comes to.
-- Raises: 23514 with the name of the first rule that is broken.

create or replace function payout.entry_fits(p_entry payout.ledger_entries)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_exists boolean := false;
begin
    if p_entry.kind = 'obligation' then
        v_exists := p_entry.debit_account = 'settlement_funds'
            and p_entry.credit_account like 'payable:_%' and p_entry.generation = 1;
    elsif p_entry.kind = 'reserve' then
        v_exists := p_entry.debit_account like 'payable:_%'
            and p_entry.credit_account = 'in_flight';
    elsif p_entry.kind = 'paid' then
        v_exists := p_entry.debit_account = 'in_flight'
            and p_entry.credit_account = 'stripe_balance';
    elsif p_entry.kind = 'release' then
        v_exists := p_entry.debit_account = 'in_flight'
            and p_entry.credit_account like 'payable:_%';
    elsif p_entry.kind = 'reversal' then
        v_exists := p_entry.debit_account = 'stripe_balance'
            and p_entry.credit_account like 'payable:_%'
            and p_entry.stripe_reversal_id is not null;
    end if;
    if v_exists and p_entry.amount_minor > 0
        and (p_entry.stripe_reversal_id is null or p_entry.kind = 'reversal') then
        return true;
    end if;
    return payout.refuse_row('ledger_entries', case
        when p_entry.amount_minor <= 0 then 'amount_is_positive'
        when p_entry.kind = 'obligation' and p_entry.generation <> 1
            then 'obligation_is_of_the_first_generation'
        when not v_exists or p_entry.stripe_reversal_id is not null then 'movement_exists'
    end);
end
$$;
comment on function payout.entry_fits(payout.ledger_entries) is
    'Check: amount > 0, the accounts are those of the kind, only reversals name a reversal.';
