-- count_not_ours: the counts of a read, with the transfers that rules explained on one more page.

create or replace function payout.count_not_ours(p_counts jsonb, p_rules jsonb)
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_object_agg(c.rule_id, c.transfers), '{}')
    from (
        select n.rule_id, sum(n.transfers) as transfers
        from (
            select c.key, c.value::bigint from jsonb_each_text(p_counts) as c
            union all
            select r.value, 1 from jsonb_each_text(p_rules) as r
        ) as n (rule_id, transfers)
        group by n.rule_id
    ) as c
$$;
comment on function payout.count_not_ours(jsonb, jsonb) is
    'Adds the rules of explained_by_rules to an object of rule ids with numbers of transfers.';
