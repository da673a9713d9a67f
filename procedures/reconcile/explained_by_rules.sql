-- explained_by_rules: the discrepancies of a page that rules explain, each with its rule.

create or replace function payout.explained_by_rules(p_discrepancies payout.discrepancy[])
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from payout.not_ours_rules as r where r.ended_at is null) then
        return '{}'::jsonb;
    end if;
    return (
        select coalesce(jsonb_object_agg(d.stripe_transfer_id, r.rule_id), '{}')
        from unnest(p_discrepancies) as d
        cross join lateral payout.not_ours_rule(d.kind, d.theirs) as r (rule_id)
        where r.rule_id is not null);
end
$$;
comment on function payout.explained_by_rules(payout.discrepancy[]) is
    'An object of Stripe''s transfer ids, each with the id of the rule that explains it.';
