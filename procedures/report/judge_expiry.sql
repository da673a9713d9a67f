-- judge_expiry: judge a lease or a key that ran out.
--
-- A send whose worker did not come back may have been executed. A lease or a first send in the
-- future was written by a clock that has since been set back: the age of its key is unknown.

create or replace function payout.judge_expiry(
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
    v_is_lease boolean := p_outcome.signal = 'lease_expired';
begin
    v_judgement.verdict := 'ok';
    v_judgement.to_state := 'parked';
    v_judgement.reason := coalesce(v_rule.reason, p_outcome.signal);
    v_judgement.error_rule_id := v_rule.error_rule_id;
    v_judgement.counts_as_try := v_is_lease;
    v_judgement.leaves_unknown := v_is_lease;
    v_judgement.is_alarm := v_rule.is_alarm;

    if coalesce(p_state.lease_until, p_state.window_begins_at) > payout.clock() then
        v_judgement.reason := 'clock_was_set_back';
    elsif v_is_lease and p_state.tries + 1 >= p_settings.max_tries then
        v_judgement.reason := 'tries_used_up_' || v_judgement.reason;
    elsif v_is_lease then
        v_judgement.to_state := 'unknown';
        v_judgement.next_attempt_at := payout.clock();
    end if;
    return v_judgement;
end
$$;
comment on function payout.judge_expiry(
    payout.outcome, payout.transfer_states, payout.engine_settings
) is
    'Judges an expired lease: unknown and due at once, or parked when the tries are used up; and '
    'an expired key: parked.';
