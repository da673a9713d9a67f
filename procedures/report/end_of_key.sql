-- end_of_key: the observation that ended a transfer's present key, other than a proof of absence.
--
-- A decline of Stripe's, or two people who gave it up.

create or replace function payout.end_of_key(p_state payout.transfer_states)
returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select max(o.observation_id)
    from payout.transfer_observations as o
    where o.payout_transfer_id = p_state.payout_transfer_id
        and o.generation = p_state.generation
        and o.signal in ('response', 'give_up')
        and o.verdict = 'ok'
        and o.moved_to = 'failed'
$$;
comment on function payout.end_of_key(payout.transfer_states) is
    'Id of the accepted decline, or of the act; null: there is none.';
