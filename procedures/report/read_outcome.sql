-- read_outcome: read one reported outcome, and Stripe's answer in its body.
--
-- Called by: read_outcomes, which has checked the fields that name the attempt. The others come
-- from the network; one of the wrong type is dropped: the outcome still counts, and a success
-- without its amount contradicts its request.

create or replace function payout.read_outcome(p_outcome jsonb)
returns payout.outcome
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_outcome payout.outcome;
    v_error jsonb;
    v_transfer payout.stripe_transfer;
begin
    v_outcome.payout_transfer_id := (p_outcome ->> 'payout_transfer_id')::bigint;
    v_outcome.generation := (p_outcome ->> 'generation')::integer;
    v_outcome.attempt := (p_outcome ->> 'attempt')::integer;
    v_outcome.idempotency_key := p_outcome ->> 'idempotency_key';
    v_outcome.claim_token := p_outcome ->> 'claim_token';
    v_outcome.signal := p_outcome ->> 'signal';
    v_outcome.detail := payout.read_text(p_outcome -> 'detail');
    v_outcome.http_status := case
        when payout.read_whole(p_outcome -> 'http_status') between 100 and 999
            then (p_outcome ->> 'http_status')::integer end;
    v_outcome.stripe_request_id := payout.read_text(p_outcome -> 'stripe_request_id');
    v_outcome.is_tied := p_outcome -> 'is_tied' = 'true';
    v_outcome.is_replayed := p_outcome -> 'is_replayed' = 'true';
    v_outcome.should_retry := payout.read_text(p_outcome -> 'should_retry');
    v_outcome.rate_limited_reason := payout.read_text(p_outcome -> 'rate_limited_reason');
    v_outcome.retry_after_seconds := payout.read_whole(p_outcome -> 'retry_after_seconds');
    if v_outcome.signal <> 'response' then
        return v_outcome;
    end if;

    v_outcome.body := p_outcome -> 'body';
    v_error := v_outcome.body -> 'error';
    v_outcome.error_type := payout.read_text(v_error -> 'type');
    v_outcome.error_code := payout.read_text(v_error -> 'code');
    v_outcome.error_message := left(v_error ->> 'message', 500);
    v_outcome.error_param := payout.read_text(v_error -> 'param');
    v_transfer := payout.read_stripe_transfer(v_outcome.body);
    v_outcome.object := v_transfer.object;
    v_outcome.stripe_transfer_id := v_transfer.stripe_transfer_id;
    v_outcome.amount_minor := v_transfer.amount_minor;
    v_outcome.amount_reversed_minor := v_transfer.amount_reversed_minor;
    v_outcome.currency := v_transfer.currency;
    v_outcome.destination := v_transfer.destination;
    v_outcome.is_livemode := v_transfer.is_livemode;
    v_outcome.payout_ref := v_transfer.payout_ref;
    v_outcome.belongs_to := v_transfer.belongs_to;
    v_outcome.source_transaction := v_transfer.source_transaction;
    v_outcome.payout_engine := v_transfer.payout_engine;
    return v_outcome;
end
$$;
comment on function payout.read_outcome(jsonb) is
    'One outcome as a row; null where a field is absent or cannot be read.';
