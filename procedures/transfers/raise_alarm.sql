-- raise_alarm: notify operators, and stop sending meanwhile.
--
-- Called by: record_outcomes, for each judgement that is an alarm.
-- An alarm stops the transfer it is about, many alarms stop the engine. A report of another claim
-- moves nothing, and stops no transfer that is paid: any login of a worker can send one. A refused
-- Stripe key stops the worker that has it (stop_refused_worker).

create or replace function payout.raise_alarm(
    p_outcome payout.outcome, p_judgement payout.judgement
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_discrepancy_id bigint;
begin
    perform payout.notify_operators(
        p_judgement.reason, 'transfer ' || p_outcome.payout_transfer_id, (
            select jsonb_build_object(
                'payout_transfer_id', t.payout_transfer_id, 'settlement_id', t.settlement_id)
            from payout.payout_transfers as t
            where t.payout_transfer_id = p_outcome.payout_transfer_id));

    if p_judgement.pauses_engine then
        perform payout.stop_refused_worker(p_outcome, p_judgement.reason);
    end if;

    if p_judgement.verdict <> 'alarm' and p_judgement.to_state is distinct from 'parked' then
        return p_judgement.reason;
    end if;

    insert into payout.discrepancies (
        kind, payout_transfer_id, stripe_transfer_id, ours, theirs, advice)
    select
        p_judgement.reason, t.payout_transfer_id, p_outcome.stripe_transfer_id,
        payout.transfer_facts(t, null), jsonb_strip_nulls(to_jsonb(p_outcome) - 'claim_token'),
        coalesce(
            (select r.advice from payout.stripe_error_rules as r
                where r.error_rule_id = p_judgement.error_rule_id),
            'Look the payout_ref up at Stripe and compare; this transfer is not sent until its '
            'hold is released.')
    from payout.payout_transfers as t
    where t.payout_transfer_id = p_outcome.payout_transfer_id
    returning discrepancy_id into strict v_discrepancy_id;

    if p_judgement.verdict = 'alarm' and not (
        p_judgement.reason = 'report_of_another_claim' and exists (
            select from payout.transfer_states as s
            where s.payout_transfer_id = p_outcome.payout_transfer_id and s.state = 'paid'
        )
    ) then
        perform payout.stop_transfer(
            p_outcome.payout_transfer_id, p_judgement.reason, v_discrepancy_id);
    end if;
    return p_judgement.reason;
end
$$;
comment on function payout.raise_alarm(payout.outcome, payout.judgement) is
    'Notifies operators, records a discrepancy, holds the transfer, a worker or the engine; '
    'returns the reason.';
