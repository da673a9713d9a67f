-- unpaid_by_reason: the transfers that are not paid, by state and reason, with the words for each.
--
-- The words are those of the first transfer of each group: to explain every one of a long backlog
-- takes seconds.

create or replace view payout_api.unpaid_by_reason as
with groups as materialized (
    select s.state, s.reason, t.currency, s.hold_id is not null as is_on_hold,
        count(*) as transfers,
        sum(t.amount_minor) as amount_minor,
        min(s.changed_at) as oldest_since,
        min(s.payout_transfer_id) as first_transfer_id
    from payout_api.open_transfers as s
    cross join lateral (
        -- Each by its number, and never all of them: hence the offset.
        select p.currency, p.amount_minor
        from payout.payout_transfers as p
        where p.payout_transfer_id = s.payout_transfer_id
        offset 0
    ) as t
    group by s.state, s.reason, t.currency, s.hold_id is not null
)
select
    g.state,
    e.reason,
    g.currency,
    g.transfers,
    g.amount_minor * c.minor_unit as amount,
    g.amount_minor,
    g.oldest_since,
    g.first_transfer_id,
    e.situation,
    e.whose_turn,
    e.advice,
    e.next_call
from groups as g
left join payout.currencies as c on c.currency = g.currency
left join payout_api.explained as e on e.payout_transfer_id = g.first_transfer_id
    and e.payout_transfer_id = any (array(select x.first_transfer_id from groups as x));
comment on view payout_api.unpaid_by_reason is
    'One row for each state, reason and currency of transfers that are not paid, those that a '
    'sweep found on hold apart: their number and amount, the oldest time, and situation, turn, '
    'advice and call of the first of them, as payout_api.explained has it.';
