-- proof_of_absence: the two scans that proved a transfer absent under its present key.

create or replace function payout.proof_of_absence(p_state payout.transfer_states)
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select array[(o.facts ->> 'first_absence_id')::bigint, o.observation_id]
    from payout.transfer_observations as o
    where o.payout_transfer_id = p_state.payout_transfer_id
        and o.generation = p_state.generation
        and o.signal = 'looked_up'
        and o.moved_to = 'failed'
$$;
comment on function payout.proof_of_absence(payout.transfer_states) is
    'Ids of the two observations; null: it was not proved absent.';
