-- other_attempts_drain_at: the time until which another attempt of this key may be on its way.
--
-- An attempt is open from its claim until its worker reports, or, without a report, until long
-- after its lease.

create or replace function payout.other_attempts_drain_at(p_state payout.transfer_states)
returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select max(a.lease_until + e.attempt_drain_for)
    from payout.transfer_attempts as a
    cross join payout.engine_settings as e
    where a.payout_transfer_id = p_state.payout_transfer_id
        and a.generation = p_state.generation
        and a.attempt <> p_state.attempt
        and not exists (
            select from payout.transfer_observations as o
            where o.payout_transfer_id = a.payout_transfer_id
                and o.generation = a.generation
                and o.attempt = a.attempt
                and o.signal in ('response', 'unreadable', 'no_response', 'not_sent')
        )
$$;
comment on function payout.other_attempts_drain_at(payout.transfer_states) is
    'The time at which the last unreported other attempt of the current key counts as over; null: '
    'none is open.';
