-- catalogue_roles: the roles of the engine, the roles they act as, and settings that stop triggers.

create or replace function payout.catalogue_roles()
returns table (object text, definition text, deparsed text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with ours as (
        select r.*
        from pg_roles as r
        where r.rolname ~ '^payout_(owner|app|worker|operator|approver|auditor)$'
    )
    select format('role %s', o.rolname),
        jsonb_build_array(
            o.rolsuper, o.rolcreaterole, o.rolcreatedb, o.rolcanlogin, o.rolreplication,
            o.rolbypassrls)::text,
        null
    from ours as o
    union all
    select distinct format('membership of %s in %s', o.rolname, m.roleid::regrole), '', null
    from pg_auth_members as m
    join ours as o on o.oid = m.member
    union all
    select
        format('settings of %s in %s',
            coalesce(nullif(s.setrole, 0)::regrole::text, 'every role'),
            case s.setdatabase when 0 then 'every database' else 'this database' end),
        c.setting, null
    from pg_db_role_setting as s
    cross join lateral unnest(s.setconfig) as c (setting)
    where c.setting like 'session_replication_role=%'
        and s.setdatabase in (
            0, (select d.oid from pg_database as d where d.datname = current_database()))
$$;
comment on function payout.catalogue_roles() is 'Part of payout.catalogue().';
