-- ledger_balances: the balance of each general account.
--
-- Read from sub-totals of sealed entries and the entries that came since: a row for each account
-- and currency, however many payees there are: payable is the account of all of them.

create or replace view payout_api.ledger_balances as
select
    b.account,
    b.currency,
    b.debit_minor * c.minor_unit as debit,
    b.credit_minor * c.minor_unit as credit,
    (b.credit_minor - b.debit_minor) * c.minor_unit as balance,
    b.debit_minor,
    b.credit_minor,
    b.credit_minor - b.debit_minor as balance_minor,
    b.debits,
    b.credits,
    l.meaning
from payout_api.account_totals_at(
    '{infinity}', array(select a.account from payout.ledger_accounts as a)) as b
left join payout.currencies as c on c.currency = b.currency
left join payout.ledger_accounts as l on l.account = b.account;
comment on view payout_api.ledger_balances is
    'Credit minus debit of each general account and currency, in the currency itself and in minor '
    'units, the number of debits and of credits, and the meaning of the account: payable is that '
    'of all payees. payout_api.balances_as_of(''infinity'', payee_id) has the balance of one '
    'payee.';
