-- ledger_balances: the balance of each general account.
--
-- Read from sub-totals of sealed entries and the entries that came since: a row for each account
-- and currency, however many payees there are.

create or replace view payout_api.ledger_balances as
select
    b.account,
    b.currency,
    b.debit_minor * c.minor_unit as debit,
    b.credit_minor * c.minor_unit as credit,
    (b.credit_minor - b.debit_minor) * c.minor_unit as balance,
    b.debit_minor,
    b.credit_minor,
    b.credit_minor - b.debit_minor as balance_minor
from payout_api.control_totals() as b
left join payout.currencies as c on c.currency = b.currency;
comment on view payout_api.ledger_balances is
    'Credit minus debit of each general account and currency, in the currency itself and in minor '
    'units. payable is owed to payees and not being sent, in_flight is being sent, stripe_balance '
    'was moved by Stripe. payout_api.balances_as_of(''infinity'', payee_id) has the balance of one '
    'payee.';
