-- absence_counts_from: the time from which a look at Stripe's list can prove a transfer absent.
--
-- Proof of absence counts once every attempt has drained, and a day has passed after those that
-- did not end in a definite answer: a lost answer may have been a 500, which Stripe can still
-- carry out. One that was parked before it was ever sent counts as sent when it was parked: a
-- database that went back in time may have forgotten the send. There is no such time for a transfer
-- that Stripe may execute later, or once showed.

create or replace function payout.absence_counts_from(p_payout_transfer_id bigint)
returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select max(w.over_at)
    from (
        select a.lease_until + e.attempt_drain_for
            + case when payout.is_definite(a) then interval '0' else e.indeterminate_for end
        from payout.transfer_attempts as a
        cross join payout.engine_settings as e
        where a.payout_transfer_id = p_payout_transfer_id
        union all
        select o.observed_at + e.lease_for + e.attempt_drain_for + e.indeterminate_for
        from payout.transfer_observations as o
        cross join payout.engine_settings as e
        where o.payout_transfer_id = p_payout_transfer_id
            and o.moved_to = 'parked'
            and o.signal <> 'looked_up'
            and not exists (
                select from payout.transfer_attempts as a
                where a.payout_transfer_id = p_payout_transfer_id
            )
    ) as w (over_at)
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
