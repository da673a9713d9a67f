-- judge_act: judge an act of an operator by its transfer, as it stands now.
--
-- Called by: judge_outcome, and previewed_acts. Nothing is cancelled, or settled outside, that
-- may be at Stripe: scheduled and not claimed under its key, or failed and no look is awaited
-- (look_awaited_from). A retry moves a later date to now and leaves one that has come: a late
-- first send waits for a look (plan_late_lookups). It opens no key: the sweep does, on the evidence
-- that each new key needs. An absence is approved while it awaits that, and for no later key.

create or replace function payout.judge_act(
    p_signal text,
    p_state payout.transfer_states,
    p_transfer payout.payout_transfers,
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement;
    -- Who approves an absence proves nothing: the engine looks once more, and only then gives up.
    v_signal text := case p_signal when 'approve_absence' then 'retry' else p_signal end;
    v_refused text := coalesce(
        payout.act_problem(v_signal, p_state, p_transfer, p_settings),
        case when p_signal = 'approve_absence'
            and p_state.reason is distinct from 'absence_awaits_approval'
            then 'no absence of it awaits an approval' end);
begin
    if v_refused is not null then
        v_judgement.verdict := case v_refused when 'already' then 'already' else 'stale' end;
        v_judgement.reason := v_refused;
        return v_judgement;
    end if;

    v_judgement.verdict := 'ok';
    v_judgement.reason := p_state.reason;
    case v_signal
        when 'cancel' then
            v_judgement.to_state := 'cancelled';
            v_judgement.reason := 'cancelled_by_operator';
        when 'settle_outside' then
            v_judgement.to_state := 'settled_outside';
            v_judgement.reason := 'paid_in_another_way';
        when 'park' then
            v_judgement.to_state := 'parked';
            v_judgement.reason := 'parked_by_operator';
        when 'give_up' then
            v_judgement.to_state := 'failed';
            v_judgement.reason := 'given_up_by_operators';
            v_judgement.next_attempt_at := payout.clock();
        when 'retry' then
            -- A parked transfer is only looked up, by the date that retry gives it.
            if p_state.state <> 'parked' then
                v_judgement.to_state := p_state.state;
                v_judgement.next_attempt_at := least(p_state.next_attempt_at, payout.clock());
            end if;
    end case;
    return v_judgement;
end
$$;
comment on function payout.judge_act(
    text, payout.transfer_states, payout.payout_transfers, payout.engine_settings
) is 'The move that the act makes; already; or stale, with the sentence that says why not.';
