-- do_proposed: do a proposed act, now that another person has approved it.

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
