-- do_proposed: do a proposed act, now that another person has approved it.
--
-- Called by: approve. A proposal about transfers is about the sends and alarms of its time, one to
-- adopt the database about the reason for which claims were stopped then: nobody has proposed it
-- for later ones.
-- Locks: the transfers. Raises: SP402 another send, alarm or stop came meanwhile.

create or replace function payout.do_proposed(p_proposal payout.operator_actions)
returns setof payout.act_result
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids bigint[] := array(
        select i::bigint
        from jsonb_array_elements_text(p_proposal.details -> 'payout_transfer_ids') as i);
begin
    perform from payout.transfer_states as s
    where s.payout_transfer_id = any (v_ids)
    order by s.payout_transfer_id
    for update;
    if not p_proposal.details @> payout.known_of_transfers(v_ids)
        or (p_proposal.details ->> 'verb' = 'adopt_database'
            and payout.identity_problem() is not null
            and not p_proposal.details @> jsonb_build_object(
                'problem', payout.identity_problem(),
                'newest_adoption_id', (select max(a.adoption_id) from payout.adoptions as a)))
    then
        raise exception 'proposal %: another send, alarm or stop came meanwhile',
            p_proposal.operator_action_id
            using
                errcode = 'SP402',
                hint = 'Look at payout_api.unpaid and doctor(), then have it proposed again.';
    end if;

    case p_proposal.details ->> 'verb'
        when 'adopt_database' then
            perform payout.adopt(
                p_proposal.reason, (p_proposal.details ->> 'without_reconcile')::boolean);
        when 'release_hold' then
            perform payout.end_proposed_hold(p_proposal);
        when 'approve_absence' then
            return query select * from payout.approve_absence(v_ids, p_proposal.reason);
        when 'write_off' then
            return query select * from payout.close_reversed(
                'write_off', p_proposal.details ->> 'payee_id', p_proposal.details ->> 'currency',
                (p_proposal.details ->> 'amount_minor')::bigint, null, p_proposal.reason, false);
        when 'repay' then
            return query select * from payout.pay_again(
                v_ids[1], (p_proposal.details ->> 'amount_minor')::bigint, p_proposal.reason);
        else
            return query select * from payout.act(
                p_proposal.details ->> 'verb', v_ids, p_proposal.reason, false,
                p_proposal.details - 'verb');
    end case;
end
$$;
comment on function payout.do_proposed(payout.operator_actions) is
    'Does it as things stand now; one row for each transfer that it is about.';
