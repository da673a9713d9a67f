-- add_not_ours_rule: say which transfers at Stripe are of other software, so that none is an alarm.
--
-- Called by: operator. A transfer that carries anything of ours fits no rule (may_be_ours).
-- Safe to repeat: the same conditions return the open rule, and resolve what it explains by now.
-- Raises: SP313 no reason, no condition without p_everything or one beside it, a time to come.

create or replace function payout_api.add_not_ours_rule(
    p_reason text,
    p_created_before timestamptz default null,
    p_metadata_key text default null,
    p_destination text default null,
    p_everything boolean default false
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_rule payout.not_ours_rules;
begin
    if coalesce(btrim(p_reason), '') = ''
        or coalesce(p_everything, false)
            <> (num_nonnulls(p_created_before, p_metadata_key, p_destination) = 0)
        or p_created_before > payout.clock() then
        raise exception 'cannot add such a rule, for reason %',
            coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP313',
                hint = 'Give a reason, and a time that has passed, a key of the metadata or an '
                    'account, or several; or p_everything => true for all that cannot be ours.';
    end if;

    insert into payout.not_ours_rules (
        created_before, metadata_key, destination, is_everything, reason)
    values (p_created_before, p_metadata_key, p_destination, coalesce(p_everything, false),
        p_reason)
    on conflict (created_before, metadata_key, destination) where ended_at is null do nothing
    returning * into v_rule;
    if found then
        insert into payout.operator_actions (action, subject, reason, details)
        values ('add_not_ours_rule', v_rule.not_ours_rule_id::text, p_reason, to_jsonb(v_rule));
    else
        select * into strict v_rule
        from payout.not_ours_rules as r
        where r.ended_at is null
            and (r.created_before, r.metadata_key, r.destination)
                is not distinct from (p_created_before, p_metadata_key, p_destination);
    end if;
    perform payout.resolve_by_rules();
    return v_rule.not_ours_rule_id;
end
$$;
comment on function payout_api.add_not_ours_rule(text, timestamptz, text, text, boolean) is
    'Counts transfers at Stripe as those of other software: made before a time, with a key in '
    'their metadata, to an account (all that are given), or everything that cannot be ours; with '
    'a reason. Resolves their open discrepancies; returns the number of the rule.';
grant execute on function payout_api.add_not_ours_rule(
    text, timestamptz, text, text, boolean
) to payout_operator;
