-- overview_by_age: the transfers and the money in each state, by the time they have been in it.
--
-- Final states have no age, and may hold millions: the books count them, which keep sub-totals of
-- what is sealed. Each transfer that was settled and is neither open nor at one of the two ends was
-- cancelled.

create or replace view payout_api.overview_by_age as
with open_ones as materialized (
    select s.state, t.currency, g.since_at_least, count(*) as transfers,
        sum(t.amount_minor) as amount_minor, min(s.changed_at) as oldest_since,
        min(s.next_attempt_at) as next_attempt_at
    from payout_api.open_transfers as s
    cross join lateral (
        -- Each by its number, and never all of them: hence the offset.
        select p.currency, p.amount_minor
        from payout.payout_transfers as p
        where p.payout_transfer_id = s.payout_transfer_id
        offset 0
    ) as t
    cross join lateral (
        select case
            when s.changed_at > now() - interval '1 hour' then interval '0'
            when s.changed_at > now() - interval '1 day' then interval '1 hour'
            when s.changed_at > now() - interval '7 days' then interval '1 day'
            else interval '7 days'
        end as since_at_least
    ) as g
    group by s.state, t.currency, g.since_at_least
), final_ones as (
    select f.state, f.currency, sum(f.transfers) as transfers, sum(f.amount_minor) as amount_minor
    from (
        select x.state, b.currency, x.sign * x.transfers, x.sign * x.amount_minor
        from payout_api.ledger_balances as b
        join lateral (values
            ('settlement_funds', 'cancelled', 1, b.debits, b.debit_minor),
            ('stripe_balance', 'cancelled', -1, b.credits, b.credit_minor),
            ('paid_outside', 'cancelled', -1, b.credits, b.credit_minor),
            ('stripe_balance', 'paid', 1, b.credits, b.credit_minor),
            ('paid_outside', 'settled_outside', 1, b.credits, b.credit_minor)
        ) as x (account, state, sign, transfers, amount_minor) on x.account = b.account
        union all
        -- Named, as a dump writes it.
        select 'cancelled' as state, o.currency, -o.transfers, -o.amount_minor
        from open_ones as o
    ) as f (state, currency, transfers, amount_minor)
    group by f.state, f.currency
    having sum(f.transfers) <> 0
)
select
    a.state,
    a.currency,
    a.since_at_least,
    a.transfers,
    a.amount_minor * c.minor_unit as amount,
    a.amount_minor,
    a.oldest_since,
    a.next_attempt_at
from (
    select * from open_ones
    union all
    select f.state::payout.transfer_state, f.currency, null::interval as since_at_least,
        f.transfers::bigint, f.amount_minor, null::timestamptz as oldest_since,
        null::timestamptz as next_attempt_at
    from final_ones as f
) as a
left join payout.currencies as c on c.currency = a.currency;
comment on view payout_api.overview_by_age is
    'Transfers by state, currency and age: since_at_least is 0, an hour, a day or seven days, the '
    'time for which each has been in its state, up to the next of these; null for final states.';
