-- end_of_key: the observation that ended a failed transfer's present key.
--
-- A decline of Stripe's, two people who gave the key up, or the look that proved the transfer
-- absent.

create or replace function payout.end_of_key(p_state payout.transfer_states)
returns payout.transfer_observations
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select o
    from payout.transfer_observations as o
    where o.payout_transfer_id = p_state.payout_transfer_id
        and o.generation = p_state.generation
        and o.signal in ('response', 'give_up', 'looked_up')
        and o.verdict = 'ok'
        and o.moved_to = 'failed'
    order by o.observation_id desc
    limit 1
$$;
comment on function payout.end_of_key(payout.transfer_states) is
    'The accepted decline, act or proof; null: there is none.';
