-- absence_counts_from: the time from which a look at Stripe's list can prove a transfer absent.
--
-- There is no such time for a transfer that Stripe may execute later, or once showed.

create or replace function payout.absence_counts_from(p_payout_transfer_id bigint)
returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select payout.sends_over_at(p_payout_transfer_id)
    where not payout.was_seen_at_stripe(p_payout_transfer_id)
        and not exists (
            select from payout.transfer_observations as o
            join payout.stripe_error_rules as r on r.error_code = o.error_code
            where o.payout_transfer_id = p_payout_transfer_id
                and r.reason = 'stripe_may_execute_later'
        )
$$;
comment on function payout.absence_counts_from(bigint) is
    'The time at which everything that was ever sent for a transfer is over; null: it cannot be '
    'known.';
