-- end_not_ours_rule: let transfers that a rule explained be discrepancies again.
--
-- Called by: operator.
-- Safe to repeat: an ended rule keeps its first end.
-- Locks: the rule's row.
-- Raises: SP310 unknown rule; SP313 no reason.

create or replace function payout_api.end_not_ours_rule(p_rule_id bigint, p_reason text)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_rule payout.not_ours_rules;
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot end rule % without a reason', p_rule_id
            using
                errcode = 'SP313',
                hint = 'Say why such transfers are to be looked at again.';
    end if;

    update payout.not_ours_rules as r
    set ended_at = payout.clock(),
        ended_by = session_user,
        end_reason = p_reason
    where r.not_ours_rule_id = p_rule_id and r.ended_at is null
    returning * into v_rule;
    if found then
        insert into payout.operator_actions (action, subject, reason, details)
        values ('end_not_ours_rule', v_rule.not_ours_rule_id::text, p_reason, to_jsonb(v_rule));
        return 'done';
    elsif exists (
        select from payout.not_ours_rules as r where r.not_ours_rule_id = p_rule_id
    ) then
        return 'already';
    end if;
    raise exception 'rule % does not exist', p_rule_id
        using
            errcode = 'SP310',
            hint = 'select * from payout_api.not_ours';
end
$$;
comment on function payout_api.end_not_ours_rule(bigint, text) is
    'Ends a rule with a reason: done, or already; the next comparison reads all of Stripe''s '
    'transfers, and finds those that it hid.';
grant execute on function payout_api.end_not_ours_rule(bigint, text) to payout_operator;
