-- absence_counts_from: from when on a look at Stripe's list can prove that a transfer is not there.
--
-- Rule Q: once every attempt has drained, and a day after those that did not end
-- in a definite answer: what got lost on the way may have been a 500, which Stripe
-- can still carry out. Never for what Stripe may execute later, or once showed.

create or replace function payout.absence_counts_from(p_payout_transfer_id bigint)
returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select max(a.lease_until + e.attempt_drain_for
        + case when payout.is_definite(a) then interval '0' else e.indeterminate_for end)
    from payout.transfer_attempts as a
    cross join payout.engine_settings as e
    where a.payout_transfer_id = p_payout_transfer_id
        and not payout.was_seen_at_stripe(p_payout_transfer_id)
        and not exists (
            select from payout.transfer_observations as o
            join payout.stripe_error_rules as r on r.error_code = o.error_code
            where o.payout_transfer_id = p_payout_transfer_id
                and r.reason = 'stripe_may_execute_later'
        )
$$;
comment on function payout.absence_counts_from(bigint) is
    'When everything that was ever sent for a transfer is over; null: nobody can know, or it was '
    'never sent.';
