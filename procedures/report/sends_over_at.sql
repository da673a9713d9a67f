-- sends_over_at: the time from which on nothing can come any more of the sends of a transfer.
--
-- Every attempt has drained, and a day has passed after those without a definite answer:
-- a lost answer may have been a 500, which Stripe can still carry out. One that was parked before
-- it was ever sent counts as sent when it was parked: a database that went back in time may have
-- forgotten the send. One that was adopted meanwhile may have forgotten later ones.

create or replace function payout.sends_over_at(p_payout_transfer_id bigint)
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
        union all
        select payout.forgotten_sends_over_at(p_payout_transfer_id)
    ) as w (over_at)
$$;
comment on function payout.sends_over_at(bigint) is
    'The time, also for what Stripe may execute later; null: it was never sent, nor parked.';
