-- remaining_facts: the parts of an outcome that have no column of their own.

create or replace function payout.remaining_facts(p_outcome payout.outcome)
returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Not made into jsonb only to be left out.
    p_outcome.body := null;
    return jsonb_strip_nulls(to_jsonb(p_outcome) - array[
        'payout_transfer_id', 'generation', 'attempt', 'idempotency_key', 'claim_token', 'signal',
        'http_status', 'payout_engine', 'belongs_to', 'source_transaction', 'error_type',
        'error_code', 'is_replayed', 'stripe_transfer_id', 'stripe_request_id']);
end
$$;
comment on function payout.remaining_facts(payout.outcome) is
    'The JSON for transfer_observations.facts; absent parts are left out.';
