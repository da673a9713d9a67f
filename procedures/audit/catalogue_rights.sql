-- catalogue_rights: the rights on the engine's objects, and its roles with their memberships.
--
-- Rights to read harm nothing and are the operator's to give, save to the roles of the engine.
-- Memberships in those roles are too (check_logins): here are only the memberships that they have.
-- The right to alter the system lets a role have the server run its programs, or forget commits.

create or replace function payout.catalogue_rights()
returns table (object text, definition text, deparsed text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with ours as (
        select r.*
        from pg_roles as r
        where r.rolname ~ '^payout_(owner|app|worker|operator|approver|auditor)$'
    ), things (name, acl) as (
        select format('schema %s', n.nspname), coalesce(n.nspacl, acldefault('n', n.nspowner))
        from pg_namespace as n
        where n.nspname in ('payout', 'payout_api')
        union all
        select c.oid::regclass::text, coalesce(c.relacl, acldefault(
            case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner))
        from pg_class as c
        where c.relnamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
            and c.relkind not in ('i', 'I', 't', 'c')
        union all
        select format('%s.%s', a.attrelid::regclass, a.attname), a.attacl
        from pg_attribute as a
        join pg_class as c on c.oid = a.attrelid
        where c.relnamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
        union all
        select p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner))
        from pg_proc as p
        where p.pronamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
        union all
        select format('new objects %s of %s%s', d.defaclobjtype, d.defaclrole::regrole,
            ' in ' || nullif(d.defaclnamespace, 0)::regnamespace), d.defaclacl
        from pg_default_acl as d
        where d.defaclrole in (select o.oid from ours as o)
        union all
        select format('parameter %s', p.parname), p.paracl from pg_parameter_acl as p
    )
    select format('role %s', o.rolname),
        jsonb_build_array(
            o.rolsuper, o.rolcreaterole, o.rolcreatedb, o.rolcanlogin, o.rolreplication,
            o.rolbypassrls)::text, null
    from ours as o
    union all
    select distinct format('membership of %s in %s', o.rolname, m.roleid::regrole), '', null
    from pg_auth_members as m
    join ours as o on o.oid = m.member
    union all
    select
        format('rights of %s on %s',
            case a.grantee when 0 then 'public' else a.grantee::regrole::text end, t.name),
        string_agg(distinct a.privilege_type || case when a.is_grantable then '*' else '' end,
            ', '), null
    from things as t
    cross join lateral aclexplode(t.acl) as a
    left join ours as o on o.oid = a.grantee
    where case a.privilege_type
        when 'SELECT' then o.oid is not null
        when 'SET' then t.name = 'parameter session_replication_role'
        when 'USAGE' then o.oid is not null or t.name !~ '^schema '
        else a.privilege_type <> 'MAINTAIN' or o.rolname is distinct from 'payout_owner'
    end
    group by a.grantee, t.name
$$;
comment on function payout.catalogue_rights() is 'Part of payout.catalogue().';
