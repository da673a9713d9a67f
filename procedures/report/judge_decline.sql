-- judge_decline: judge a decline of the newest attempt that is to be believed.
--
-- It settles the transfer, but not while another attempt may still be on its way; a decline that
-- Stripe does not save settles it only when nothing else was sent. One that passes by itself is due
-- at once for its next key: a wait of its currency or payee says when (slow_down).

create or replace function payout.judge_decline(
    p_judgement payout.judgement,
    p_is_saved boolean,
    p_rule payout.stripe_error_rules,
    p_state payout.transfer_states,
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement := p_judgement;
    v_others_drain_at timestamptz := payout.other_attempts_drain_at(p_state);
    v_may_have_another_key boolean := coalesce(p_rule.awaits = 'funds'
        or p_rule.awaits = 'account'
            and payout.counted_keys(p_state) < p_settings.max_generations, false);
begin
    if v_others_drain_at > payout.clock() then
        v_judgement.to_state := 'unknown';
        v_judgement.reason := 'declined_while_another_attempt_is_open';
        v_judgement.next_attempt_at := v_others_drain_at;
        return v_judgement;
    end if;

    if not p_is_saved and not payout.is_only_send(p_state) then
        v_judgement.to_state := 'parked';
        v_judgement.next_attempt_at := null;
        return v_judgement;
    end if;

    v_judgement.to_state := 'failed';
    v_judgement.next_attempt_at := case when v_may_have_another_key then payout.clock() end;
    if p_rule.awaits is not null and not v_may_have_another_key then
        v_judgement.reason := 'keys_used_up_' || p_rule.reason;
        v_judgement.is_alarm := true;
    end if;
    return v_judgement;
end
$$;
comment on function payout.judge_decline(
    payout.judgement, boolean, payout.stripe_error_rules, payout.transfer_states,
    payout.engine_settings
) is 'Failed, with or without a later key; unknown while another attempt is open; parked in doubt.';
