-- check_queue_code: whether somebody else than members of payout_owner may change the queue.
--
-- Its triggers and functions run as who calls them, which is payout_owner (has_queue).

create or replace function payout.check_queue_code()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with things (name, owner, acl) as (
        select 'schema ' || n.nspname, n.nspowner, n.nspacl
        from pg_namespace as n
        where n.nspname = 'procrastinate'
        union all
        select c.oid::regclass::text, c.relowner, c.relacl
        from pg_class as c
        where c.relnamespace = to_regnamespace('procrastinate') and c.relkind in ('r', 'p', 'v')
        union all
        select p.oid::regprocedure::text, p.proowner, null
        from pg_proc as p
        where p.pronamespace = to_regnamespace('procrastinate')
    )
    select 'only members of payout_owner change the queue',
        count(*) = 0 or not payout.has_queue(),
        coalesce(string_agg(format('%s: %s', q.name, q.way), ', ' order by q.name, q.way),
            'its schema, tables and functions'),
        'alter … owner to …, or revoke … on … from …; then find out who did it'
    from (
        select t.name, 'owned by ' || t.owner::regrole, t.owner
        from things as t
        union all
        select t.name, format('%s to %s', a.privilege_type,
            case a.grantee when 0 then 'public' else a.grantee::regrole::text end), a.grantee
        from things as t
        cross join lateral aclexplode(t.acl) as a
        where a.privilege_type in ('CREATE', 'TRIGGER')
    ) as q (name, way, role)
    where q.role = 0 or not pg_has_role(q.role, 'payout_owner', 'member')
$$;
comment on function payout.check_queue_code() is 'Part of payout_api.doctor().';
