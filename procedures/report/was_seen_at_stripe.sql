-- was_seen_at_stripe: test whether a transfer was ever seen at Stripe, under any key.
--
-- Several transfers that a look-up found count as one does. A report of another transfer under
-- the same number says nothing of this one, nor does an answer that was no success of its own.

create or replace function payout.was_seen_at_stripe(p_payout_transfer_id bigint)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from payout.transfer_observations as o
        where o.payout_transfer_id = p_payout_transfer_id
            and o.reason is distinct from 'report_of_another_claim'
            and ((o.facts ->> 'found')::integer > 0 or (o.stripe_transfer_id is not null
                and (o.signal <> 'response' or o.verdict = 'alarm' or o.moved_to = 'paid')))
    )
$$;
comment on function payout.was_seen_at_stripe(bigint) is
    'True once an observation of the transfer, accepted or not, tells of it at Stripe.';
