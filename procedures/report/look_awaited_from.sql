-- look_awaited_from: the time from which a look has to find nothing, before a failed transfer ends.
--
-- Stripe may have paid it after all: a refusal that names no key may be the copy of another answer.
-- A debt is ended on the evidence on which a new key is opened, or once Stripe saved the decline.

create or replace function payout.look_awaited_from(p_state payout.transfer_states)
returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select greatest(payout.clock(), payout.sends_over_at(p_state.payout_transfer_id))
    where p_state.state = 'failed'
        and not payout.was_seen_at_stripe(p_state.payout_transfer_id)
        and payout.evidence_for_new_key(p_state) is null
        and not exists (
            select from payout.end_of_key(p_state) as d
            where payout.is_saved(
                (d.facts ->> 'is_tied')::boolean, d.is_replayed, d.facts ->> 'should_retry')
        )
$$;
comment on function payout.look_awaited_from(payout.transfer_states) is
    'The time, now or later; null: the transfer has not failed, or no look is awaited.';
