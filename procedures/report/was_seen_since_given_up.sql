-- was_seen_since_given_up: test whether a transfer was seen at Stripe that nobody has given up.
--
-- Two people gave up all that had been shown by then, and nothing that an alarm has shown since.

create or replace function payout.was_seen_since_given_up(p_state payout.transfer_states)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select payout.was_seen_at_stripe(p_state.payout_transfer_id)
        and (p_state.reason is distinct from 'given_up_by_operators' or exists (
            select from payout.transfer_observations as o
            where o.payout_transfer_id = p_state.payout_transfer_id
                and o.verdict = 'alarm'
                and o.observation_id > (payout.end_of_key(p_state)).observation_id))
$$;
comment on function payout.was_seen_since_given_up(payout.transfer_states) is
    'True once it was seen; after two people gave it up, once an alarm tells of it again.';
