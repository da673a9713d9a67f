-- judge_failure: judge the newest attempt when it came back without a success.
--
-- `surely not executed` speaks only of this send: after an unknown one the transfer stays
-- unknown. A decline, or a success, that is not tied to the key of its request is as good as
-- unreadable. A decline that Stripe saves is final under its key; one that it does not save is
-- asked for again, as often as its rule wants, until it is believed. One answer says nothing of
-- the Stripe key where its rule wants several payees for that.

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
    v_is_saved boolean := payout.is_saved(
        p_outcome.is_tied, p_outcome.is_replayed, p_outcome.should_retry);
    v_earlier integer;
begin
    -- Stripe names the key in each answer that got as far as the key; 401 and 403 do not.
    if not coalesce(p_outcome.is_tied, false) and (
        p_outcome.http_status between 200 and 299
        or (v_rule.reaction = 'decline' and p_outcome.http_status not in (401, 403))
    ) then
        v_rule := payout.match_error_rule(
            jsonb_populate_record(p_outcome, '{"signal": "unreadable"}'));
    end if;
    v_judgement.verdict := 'ok';
    v_judgement.error_rule_id := v_rule.error_rule_id;
    v_judgement.reason := coalesce(v_rule.reason, 'unmapped_answer');
    v_judgement.is_alarm := coalesce(v_rule.is_alarm, true);
    v_judgement.pauses_engine := case
        when v_rule.payees_to_pause is null then v_rule.reaction = 'pause'
        else v_rule.payees_to_pause <= payout.refused_payees(v_rule.error_rule_id, p_outcome)
    end;
    v_judgement.counts_as_try := coalesce(v_rule.is_counted_try, true);
    v_judgement.leaves_unknown := coalesce(v_rule.reaction in ('unknown', 'park'), true);
    v_earlier := (
        select count(*)::integer
        from payout.transfer_observations as o
        where o.payout_transfer_id = p_state.payout_transfer_id
            and o.generation = p_state.generation
            and o.error_rule_id = v_rule.error_rule_id
            and o.verdict = 'ok');
    v_judgement.next_attempt_at := payout.clock() + greatest(
        payout.backoff(
            v_rule, p_state.tries + case when v_rule.is_counted_try then 0 else v_earlier end),
        make_interval(
            secs => greatest(least(coalesce(p_outcome.retry_after_seconds, 0), 3600), 0)));

    if v_rule.reaction = 'decline' and not coalesce(v_judgement.pauses_engine, false)
        and (v_is_saved or v_rule.sends_to_believe <= 1 + v_earlier) then
        return payout.judge_decline(v_judgement, v_is_saved, v_rule, p_state, p_settings);
    elsif v_rule.reaction = 'park' then
        v_judgement.to_state := 'parked';
        v_judgement.next_attempt_at := null;
    elsif v_judgement.counts_as_try and p_state.tries + 1 >= p_settings.max_tries then
        v_judgement.to_state := 'parked';
        v_judgement.next_attempt_at := null;
        v_judgement.reason := 'tries_used_up_' || v_judgement.reason;
        v_judgement.is_alarm := true;
    else
        v_judgement.is_alarm := v_judgement.is_alarm
            and (v_rule.reaction is distinct from 'decline' or v_judgement.pauses_engine);
        v_judgement.to_state := case
            when v_judgement.leaves_unknown or p_state.has_unknown_send then 'unknown'
            else 'retry_wait'
        end;
    end if;
    return v_judgement;
end
$$;
comment on function payout.judge_failure(
    payout.outcome, payout.transfer_states, payout.engine_settings
) is
    'Judges an outcome that is no success by payout.stripe_error_rules: retry_wait, unknown, '
    'parked, or as judge_decline says.';
