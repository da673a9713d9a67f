-- approve: do the act that another person has proposed.
--
-- Called by: approver. It is judged as things stand now, as if it were asked for now.
-- Safe to repeat: asked again, it does nothing and returns no rows.
-- Locks: the proposal; then as do_proposed.
-- Raises: SP310 no such proposal; SP314 no reason, one's own proposal, or one that has expired;
-- SP402 (do_proposed); SP410 (adopt) the comparison is too old by now.

create or replace function payout_api.approve(p_action_id bigint, p_reason text)
returns setof payout.act_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_proposal payout.operator_actions;
    v_problem text;
begin
    select * into v_proposal
    from payout.operator_actions as a
    where a.operator_action_id = p_action_id and a.action = 'propose'
    for update;
    if not found then
        raise exception 'there is no proposal %', coalesce(p_action_id::text, 'null')
            using
                errcode = 'SP310',
                hint = 'select * from payout_api.proposals';
    end if;
    if exists (
        select from payout.operator_actions as a where a.proposal_id = p_action_id
    ) then
        raise notice 'proposal % is approved already', p_action_id;
        return;
    end if;
    v_problem := case
        when coalesce(btrim(p_reason), '') = '' then 'is not approved without a reason'
        when v_proposal.acted_by = session_user then 'is your own: another person approves it'
        when v_proposal.expires_at <= payout.clock()
            then format('has expired at %s: have it proposed again', v_proposal.expires_at)
    end;
    if v_problem is not null then
        raise exception 'proposal % %', p_action_id, v_problem
            using
                errcode = 'SP314',
                hint = 'select * from payout_api.proposals';
    end if;

    insert into payout.operator_actions (action, subject, reason, proposal_id)
    values ('approve', v_proposal.subject, p_reason, p_action_id);
    return query select * from payout.do_proposed(v_proposal);
end
$$;
comment on function payout_api.approve(bigint, text) is
    'Approves the act that another login has proposed, and does it; one row for each transfer with '
    'its result. payout_api.proposals lists those that wait.';
grant execute on function payout_api.approve(bigint, text) to payout_approver;
