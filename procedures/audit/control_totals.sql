-- control_totals: what was booked on each general account, those of all payees together.
--
-- Views call it, hence all who may read them.

create or replace function payout_api.control_totals()
returns table (
    account text,
    currency payout.currency_code,
    debit_minor numeric,
    credit_minor numeric,
    debits bigint,
    credits bigint
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
    select t.account, t.currency, t.debit_minor, t.credit_minor, t.debits, t.credits
    from payout.account_totals_at(
        '{infinity}', array(select a.account from payout.ledger_accounts as a)) as t
$$;
comment on function payout_api.control_totals() is
    'Debits and credits of each general account and currency in minor units, and how many; account '
    'payable stands for those of all payees. The balance is credit minus debit.';
grant execute on function payout_api.control_totals() to payout_operator, payout_auditor;
