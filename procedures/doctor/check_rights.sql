-- check_rights: whether somebody was given more than the migrations gave.
--
-- Rights to read are nobody's harm; every other right on our tables, functions
-- and schemas is named unless expected_rights lists it.

create or replace function payout.check_rights()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with ours as (
        select n.oid, n.nspname, n.nspowner as owner, n.nspacl as acl
        from pg_namespace as n
        where n.nspname in ('payout', 'payout_api')
    ), given as (
        select format('schema %s', o.nspname) as thing, a.privilege_type, a.grantee, o.owner
        from ours as o cross join lateral aclexplode(o.acl) as a
        where a.privilege_type <> 'USAGE'
        union all
        select c.oid::regclass::text, a.privilege_type, a.grantee, c.relowner
        from pg_class as c
        join ours as o on o.oid = c.relnamespace
        cross join lateral aclexplode(c.relacl) as a
        where a.privilege_type <> 'SELECT' and c.relkind in ('r', 'v')
        union all
        select format('%s.%s', t.attrelid::regclass, t.attname), a.privilege_type, a.grantee,
            c.relowner
        from pg_attribute as t
        join pg_class as c on c.oid = t.attrelid
        join ours as o on o.oid = c.relnamespace
        cross join lateral aclexplode(t.attacl) as a
        where a.privilege_type <> 'SELECT'
        union all
        select p.oid::regprocedure::text, a.privilege_type, a.grantee, p.proowner
        from pg_proc as p
        join ours as o on o.oid = p.pronamespace
        cross join lateral aclexplode(p.proacl) as a
        where a.grantee <> 0
    )
    select 'nobody was given more rights', count(*) = 0,
        coalesce(string_agg(format('%s on %s to %s', g.privilege_type, g.thing,
            case g.grantee when 0 then 'public' else g.grantee::regrole::text end), ', '), 'none'),
        'revoke … on … from …; then find out who granted it'
    from given as g
    where g.grantee <> g.owner
        and not exists (
            select
            from payout.expected_rights() as w
            where g.grantee <> 0
                and g.grantee::regrole::text = any (string_to_array(w.roles, '|'))
                and g.privilege_type = any (string_to_array(w.privileges, '|'))
                and g.thing ~ w.things
        )
$$;
comment on function payout.check_rights() is
    'Part of payout_api.doctor(): rights beyond reading are those that the migrations gave.';
