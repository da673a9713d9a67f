-- propose: note an act that takes two people, until another one approves it.
--
-- Safe to repeat: the same proposal of the same person, while it waits, is returned.

create or replace function payout.propose(
    p_verb text,
    p_reason text,
    p_payout_transfer_ids bigint[],
    p_details jsonb default '{}',
    p_subject text default null
)
returns setof payout.act_result
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_subject text := coalesce(p_subject,
        case cardinality(p_payout_transfer_ids) when 1 then p_payout_transfer_ids[1]::text end);
    v_details jsonb := p_details || jsonb_build_object('verb', p_verb)
        || payout.known_of(p_verb, p_payout_transfer_ids);
    v_call text;
    v_proposal_id bigint;
begin
    select a.operator_action_id into v_proposal_id
    from payout.operator_actions as a
    where a.expires_at > payout.clock()
        and a.action = 'propose'
        and a.subject is not distinct from v_subject
        and a.details = v_details
        and a.acted_by = session_user
        and not exists (
            select from payout.operator_actions as e
            where e.proposal_id = a.operator_action_id
        )
    limit 1;
    if not found then
        insert into payout.operator_actions (action, subject, reason, details, expires_at)
        select 'propose', v_subject, p_reason, v_details,
            payout.clock() + e.proposals_expire_after
        from payout.engine_settings as e
        returning operator_action_id into v_proposal_id;
    end if;
    v_call := format('select * from payout_api.approve(%s, ''…'')', v_proposal_id);
    raise notice 'proposal % waits for another person: %', v_proposal_id, v_call;
    return query
    select t.payout_transfer_id, t.settlement_id::text, t.payee_id::text,
        payout_api.major_units(t.amount_minor, t.currency), t.amount_minor, t.currency::text,
        s.state::text, 'proposed', 'another person: ' || v_call
    from payout.payout_transfers as t
    join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
    where t.payout_transfer_id = any (p_payout_transfer_ids)
    order by t.payout_transfer_id;
end
$$;
comment on function payout.propose(text, text, bigint[], jsonb, text) is
    'One row for each transfer, with result proposed and the call that approves, which a notice '
    'shows as well.';
