-- catalogue_rows: the rows of the reference tables, which only migrations write, and the settings.
--
-- A setting counts by the value from which its recorded changes have led to the present one; a
-- currency that an operator added, as the act says, not at all; nor does a cap that is as its
-- newest act says. The marks are the list of the tables that are sealed.

create or replace function payout.catalogue_rows()
returns table (object text, definition text, deparsed text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select format('row %s of %s', r.name, r.table_name), r.content::text, null
    from (
        select 'currencies', c.currency::text, to_jsonb(c) from payout.currencies as c
        where not exists (
            select from payout.operator_actions as a
            where a.action = 'add_currency' and a.subject = c.currency and a.details = to_jsonb(c)
        )
        union all
        select 'states', s.state, to_jsonb(s) from payout.states as s
        union all
        select 'situations', n.situation, to_jsonb(n) from payout.situations as n
        union all
        select 'state_edges', concat_ws(' to ', e.from_state, e.to_state), to_jsonb(e)
        from payout.state_edges as e
        union all
        select 'ledger_accounts', a.account, to_jsonb(a) from payout.ledger_accounts as a
        union all
        select 'stripe_error_rules', r.error_rule_id::text, to_jsonb(r)
        from payout.stripe_error_rules as r
        union all
        select 'discrepancy_kinds', k.kind, to_jsonb(k) from payout.discrepancy_kinds as k
        union all
        select 'seal_marks', m.table_name, '{}' from payout.seal_marks as m
        union all
        select 'caps', name, coalesce(p.content, 'null')
        from (
            select distinct on (a.subject) a.subject as name, a.details -> 'new' as content
            from payout.operator_actions as a
            where a.action = 'change_cap'
            order by a.subject, a.operator_action_id desc
        ) as r
        full join (
            select concat_ws(' ', c.scope, c.currency) as name, to_jsonb(c) as content
            from payout.caps as c
        ) as p using (name)
        where p.content is distinct from r.content
        union all
        select 'engine_settings', e.key, case
            when not exists (
                select from payout.operator_actions as a
                where a.action = 'change_setting' and a.subject = e.key
            ) then e.value
            when e.value = (
                select a.details -> 'new' from payout.operator_actions as a
                where a.action = 'change_setting' and a.subject = e.key
                order by a.operator_action_id desc limit 1
            ) then (
                select a.details -> 'old' from payout.operator_actions as a
                where a.action = 'change_setting' and a.subject = e.key
                order by a.operator_action_id limit 1
            )
        end
        from payout.engine_settings as s
        cross join lateral jsonb_each(to_jsonb(s)) as e
    ) as r (table_name, name, content)
$$;
comment on function payout.catalogue_rows() is 'Part of payout.catalogue().';
