-- balances_as_of: the balance of each account at a time, or that of one payee.
--
-- An entry counts from the moment its transaction began (created_at), with all others of that
-- transaction, but shows only once it has committed: the balances of a moment may still change
-- while a transaction that began before it runs.
-- There is a row for each payee: ask for one, or for all of them together (ledger_balances).

create or replace function payout_api.balances_as_of(
    p_at timestamptz, p_payee_id text default null
)
returns table (
    account text,
    currency payout.currency_code,
    debit_minor numeric,
    credit_minor numeric,
    balance_minor numeric
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select t.account, t.currency, t.debit_minor, t.credit_minor, t.credit_minor - t.debit_minor
    from payout_api.account_totals_at(
        array[p_at], case when p_payee_id is not null then array['payable:' || p_payee_id] end) as t
    where t.account <> 'payable'
$$;
comment on function payout_api.balances_as_of(timestamptz, text) is
    'Credit minus debit of every account and currency, or of one payee''s, in minor units, of the '
    'entries whose transaction had begun by p_at and has committed; infinity: of all.';
grant execute on function payout_api.balances_as_of(timestamptz, text)
    to payout_operator, payout_auditor;
