-- never_left: tell whether surely no attempt of a transfer ever came to be executed by Stripe.
--
-- Each attempt, under any key, ended in a report that nothing was sent, or that Stripe turned it
-- away for its rate (429), and in no other. A 429 names no key, so it may be a copy of another
-- answer: it counts once the attempt would be over in any case.

create or replace function payout.never_left(
    p_payout_transfer_id bigint, p_looked_at timestamptz
)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(bool_and(o.is_without_effect), false)
        and not payout.was_seen_at_stripe(p_payout_transfer_id)
        and coalesce(p_looked_at >= payout.forgotten_sends_over_at(p_payout_transfer_id), true)
    from payout.transfer_attempts as a
    cross join payout.engine_settings as e
    cross join lateral (
        select coalesce(bool_and(o.verdict = 'ok' and case
                when o.signal = 'not_sent' then true
                when o.http_status = 429 then a.lease_until + e.attempt_drain_for <= p_looked_at
                else false
            end), false) as is_without_effect
        from payout.transfer_observations as o
        where o.payout_transfer_id = a.payout_transfer_id
            and o.attempt = a.attempt
            and o.signal in (
                'response', 'unreadable', 'no_response', 'not_sent', 'lease_expired')
            and o.verdict <> 'already'
    ) as o
    where a.payout_transfer_id = p_payout_transfer_id
$$;
comment on function payout.never_left(bigint, timestamptz) is
    'True, as of a look at Stripe''s list, when there are attempts and none was ever executed.';
