-- record_outcomes: judge outcomes of different transfers, store them and act on them.
--
-- A report of another claim tells nothing of the transfer: it is no observation of it, and kept in
-- the discrepancy of its alarm alone.

create or replace function payout.record_outcomes(p_outcomes payout.outcome[])
returns setof payout.reported
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return query with judged as materialized (
        select o as outcome, j as judgement, o.*, j.*, s.generation as current_generation,
            s.state as former_state, t.amount_minor as owed_minor, t.currency as owed_currency,
            t.payee_id
        from unnest(p_outcomes) as o
        join payout.transfer_states as s on s.payout_transfer_id = o.payout_transfer_id
        join payout.payout_transfers as t on t.payout_transfer_id = o.payout_transfer_id
        cross join lateral payout.judge_outcome(
            o, s, t, payout.destinations(t, s.generation),
            (select e from payout.engine_settings as e)) as j
        order by o.payout_transfer_id
    ), observed as (
        insert into payout.transfer_observations (
            payout_transfer_id, generation, attempt, signal, verdict, moved_to, reason,
            error_rule_id, http_status, error_type, error_code, is_replayed, stripe_transfer_id,
            stripe_request_id, facts, is_counted_try, has_unknown_send, next_attempt_at)
        select j.payout_transfer_id, j.generation, j.attempt, j.signal, j.verdict, j.to_state,
            j.reason, j.error_rule_id, j.http_status, j.error_type, j.error_code, j.is_replayed,
            j.stripe_transfer_id, j.stripe_request_id, payout.remaining_facts(j.outcome),
            coalesce(j.counts_as_try, false), coalesce(j.leaves_unknown, false), j.next_attempt_at
        from judged as j where j.reason is distinct from 'report_of_another_claim'
    ), moved as (
        update payout.transfer_states as s
        set state = j.to_state,
            lease_until = null,
            next_attempt_at = case when j.to_state <> 'paid' then j.next_attempt_at end,
            stripe_transfer_id = case when j.to_state = 'paid' then j.stripe_transfer_id end,
            tries = s.tries + coalesce(j.counts_as_try, false)::integer,
            has_unknown_send = s.has_unknown_send or coalesce(j.leaves_unknown, false),
            reason = case when j.to_state <> 'scheduled' then j.reason end,
            changed_at = payout.clock()
        from judged as j
        where s.payout_transfer_id = j.payout_transfer_id and j.to_state is not null
    ), stopped as (
        -- After an alarm no new key may be opened.
        update payout.transfer_states as s
        set next_attempt_at = null
        from judged as j where s.payout_transfer_id = j.payout_transfer_id and j.is_alarm
            and j.former_state = 'failed' and j.reason <> 'report_of_another_claim'
    ), booked as (
        insert into payout.ledger_entries (
            payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor,
            currency, operator_action_id)
        select j.payout_transfer_id, m.entry_kind, j.current_generation,
            case j.former_state when 'failed' then 'payable:' || j.payee_id else 'in_flight' end,
            coalesce(m.credit_account, 'payable:' || j.payee_id), j.owed_minor, j.owed_currency,
            case when m.entry_kind in ('cancel', 'settle_outside') then j.operator_action_id end
        from judged as j
        join payout.states as m on m.entry_kind is not null
            and m.state = j.to_state and m.state <> j.former_state
    ), notified as (
        select count(payout.raise_alarm(j.outcome, j.judgement)) as alarms
        from judged as j where j.is_alarm
    )
    select j.payout_transfer_id, j.generation, j.attempt, j.verdict,
        coalesce(j.to_state, j.former_state::text)
    from judged as j
    where (select n.alarms from notified as n) >= 0;
end
$$;
comment on function payout.record_outcomes(payout.outcome[]) is
    'Stores outcomes with their judgement, moves the transfers, books paid and released money.';
