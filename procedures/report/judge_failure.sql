-- judge_failure: judge the newest attempt when it came back without a success.
--
-- `surely not executed` speaks only of this send: after an unknown one the transfer stays
-- unknown. An answer that no rule knows is unknown too, and so is a decline that is not tied to
-- the key of its request.

create or replace function payout.judge_failure(
    p_outcome payout.outcome,
    p_state payout.transfer_states,
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement;
    v_rule payout.stripe_error_rules := payout.match_error_rule(p_outcome);
begin
    -- Stripe names the key in each answer that got as far as the key (401 and 403 do not), so a
    -- decline without it may be a copy of another answer: it is as good as unreadable.
    if v_rule.reaction in ('decline', 'decline_until_funded', 'refuse')
        and p_outcome.http_status not in (401, 403)
        and not coalesce(p_outcome.is_tied, false) then
        v_rule := payout.match_error_rule(
            jsonb_populate_record(p_outcome, '{"signal": "unreadable"}'));
    end if;
    v_judgement.verdict := 'ok';
    v_judgement.error_rule_id := v_rule.error_rule_id;
    v_judgement.reason := coalesce(v_rule.reason, 'unmapped_answer');
    v_judgement.is_alarm := coalesce(v_rule.is_alarm, true);
    v_judgement.pauses_engine := v_rule.reaction = 'pause';
    v_judgement.counts_as_try := v_rule.reaction is distinct from 'pause';
    v_judgement.leaves_unknown := coalesce(v_rule.reaction in ('unknown', 'park'), true);
    v_judgement.next_attempt_at := payout.clock() + greatest(
        payout.backoff(v_rule, p_state.tries + p_state.generation - 1),
        make_interval(
            secs => greatest(least(coalesce(p_outcome.retry_after_seconds, 0), 3600), 0)));

    if v_rule.reaction in ('decline', 'decline_until_funded', 'refuse') then
        return payout.judge_decline(v_judgement, v_rule, p_state, p_settings);
    elsif v_rule.reaction = 'park' then
        v_judgement.to_state := 'parked';
        v_judgement.next_attempt_at := null;
    elsif v_judgement.counts_as_try and p_state.tries + 1 >= p_settings.max_tries then
        v_judgement.to_state := 'parked';
        v_judgement.next_attempt_at := null;
        v_judgement.reason := 'tries_used_up_' || v_judgement.reason;
        v_judgement.is_alarm := true;
    elsif v_rule.reaction in ('retry', 'pause') and not p_state.has_unknown_send then
        v_judgement.to_state := 'retry_wait';
    else
        v_judgement.to_state := 'unknown';
    end if;
    return v_judgement;
end
$$;
comment on function payout.judge_failure(
    payout.outcome, payout.transfer_states, payout.engine_settings
) is
    'Judges an outcome that is no success by payout.stripe_error_rules: retry_wait, unknown, '
    'parked, or as judge_decline says.';
