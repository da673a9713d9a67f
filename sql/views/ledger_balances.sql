-- ledger_balances: what stands on each account, in minor units.

create or replace view payout_api.ledger_balances as
select
    m.account,
    m.currency,
    sum(m.debit_minor)::bigint as debit_minor,
    sum(m.credit_minor)::bigint as credit_minor,
    (sum(m.credit_minor) - sum(m.debit_minor))::bigint as balance_minor
from (
    select e.debit_account as account, e.currency, e.amount_minor as debit_minor, 0 as credit_minor
    from payout.ledger_entries as e
    union all
    select e.credit_account, e.currency, 0, e.amount_minor
    from payout.ledger_entries as e
) as m
group by m.account, m.currency;
comment on view payout_api.ledger_balances is
    'Credit minus debit of every account and currency, in minor units. payable:<payee> is what is '
    'owed and not being sent, in_flight what is being sent, stripe_balance what Stripe has moved.';
grant select on payout_api.ledger_balances to payout_operator, payout_auditor;
