-- judge_outcome: judge one outcome by its transfer, as both stand now.
--
-- Look-ups and expiries are the engine's own, acts are an operator's. All else was reported: a
-- success is a fact, whichever attempt it answers. Any other outcome counts only from the newest
-- attempt while it is in flight: this fences off workers that lost their lease. A report without
-- key and token of its claim moves nothing.

create or replace function payout.judge_outcome(
    p_outcome payout.outcome,
    p_state payout.transfer_states,
    p_transfer payout.payout_transfers,
    p_destinations text[],
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement;
begin
    if p_outcome.signal = 'looked_up' then
        return payout.judge_lookup(
            p_outcome, p_state, p_transfer, p_destinations, p_settings);
    elsif p_outcome.signal in ('lease_expired', 'key_expired') then
        return payout.judge_expiry(p_outcome, p_state, p_settings);
    elsif p_outcome.operator_action_id is not null then
        return payout.judge_act(p_outcome.signal, p_state, p_transfer, p_settings);
    end if;

    -- Serials are handed out again after a promotion, keys and tokens are not. Any login of
    -- payout_worker may report: only the one that claimed was told the token.
    if p_outcome.idempotency_key is distinct from
        p_transfer.payout_ref || ':' || p_outcome.generation
        or not exists (
            select from payout.transfer_attempts as a
            where a.payout_transfer_id = p_outcome.payout_transfer_id
                and a.generation = p_outcome.generation
                and a.attempt = p_outcome.attempt
                and a.claim_token_sha256 = sha256(convert_to(p_outcome.claim_token, 'UTF8'))
        ) then
        v_judgement.verdict := 'alarm';
        v_judgement.reason := 'report_of_another_claim';
        v_judgement.is_alarm := true;
        return v_judgement;
    end if;

    -- A success that names neither our key nor our transfer is the copy of another answer.
    if p_outcome.signal = 'response' and p_outcome.http_status between 200 and 299
        and (p_outcome.is_tied or p_outcome.payout_ref = p_transfer.payout_ref) then
        return payout.judge_success(
            p_outcome, p_state, p_transfer, p_destinations, p_settings);
    elsif p_state.state = 'in_flight' and p_state.attempt = p_outcome.attempt then
        return payout.judge_failure(p_outcome, p_state, p_settings);
    end if;

    v_judgement.verdict := case
        when exists (
            select from payout.transfer_observations as o
            where o.payout_transfer_id = p_outcome.payout_transfer_id
                and o.attempt = p_outcome.attempt
                and o.generation = p_outcome.generation
                and o.signal = p_outcome.signal
                and o.verdict = 'ok'
        ) then 'already'
        else 'stale'
    end;
    return v_judgement;
end
$$;
comment on function payout.judge_outcome(
    payout.outcome, payout.transfer_states, payout.payout_transfers, text[],
    payout.engine_settings
) is 'Verdict, next state and reason for one outcome; changes nothing.';
