-- propose: note an act that takes two people, until another one approves it.
--
-- Safe to repeat: the same proposal of the same person, while it waits, is returned.

create or replace function payout.propose(
    p_verb text, p_subject text, p_reason text, p_details jsonb
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_details jsonb := p_details || jsonb_build_object('verb', p_verb)
        || payout.known_of_transfers(array(
            select i::bigint
            from jsonb_array_elements_text(p_details -> 'payout_transfer_ids') as i));
    v_proposal payout.operator_actions;
begin
    select a.* into v_proposal
    from payout.operator_actions as a
    where a.expires_at > payout.clock()
        and a.action = 'propose'
        and a.subject is not distinct from p_subject
        and a.details = v_details
        and a.acted_by = session_user
        and not exists (
            select from payout.operator_actions as e
            where e.proposal_id = a.operator_action_id
        )
    limit 1;
    if not found then
        insert into payout.operator_actions (action, subject, reason, details, expires_at)
        select 'propose', p_subject, p_reason, v_details,
            payout.clock() + e.proposals_expire_after
        from payout.engine_settings as e
        returning * into v_proposal;
    end if;
    raise notice 'proposal % waits for another person: '
        'select * from payout_api.approve(%, ''…'')',
        v_proposal.operator_action_id, v_proposal.operator_action_id;
    return v_proposal.operator_action_id;
end
$$;
comment on function payout.propose(text, text, text, jsonb) is
    'Returns the number of the proposal, which payout_api.approve takes.';
