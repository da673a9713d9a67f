-- given_rights: the rights beyond reading that roles have on objects of the engine.
--
-- Includes ways around our rights: a role of ours that acts as another role, the right to switch
-- triggers off by a setting, rights of the application on the queue's tables.

create or replace function payout.given_rights()
returns table (thing text, privilege_type text, grantee oid, owner oid)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with ours as (
        select n.oid, n.nspname, n.nspowner as owner, n.nspacl as acl
        from pg_namespace as n
        where n.nspname in ('payout', 'payout_api')
    )
    select format('schema %s', o.nspname), a.privilege_type, a.grantee, o.owner
    from ours as o cross join lateral aclexplode(o.acl) as a
    where a.privilege_type <> 'USAGE'
    union all
    select c.oid::regclass::text, a.privilege_type, a.grantee, c.relowner
    from pg_class as c
    join ours as o on o.oid = c.relnamespace
    cross join lateral aclexplode(c.relacl) as a
    where a.privilege_type <> 'SELECT' and c.relkind in ('r', 'v', 'S')
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
    union all
    select format('role %s', m.roleid::regrole), 'MEMBER', m.member, m.roleid
    from pg_auth_members as m
    where m.member::regrole::text in (
        'payout_owner', 'payout_app', 'payout_worker', 'payout_operator', 'payout_auditor')
    union all
    select format('parameter %s', p.parname), a.privilege_type, a.grantee, a.grantor
    from pg_parameter_acl as p cross join lateral aclexplode(p.paracl) as a
    where p.parname = 'session_replication_role'
    union all
    select c.oid::regclass::text, a.privilege_type, a.grantee, c.relowner
    from pg_class as c
    cross join lateral aclexplode(c.relacl) as a
    where c.relnamespace = to_regnamespace('procrastinate')
        and a.privilege_type <> 'SELECT'
        and (a.grantee = 0 or a.grantee::regrole::text = 'payout_app')
$$;
comment on function payout.given_rights() is 'Part of payout_api.doctor().';
