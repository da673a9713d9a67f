-- overview: the transfers and the money in each state.

create or replace view payout_api.overview as
select
    s.state,
    t.currency,
    count(*) as transfers,
    sum(t.amount_minor) * c.minor_unit as amount,
    sum(t.amount_minor) as amount_minor,
    min(s.changed_at) as oldest_since,
    min(s.next_attempt_at) as next_attempt_at
from payout.transfer_states as s
join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
left join payout.currencies as c on c.currency = t.currency
group by s.state, t.currency, c.minor_unit;
comment on view payout_api.overview is
    'Transfers by state and currency; amount in the currency itself, amount_minor in minor units.';
grant select on payout_api.overview to payout_operator, payout_auditor;
