-- act: do an act of an operator with each of the transfers, propose it, or say why not.
--
-- Called by: the verbs of operators, and do_proposed. Each transfer is judged by itself: those
-- with which it can be done are noted in one row of operator_actions; the others are refused with
-- a sentence. Safe to repeat: asked again, it answers already, and leaves no further row.
-- Locks: for a retry the waits that it ends; the transfers' progress rows, in id order: it waits
-- for a claim or report that has one, so that a transfer is either cancelled or sent. A proposal
-- locks none: retry proposes for some after it has locked others, and approve judges anew.
-- Raises: SP314 no reason; SP401 not read committed.

create or replace function payout.act(
    p_verb text,
    p_payout_transfer_ids bigint[],
    p_reason text,
    p_preview boolean,
    p_details jsonb default '{}',
    p_takes_two boolean default false
)
returns setof payout.act_result
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_acts payout.act_result[];
    v_ids bigint[];
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot % without a reason', replace(p_verb, '_', ' ')
            using
                errcode = 'SP314',
                hint = 'Say why: p_reason is kept with the act.';
    end if;
    if p_preview is not true and p_takes_two is not true then
        perform payout.refuse_old_snapshot('nothing is done');
        perform payout.waits_of(p_payout_transfer_ids) where p_verb = 'retry';
        perform from payout.transfer_states as s
        where s.payout_transfer_id = any (p_payout_transfer_ids)
        order by s.payout_transfer_id
        for update;
    end if;

    v_acts := array(
        select a from payout.previewed_acts(p_verb, p_payout_transfer_ids, p_takes_two) as a);
    v_ids := array(
        select a.payout_transfer_id from unnest(v_acts) as a where a.result = 'preview');
    -- The look that a refused act waits for, from when on it counts.
    update payout.transfer_states as s
    set next_lookup_at = payout.look_awaited_from(s)
    from unnest(v_acts) as a
    where p_preview is not true and p_verb in ('cancel', 'settle_outside')
        and s.payout_transfer_id = a.payout_transfer_id
        and a.result = 'refused'
        and s.next_lookup_at is null
        and payout.progress_problem(s) is null
        and payout.look_awaited_from(s) is not null;
    if p_preview is true or v_ids = '{}' then
        return query select * from unnest(v_acts);
        return;
    elsif p_takes_two then
        return query select * from unnest(v_acts) as a where a.result <> 'preview';
        return query select * from payout.propose(p_verb, p_reason, v_ids, p_details);
        return;
    end if;

    v_ids := payout.record_acts(p_verb, v_ids, p_reason, p_details);
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
comment on function payout.act(text, bigint[], text, boolean, jsonb, boolean) is
    'One row for each transfer; a preview changes nothing; an act that takes two is proposed.';
