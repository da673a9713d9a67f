-- judge_lookup: judge a complete look at Stripe's list for one transfer.
--
-- One transfer found is judged as any success; several are an alarm. None is evidence and
-- settles nothing, unless it completes a proof of absence. A look that cannot tell, because of
-- something unreadable, is no evidence either.

create or replace function payout.judge_lookup(
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
    if p_outcome.found = 1 then
        v_judgement := payout.judge_success(
            p_outcome, p_state, p_transfer, p_destinations, p_settings);
        if v_judgement.to_state = 'paid' then
            v_judgement.reason := 'found_at_stripe';
        end if;
    elsif p_outcome.found = 0 then
        return payout.judge_absence(p_outcome, p_state, p_transfer, p_settings);
    elsif p_outcome.found is null then
        v_judgement.verdict := 'ok';
        v_judgement.reason := 'unreadable_at_stripe';
    elsif exists (
        select from payout.transfer_observations as o
        where o.payout_transfer_id = p_outcome.payout_transfer_id
            and o.reason = 'several_transfers_at_stripe'
            and o.facts ->> 'detail' = p_outcome.detail
    ) then
        v_judgement.verdict := 'already';
    else
        v_judgement.verdict := 'alarm';
        v_judgement.reason := 'several_transfers_at_stripe';
        v_judgement.is_alarm := true;
        -- A late first send waits for nothing else than this look.
        v_judgement.to_state := case when p_state.state = 'scheduled' then 'parked' end;
        v_judgement.leaves_unknown := p_state.state = 'scheduled';
    end if;
    return v_judgement;
end
$$;
comment on function payout.judge_lookup(
    payout.outcome, payout.transfer_states, payout.payout_transfers, text[],
    payout.engine_settings
) is
    'Judges a look-up by how many transfers it found: one by judge_success, none by judge_absence, '
    'several as an alarm; null: it cannot be told.';
