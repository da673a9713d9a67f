-- proof_of_absence: the scans that proved a transfer absent under its present key.
--
-- They are two, or one of a transfer that never left.

create or replace function payout.proof_of_absence(p_state payout.transfer_states)
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when o.facts ? 'first_absence_id'
            then array[(o.facts ->> 'first_absence_id')::bigint, o.observation_id]
        else array[o.observation_id]
    end
    from payout.transfer_observations as o
    where o.payout_transfer_id = p_state.payout_transfer_id
        and o.generation = p_state.generation
        and o.signal = 'looked_up'
        and o.moved_to = 'failed'
$$;
comment on function payout.proof_of_absence(payout.transfer_states) is
    'Ids of the observations, in order; null: it was not proved absent.';
