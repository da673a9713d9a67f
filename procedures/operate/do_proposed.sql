-- do_proposed: do a proposed act, now that another person has approved it.
--
-- Called by: approve. A proposal is about the sends, alarms and stops of its time (known_of):
-- nobody has proposed it for later ones.
-- Safe to repeat: a hold that was released meanwhile stays as it is.
-- Locks: the transfers, the hold or the row of settings.
-- Raises: SP401 not read committed; SP402 another send, alarm or stop came meanwhile; SP410
-- (adopt).

create or replace function payout.do_proposed(p_proposal payout.operator_actions)
returns setof payout.act_result
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_details jsonb := p_proposal.details;
    v_verb text := v_details ->> 'verb';
    v_ids bigint[] := array(
        select i::bigint from jsonb_array_elements_text(v_details -> 'payout_transfer_ids') as i);
    v_hold_ids bigint[];
begin
    perform payout.refuse_old_snapshot('nothing is done');
    -- An alarm has locked the hold that it relies on.
    if v_verb = 'release_hold' then
        v_hold_ids := array(
            select h.hold_id
            from payout.holds as h
            where h.hold_id = p_proposal.subject::bigint and h.released_at is null
            for update);
    else
        perform from payout.transfer_states as s
        where s.payout_transfer_id = any (v_ids)
        order by s.payout_transfer_id
        for update;
    end if;
    if v_details <> v_details || payout.known_of(v_verb, v_ids) then
        raise exception 'proposal %: another send, alarm or stop came meanwhile',
            p_proposal.operator_action_id
            using
                errcode = 'SP402',
                hint = 'Look at payout_api.unpaid and doctor(), then have it proposed again.';
    end if;

    case v_verb
        when 'adopt_database' then
            perform payout.adopt(p_proposal.reason, (v_details ->> 'without_reconcile')::boolean);
        when 'release_hold' then
            perform payout.end_holds(v_hold_ids, session_user, p_proposal.reason);
        when 'write_off' then
            return query select * from payout.close_reversed(
                'write_off', v_details ->> 'payee_id', v_details ->> 'currency', v_ids,
                (v_details ->> 'amount_minor')::bigint, p_proposal.reason, false);
        when 'repay' then
            return query select * from payout.pay_again(
                v_ids[1], (v_details ->> 'amount_minor')::bigint, p_proposal.reason);
        else
            return query select * from payout.act(
                v_verb, v_ids, p_proposal.reason, false, v_details - 'verb');
    end case;
end
$$;
comment on function payout.do_proposed(payout.operator_actions) is
    'Does it as things stand now; one row for each transfer that it is about.';
