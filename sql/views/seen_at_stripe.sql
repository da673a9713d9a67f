-- seen_at_stripe: the observations that tell of a transfer at Stripe.
--
-- Several transfers that a look-up found count as one does. An answer that was no success of its
-- own says nothing.

create or replace view payout_api.seen_at_stripe as
select o.payout_transfer_id, o.observation_id
from payout.transfer_observations as o
where (o.facts ->> 'found')::integer > 0 or (o.stripe_transfer_id is not null
    and (o.signal <> 'response' or o.verdict = 'alarm' or o.moved_to = 'paid'));
comment on view payout_api.seen_at_stripe is
    'One row for each observation, accepted or not, that tells of the transfer at Stripe.';
