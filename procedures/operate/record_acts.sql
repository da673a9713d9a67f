-- record_acts: note an act of an operator, and have it judged and recorded as any other outcome.
--
-- Called by: act, which has locked the transfers.

create or replace function payout.record_acts(
    p_verb text, p_payout_transfer_ids bigint[], p_reason text, p_details jsonb
)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_action_id bigint;
    v_ids bigint[];
begin
    insert into payout.operator_actions (action, subject, reason, details)
    values (p_verb,
        case cardinality(p_payout_transfer_ids) when 1 then p_payout_transfer_ids[1]::text end,
        p_reason,
        p_details || jsonb_build_object('payout_transfer_ids', to_jsonb(p_payout_transfer_ids)))
    returning operator_action_id into v_action_id;
    v_ids := array(
        select r.payout_transfer_id
        from payout.record_outcomes_apart(array(
            select jsonb_populate_record(null::payout.outcome, jsonb_build_object(
                'payout_transfer_id', s.payout_transfer_id,
                'generation', s.generation,
                'attempt', s.attempt,
                'signal', p_verb,
                'operator_action_id', v_action_id,
                'detail', p_details ->> 'reference'))
            from payout.transfer_states as s
            where s.payout_transfer_id = any (p_payout_transfer_ids)
            order by s.payout_transfer_id)) as r
        where r.verdict = 'ok');
    perform payout.end_holds(payout.waits_of(v_ids), session_user, p_reason)
    where p_verb in ('retry', 'approve_absence');
    -- A look decides about these: at once.
    update payout.transfer_states as s
    set next_lookup_at = payout.clock()
    where s.payout_transfer_id = any (v_ids) and s.state in ('parked', 'failed');
    -- The alarm asked for this decision.
    perform payout_api.resolve_discrepancy(d.discrepancy_id, p_reason)
    from payout.discrepancies as d
    where p_verb = 'approve_absence'
        and d.payout_transfer_id = any (v_ids)
        and d.kind = 'absence_awaits_approval'
        and d.resolved_at is null;
    return v_ids;
end
$$;
comment on function payout.record_acts(text, bigint[], text, jsonb) is
    'Numbers of the transfers with which it was done; the others were set aside.';
