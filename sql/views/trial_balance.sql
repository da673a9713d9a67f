-- trial_balance: the books of each currency, which always add up to zero.

create or replace view payout_api.trial_balance as
select
    b.currency,
    sum(b.debit_minor)::bigint as debit_minor,
    sum(b.credit_minor)::bigint as credit_minor,
    sum(b.balance_minor)::bigint as difference_minor,
    coalesce(sum(b.balance_minor) filter (where b.account = 'in_flight'), 0)::bigint
        as in_flight_minor,
    (
        select coalesce(sum(t.amount_minor), 0)::bigint
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        where t.currency = b.currency
            and s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown', 'parked')
    ) as open_transfers_minor
from payout_api.ledger_balances as b
group by b.currency;
comment on view payout_api.trial_balance is
    'Per currency: difference_minor is zero, and in_flight_minor equals open_transfers_minor, the '
    'sum of the transfers that are neither paid, failed nor cancelled. Anything else is a bug.';
grant select on payout_api.trial_balance to payout_operator, payout_auditor;
