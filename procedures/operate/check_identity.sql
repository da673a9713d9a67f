-- check_identity: whether the database is adopted, and the caller's key is of its Stripe account.

create or replace function payout.check_identity(p_stripe_account_id text, p_is_livemode boolean)
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select 'the database is adopted', i.problem is null,
        coalesce(i.problem, (
            select format('by %s at %s: %s', a.recorded_by, a.recorded_at, a.reason)
            from payout.adoptions as a
            order by a.adoption_id desc
            limit 1)),
        'docs/restore.md: payout-engine reconcile, then select payout_api.adopt_database(reason)'
    from (select payout.identity_problem() as problem) as i
    union all
    -- Any other adoption was written by hand.
    select 'the adoption is of an operator or of the first claim',
        a.system_identifier is null
            or exists (
                select from payout.operator_actions as o
                where o.action = 'adopt_database' and o.subject = a.adoption_id::text
            ) or not exists (
                select from payout.adoptions as e
                where not (e.is_installation or e.is_first_claim)
                    or (e.system_identifier, e.timeline_id, e.database_oid, e.table_oid)
                        <> (a.system_identifier, a.timeline_id, a.database_oid, a.table_oid)
            ),
        format('number %s, by %s at %s', a.adoption_id, a.recorded_by, a.recorded_at),
        'payout_api.hold(''engine'', …), find out who wrote it, then docs/restore.md'
    from (select e.* from payout.adoptions as e order by e.adoption_id desc limit 1) as a
    union all
    select 'the key is of the fixed account',
        s.stripe_account_id is null or p_stripe_account_id is null
            or (s.stripe_account_id = p_stripe_account_id
                and s.is_livemode is not distinct from p_is_livemode),
        concat_ws('; ',
            case
                when s.stripe_account_id is null then 'none is fixed: the first claim fixes one'
                else 'fixed: ' || payout.stripe_account_label(s.stripe_account_id, s.is_livemode)
            end,
            'the key: ' || case
                when p_stripe_account_id is null then 'not asked'
                else payout.stripe_account_label(p_stripe_account_id, p_is_livemode)
            end),
        'give the worker another key; if the platform has moved: '
            'select payout_api.change_stripe_account(stripe_account_id, is_livemode, reason)'
    from payout.engine_settings as s
$$;
comment on function payout.check_identity(text, boolean) is 'Part of payout_api.doctor().';
