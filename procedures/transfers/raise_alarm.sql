-- raise_alarm: notify operators, and stop sending meanwhile.
--
-- Called by: record_outcomes, for each judgement that is an alarm.
-- An alarm holds the settlement; a refused Stripe key holds the engine.

create or replace function payout.raise_alarm(
    p_outcome payout.outcome, p_judgement payout.judgement
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_transfer payout.payout_transfers;
begin
    perform payout.notify_operators(
        p_judgement.reason, 'transfer ' || p_outcome.payout_transfer_id);

    if p_judgement.pauses_engine then
        perform payout.place_hold('engine', null, p_judgement.reason);
    end if;

    if p_judgement.verdict <> 'alarm' and p_judgement.to_state is distinct from 'parked' then
        return p_judgement.reason;
    end if;

    select * into strict v_transfer
    from payout.payout_transfers as t
    where t.payout_transfer_id = p_outcome.payout_transfer_id;

    insert into payout.discrepancies (
        kind, payout_transfer_id, stripe_transfer_id, ours, theirs, advice)
    values (
        p_judgement.reason, v_transfer.payout_transfer_id, p_outcome.stripe_transfer_id,
        payout.transfer_facts(v_transfer, null),
        jsonb_strip_nulls(to_jsonb(p_outcome) - 'claim_token'),
        coalesce(
            (select r.advice from payout.stripe_error_rules as r
                where r.error_rule_id = p_judgement.error_rule_id),
            'Look the payout_ref up at Stripe and compare; nothing of this settlement is sent '
            'until its hold is released.'));

    if p_judgement.verdict = 'alarm' then
        perform payout.place_hold('settlement', v_transfer.settlement_id, p_judgement.reason);
    end if;
    return p_judgement.reason;
end
$$;
comment on function payout.raise_alarm(payout.outcome, payout.judgement) is
    'Notifies operators, records a discrepancy, holds the settlement or the engine; returns the '
    'reason.';
