-- overview: the transfers and the money in each state.
--
-- Those that are paid are counted by the books, which keep sub-totals of what is sealed: they may
-- be millions. They, too, have no age.

create or replace view payout_api.overview as
select
    o.state,
    o.currency,
    o.transfers,
    o.amount_minor * c.minor_unit as amount,
    o.amount_minor,
    o.oldest_since,
    o.next_attempt_at
from (
    select s.state, t.currency, count(*) as transfers, sum(t.amount_minor) as amount_minor,
        min(s.changed_at) as oldest_since, min(s.next_attempt_at) as next_attempt_at
    from payout_api.open_transfers as s
    cross join lateral (
        -- Each by its number, and never all of them: hence the offset.
        select p.currency, p.amount_minor
        from payout.payout_transfers as p
        where p.payout_transfer_id = s.payout_transfer_id
        offset 0
    ) as t
    group by s.state, t.currency
    union all
    select s.state, t.currency, count(*), sum(t.amount_minor), min(s.changed_at),
        -- Cast and named, as a dump writes it.
        null::timestamptz as next_attempt_at
    from payout.transfer_states as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    where s.state in ('cancelled', 'settled_outside')
    group by s.state, t.currency
    union all
    select 'paid'::payout.transfer_state, b.currency, b.credits, b.credit_minor,
        null::timestamptz as oldest_since, null::timestamptz as next_attempt_at
    from payout_api.control_totals() as b
    where b.account = 'stripe_balance' and b.credits > 0
) as o
left join payout.currencies as c on c.currency = o.currency;
comment on view payout_api.overview is
    'Transfers by state and currency; amount in the currency itself, amount_minor in minor units. '
    'oldest_since is null for those that are paid.';
grant select on payout_api.overview to payout_operator, payout_auditor;
