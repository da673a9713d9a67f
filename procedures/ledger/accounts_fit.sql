-- accounts_fit: which account each kind of movement debits and which it credits.
--
-- A function, not a check spelled out in the table: Postgres reads the text of
-- a check anew for each statement, which cost more than the insert itself.

create or replace function payout.accounts_fit(
    p_kind text, p_debit_account text, p_credit_account text
)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return case p_kind
        when 'obligation' then
            p_debit_account = 'settlement_funds' and p_credit_account like 'payable:_%'
        when 'reserve' then p_debit_account like 'payable:_%' and p_credit_account = 'in_flight'
        when 'paid' then p_debit_account = 'in_flight' and p_credit_account = 'stripe_balance'
        when 'release' then p_debit_account = 'in_flight' and p_credit_account like 'payable:_%'
        when 'reversal' then
            p_debit_account = 'stripe_balance' and p_credit_account like 'payable:_%'
        else false
    end;
end
$$;
comment on function payout.accounts_fit(text, text, text) is
    'True when a ledger entry of this kind moves money between the accounts that it should.';
