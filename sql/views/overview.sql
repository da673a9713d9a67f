-- overview: the transfers and the money in each state.

create or replace view payout_api.overview as
select
    s.state,
    t.currency,
    count(*) as transfers,
    sum(t.amount_minor)::bigint as amount_minor,
    min(s.changed_at) as oldest_since,
    min(s.next_attempt_at) as next_attempt_at
from payout.transfer_states as s
join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
group by s.state, t.currency;
comment on view payout_api.overview is
    'Transfers by state and currency; amounts in minor units.';
grant select on payout_api.overview to payout_operator, payout_auditor;
