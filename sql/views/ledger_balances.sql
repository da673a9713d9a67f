-- ledger_balances: the balance of each account.
--
-- Read from sub-totals of sealed entries and the entries that came since.

create or replace view payout_api.ledger_balances as
select
    b.account,
    b.currency,
    b.debit_minor * c.minor_unit as debit,
    b.credit_minor * c.minor_unit as credit,
    b.balance_minor * c.minor_unit as balance,
    b.debit_minor,
    b.credit_minor,
    b.balance_minor
from payout_api.balances_as_of('infinity') as b
left join payout.currencies as c on c.currency = b.currency;
comment on view payout_api.ledger_balances is
    'Credit minus debit of every account and currency, in the currency itself and in minor units. '
    'payable:<payee> is owed and not being sent, in_flight is being sent, stripe_balance was moved '
    'by Stripe.';
grant select on payout_api.ledger_balances to payout_operator, payout_auditor;
