-- believed_decline: the decline that closed a transfer's present key.

create or replace function payout.believed_decline(p_state payout.transfer_states)
returns payout.transfer_observations
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select o
    from payout.transfer_observations as o
    where o.payout_transfer_id = p_state.payout_transfer_id
        and o.generation = p_state.generation
        and o.signal = 'response'
        and o.verdict = 'ok'
        and o.moved_to = 'failed'
    order by o.observation_id desc
    limit 1
$$;
comment on function payout.believed_decline(payout.transfer_states) is
    'The accepted decline under the present key; null: there is none.';
