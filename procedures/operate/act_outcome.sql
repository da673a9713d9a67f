-- act_outcome: an act of an operator as an outcome, so that it is judged and recorded as any other.

create or replace function payout.act_outcome(
    p_verb text,
    p_state payout.transfer_states,
    p_operator_action_id bigint,
    p_details jsonb
)
returns payout.outcome
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_populate_record(null::payout.outcome, jsonb_build_object(
        'payout_transfer_id', p_state.payout_transfer_id,
        'generation', p_state.generation,
        'attempt', p_state.attempt,
        'signal', p_verb,
        'operator_action_id', p_operator_action_id,
        'detail', p_details ->> 'reference'))
$$;
comment on function payout.act_outcome(text, payout.transfer_states, bigint, jsonb) is
    'The outcome that the act is for the present key of a transfer.';
