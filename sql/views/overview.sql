-- overview: the transfers and the money in each state.

create or replace view payout_api.overview as
select
    o.state,
    o.currency,
    sum(o.transfers)::bigint as transfers,
    sum(o.amount) as amount,
    sum(o.amount_minor) as amount_minor,
    min(o.oldest_since) as oldest_since,
    min(o.next_attempt_at) as next_attempt_at
from payout_api.overview_by_age as o
group by o.state, o.currency;
comment on view payout_api.overview is
    'Transfers by state and currency; amount in the currency itself, amount_minor in minor units. '
    'oldest_since is null for final states.';
