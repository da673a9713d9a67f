-- is_only_send: test whether every other attempt under the key was surely never executed.
--
-- A decline that Stripe does not save says nothing of another send. Only a send that never left,
-- or that Stripe turned away (a 4xx that names the key, or 401, 403, 429), is surely without
-- effect; a 409 speaks of a send that is being executed.

create or replace function payout.is_only_send(p_state payout.transfer_states)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select not p_state.has_unknown_send and not exists (
        select from payout.transfer_observations as o
        where o.payout_transfer_id = p_state.payout_transfer_id
            and o.generation = p_state.generation
            and o.attempt <> p_state.attempt
            and o.signal in ('response', 'unreadable', 'no_response', 'lease_expired')
            and (o.http_status in (401, 403, 429)
                or (o.http_status between 400 and 499 and o.http_status <> 409
                    and (o.facts ->> 'is_tied')::boolean)) is not true
    )
$$;
comment on function payout.is_only_send(payout.transfer_states) is
    'True when no attempt but the newest can have had an effect under the current key.';
