-- check_logins: the logins that can act for the engine, and those that can do more than their part.
--
-- Logins are the operator's to make, so these are warnings. Two that pass the rights are named, and
-- no warning: the superuser that every server is made with, and the owner of the database, who
-- installs, if it has no part besides. From PostgreSQL 16 on the creator of a role is a member who
-- may only grant it.

create or replace function payout.check_logins()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with logins as (
        select
            r.rolname, r.oid = 10 as is_first, r.oid = d.datdba as owns_database, (
                select array_agg(g.rolname order by g.rolname)
                from pg_roles as g
                where g.rolname in (
                        'payout_app', 'payout_worker', 'payout_operator', 'payout_approver',
                        'payout_auditor')
                    and not r.rolsuper and case
                        when current_setting('server_version_num')::integer < 160000
                            then pg_has_role(r.oid, g.oid, 'member')
                        else pg_has_role(r.oid, g.oid, 'usage') or pg_has_role(r.oid, g.oid, 'set')
                    end
            ) as parts, case when r.rolsuper then '{superuser}' else (
                select array_agg(case g.oid when r.oid then 'createrole' else g.rolname end
                    order by g.oid <> r.oid, g.rolname)
                from pg_roles as g
                where g.rolname in (
                        'payout_owner', 'pg_write_all_data', 'pg_write_server_files',
                        'pg_execute_server_program')
                    and pg_has_role(r.oid, g.oid, 'member')
                    -- Before PostgreSQL 16 it may grant itself every one of these.
                    or g.oid = r.oid and r.rolcreaterole
                        and current_setting('server_version_num')::integer < 160000
            ) end as ways
        from pg_roles as r
        join pg_database as d on d.datname = current_database()
        where r.rolcanlogin
    )
    select 'each login has one part', count(*) filter (where l.is_both) = 0,
        coalesce(string_agg(l.told, ', ' order by l.told) filter (where l.is_both),
            string_agg(l.told, ', ' order by l.told), 'no login has any'),
        'revoke one of the roles: application, worker and operator watch each other'
    from (
        select format('%s (%s)', o.rolname, array_to_string(o.parts, ', ')) as told,
            cardinality(array_remove(o.parts, 'payout_auditor')) > 1 as is_both
        from logins as o
        where o.parts is not null
    ) as l
    union all
    select 'no login passes the rights', coalesce(bool_and(
            l.is_first
            or l.owns_database and l.parts is null
                and l.ways <@ array['createrole', 'payout_owner']::name[]), true),
        coalesce(string_agg(format('%s (%s)', l.rolname, array_to_string(l.ways, ', ')), ', '
            order by l.rolname), 'none'),
        'revoke the role, or watch these logins: docs/guarantees.md says what they can do'
    from logins as l
    where l.ways is not null
    union all
    select 'the application does not write the queue', count(*) = 0,
        coalesce(string_agg(format('%s on %s', a.privilege_type, c.oid::regclass), ', '),
            'nor does public'),
        'revoke … on … from …; then find out who granted it'
    from pg_class as c
    cross join lateral aclexplode(c.relacl) as a
    where c.relnamespace = to_regnamespace('procrastinate') and a.privilege_type <> 'SELECT'
        and a.grantee in (0, to_regrole('payout_app'))
$$;
comment on function payout.check_logins() is 'Part of payout_api.doctor().';
