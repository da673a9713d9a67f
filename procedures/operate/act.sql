-- act: do an act of an operator with each of the transfers, or say why not.
--
-- Called by: the verbs of operators, and approve. Each transfer is judged by itself: those
-- with which it can be done are noted in one row of operator_actions; the others are refused with
-- a sentence. Safe to repeat: asked again, it answers already, and leaves no further row.
-- Locks: for a retry the waits that it ends; the transfers' progress rows, in id order: it waits
-- for a claim or report that has one, so that a transfer is either cancelled or sent.
-- Raises: SP314 no reason.

create or replace function payout.act(
    p_verb text,
    p_payout_transfer_ids bigint[],
    p_reason text,
    p_preview boolean,
    p_details jsonb default '{}'
)
returns setof payout.act_result
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_action_id bigint;
    v_acts payout.act_result[];
    v_ids bigint[];
begin
    perform payout.refuse_without_reason(p_verb, p_reason);
    if p_preview is not true then
        perform payout.waits_of(p_payout_transfer_ids) where p_verb = 'retry';
        perform from payout.transfer_states as s
        where s.payout_transfer_id = any (p_payout_transfer_ids)
        order by s.payout_transfer_id
        for update;
    end if;

    v_acts := array(
        select a from payout.previewed_acts(p_verb, p_payout_transfer_ids, p_details) as a);
    v_ids := array(
        select a.payout_transfer_id from unnest(v_acts) as a where a.result = 'preview');
    perform payout.plan_awaited_looks(v_acts)
    where p_preview is not true and p_verb in ('cancel', 'settle_outside');
    if p_preview is true or v_ids = '{}' then
        return query select * from unnest(v_acts);
        return;
    end if;

    insert into payout.operator_actions (action, subject, reason, details)
    values (p_verb, case cardinality(v_ids) when 1 then v_ids[1]::text end, p_reason,
        p_details || jsonb_build_object('payout_transfer_ids', to_jsonb(v_ids)))
    returning operator_action_id into v_action_id;
    v_ids := array(
        select r.payout_transfer_id
        from payout.record_outcomes_apart(array(
            select payout.act_outcome(p_verb, s, v_action_id, p_details)
            from payout.transfer_states as s
            where s.payout_transfer_id = any (v_ids)
            order by s.payout_transfer_id)) as r
        where r.verdict = 'ok');
    perform payout.end_holds(payout.waits_of(v_ids), session_user, p_reason) where p_verb = 'retry';
    -- A look decides about these: at once.
    update payout.transfer_states as s
    set next_lookup_at = payout.clock()
    where s.payout_transfer_id = any (v_ids) and s.state in ('parked', 'failed');

    return query
    select a.payout_transfer_id, a.settlement_id, a.payee_id, a.amount, a.amount_minor, a.currency,
        s.state::text,
        case
            when a.payout_transfer_id = any (v_ids) then 'done'
            when a.result = 'preview' then 'refused'
            else a.result
        end,
        case
            when a.payout_transfer_id = any (v_ids) then 'was ' || a.state
            when a.result = 'preview' then 'its row contradicts its facts: it was set aside'
            else a.detail
        end
    from unnest(v_acts) as a
    join payout.transfer_states as s on s.payout_transfer_id = a.payout_transfer_id
    order by a.payout_transfer_id;
end
$$;
comment on function payout.act(text, bigint[], text, boolean, jsonb) is
    'One row for each transfer; a preview changes nothing.';
