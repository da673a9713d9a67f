-- judge_absence: decide on a transfer that may have been sent and is not in Stripe's list.
--
-- Proof of absence needs two such scans, the second begun well after the first ended, both after
-- everything that was sent is over (first_absence). Large amounts need an operator's approval as
-- well, before or after the proof is there. A transfer that never left needs no proof. One that
-- failed keeps the look as evidence for its next key; one that was never sent is due from the look
-- on, if that began after everything was over that may have been forgotten.

create or replace function payout.judge_absence(
    p_outcome payout.outcome,
    p_state payout.transfer_states,
    p_transfer payout.payout_transfers,
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement;
    v_looked_at timestamptz := (
        select r.begun_at from payout.stripe_reads as r where r.read_id = p_outcome.read_id);
    v_never_left boolean := payout.never_left(p_state.payout_transfer_id, v_looked_at);
begin
    v_judgement.verdict := case
        when p_state.state in ('parked', 'failed', 'scheduled') then 'ok' else 'stale' end;
    v_judgement.reason := 'absent_at_stripe';
    if p_state.state = 'scheduled'
        and v_looked_at >= p_state.next_attempt_at + payout.forgotten_sends_last(p_settings) then
        v_judgement.to_state := 'scheduled';
        v_judgement.next_attempt_at := payout.clock();
        return v_judgement;
    end if;
    if p_state.state <> 'parked'
        or (p_outcome.first_absence_id is null and not v_never_left) then
        return v_judgement;
    end if;

    if v_never_left or p_transfer.amount_minor <= p_settings.approval_limit_minor or exists (
        select from payout.transfer_observations as o
        where o.payout_transfer_id = p_state.payout_transfer_id
            and o.generation = p_state.generation
            and o.signal = 'approve_absence'
            and o.verdict = 'ok'
    ) then
        v_judgement.to_state := 'failed';
        v_judgement.error_rule_id := 61;
        if payout.counted_keys(p_state) < p_settings.max_generations then
            v_judgement.next_attempt_at := payout.clock();
        else
            v_judgement.reason := 'keys_used_up_absent_at_stripe';
            v_judgement.is_alarm := true;
        end if;
    elsif p_state.reason <> 'absence_awaits_approval' then
        v_judgement.to_state := 'parked';
        v_judgement.error_rule_id := 60;
        v_judgement.reason := 'absence_awaits_approval';
        v_judgement.is_alarm := true;
    end if;
    return v_judgement;
end
$$;
comment on function payout.judge_absence(
    payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings
) is
    'Judges a look-up that found nothing: evidence only, or proof, or none needed; then failed '
    'with a new key at once, or parked for approval.';
