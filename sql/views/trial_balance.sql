-- trial_balance: the books of each currency, which always add up to zero.
--
-- A currency without any entry but with open transfers is shown too.

create or replace view payout_api.trial_balance as
select
    coalesce(b.currency, o.currency) as currency,
    coalesce(b.debit_minor, 0) as debit_minor,
    coalesce(b.credit_minor, 0) as credit_minor,
    coalesce(b.credit_minor - b.debit_minor, 0) as difference_minor,
    coalesce(b.in_flight_minor, 0) as in_flight_minor,
    coalesce(o.open_transfers_minor, 0) as open_transfers_minor
from (
    select l.currency, sum(l.debit_minor) as debit_minor, sum(l.credit_minor) as credit_minor,
        sum(l.credit_minor - l.debit_minor) filter (where l.account = 'in_flight')
            as in_flight_minor
    from payout_api.ledger_balances as l
    group by l.currency
) as b
full join (
    select a.currency, sum(a.amount_minor) as open_transfers_minor
    from payout_api.overview_by_age as a
    -- Final states have no age.
    where a.since_at_least is not null and a.state <> 'failed'
    group by a.currency
) as o on o.currency = b.currency;
comment on view payout_api.trial_balance is
    'Per currency: difference_minor is zero, and in_flight_minor equals open_transfers_minor, the '
    'sum of the transfers that are neither paid, failed nor cancelled. Anything else is a bug.';
