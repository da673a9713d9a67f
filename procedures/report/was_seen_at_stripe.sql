-- was_seen_at_stripe: test whether a transfer was ever seen at Stripe, under any key.

create or replace function payout.was_seen_at_stripe(p_payout_transfer_id bigint)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from payout_api.seen_at_stripe as o
        where o.payout_transfer_id = p_payout_transfer_id
    )
$$;
comment on function payout.was_seen_at_stripe(bigint) is
    'True once an observation of the transfer, accepted or not, tells of it at Stripe.';
