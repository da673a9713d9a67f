-- saved_decline: the evidence that a transfer's present key will only ever be declined.

create or replace function payout.saved_decline(p_state payout.transfer_states)
returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select max(o.observation_id)
    from payout.transfer_observations as o
    where o.payout_transfer_id = p_state.payout_transfer_id
        and o.generation = p_state.generation
        and o.signal = 'response'
        and o.verdict = 'ok'
        and o.moved_to = 'failed'
        and payout.is_saved(
            (o.facts ->> 'is_tied')::boolean, o.is_replayed, o.facts ->> 'should_retry')
$$;
comment on function payout.saved_decline(payout.transfer_states) is
    'Id of the accepted decline that Stripe saved; null: there is none.';
