-- listed_transfer_outcome: a listed transfer as an outcome, so that it is judged as any success.

create or replace function payout.listed_transfer_outcome(
    p_listed payout.listed_transfers, p_state payout.transfer_states
)
returns payout.outcome
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return jsonb_populate_record(null::payout.outcome, to_jsonb(p_listed)
        || jsonb_build_object(
            'payout_transfer_id', p_state.payout_transfer_id,
            'generation', p_state.generation,
            'attempt', p_state.attempt,
            'signal', 'looked_up',
            'object', 'transfer',
            'found', 1,
            'payout_ref', p_listed.named_payout_ref,
            'payout_engine', p_listed.named_engine,
            'detail', 'read ' || p_listed.read_id));
end
$$;
comment on function payout.listed_transfer_outcome(
    payout.listed_transfers, payout.transfer_states
) is 'The outcome that a listed transfer is for the present key of its transfer.';
