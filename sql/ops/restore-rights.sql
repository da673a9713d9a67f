-- restore-rights: give the engine's objects back to payout_owner, and rights back to its roles.
--
-- psql "$DATABASE_URL" --single-transaction -v ON_ERROR_STOP=1 -f sql/ops/restore-rights.sql
--
-- A restore with pg_restore --no-owner --no-acl, as hosting providers do it, leaves every object to
-- the login that restored, callable by everybody; another cluster lacks the roles. The rights are
-- those that the last migration recorded (payout.catalogues). Rights of roles that are not the
-- engine's stay as they are, for the doctor to name. For the login that owns the objects and
-- is a member of payout_owner, or a superuser; payout-engine migrate runs it where it is needed.

set local search_path = pg_catalog, pg_temp;

do $$
declare
    v_statement text;
begin
    for v_statement in
        select format('create role %I nologin', n.name)
        from unnest(array[
            'payout_owner', 'payout_app', 'payout_worker', 'payout_operator', 'payout_approver',
            'payout_auditor']) as n (name)
        where to_regrole(n.name) is null
    loop
        execute v_statement;
    end loop;
end
$$;

-- The schemas come first: an owner needs the right to create in the schema of its objects.
do $$
declare
    v_statement text;
begin
    for v_statement in
        select format('alter %s %s owner to payout_owner', o.kind, o.name)
        from (
            select 1 as place, 'schema' as kind, n.nspname::text as name, n.nspowner as owner
            from pg_namespace as n
            where n.nspname in ('payout', 'payout_api')
            union all
            select 2, case c.relkind
                    when 'v' then 'view' when 'S' then 'sequence' when 'c' then 'type'
                    else 'table' end,
                c.oid::regclass::text, c.relowner
            from pg_class as c
            where c.relnamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
                and c.relkind in ('r', 'v', 'S', 'c')
                -- The sequence of a column goes with its table.
                and not exists (
                    select from pg_depend as d
                    where d.classid = 'pg_class'::regclass and d.objid = c.oid
                        and d.deptype in ('a', 'i') and d.refobjsubid > 0)
            union all
            select 3, 'domain', t.oid::regtype::text, t.typowner
            from pg_type as t
            where t.typnamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
                and t.typtype = 'd'
            union all
            select 4, 'function', p.oid::regprocedure::text, p.proowner
            from pg_proc as p
            where p.pronamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
        ) as o
        where o.owner <> 'payout_owner'::regrole
        order by o.place
    loop
        execute v_statement;
    end loop;
end
$$;

alter default privileges for role payout_owner revoke execute on functions from public;
alter default privileges for role payout_owner in schema payout, payout_api
    grant select on tables to payout_operator, payout_auditor;

do $$
declare
    v_statement text;
begin
    for v_statement in
        select case a.is_grant
                when true then format('grant %s%s on %s to %s',
                    a.privilege, a.columns, a.target, a.grantee)
                else format('revoke %s%s on %s from %s',
                    a.privilege, a.columns, a.target, a.grantee)
            end
        from (
            select x.is_grant, x.privilege, r.grantee,
                case when r.target ~ '^schema |\(' or to_regclass(r.target) is not null then ''
                    else format(' (%s)', substring(r.target from '[^.]+$')) end as columns,
                case
                    when r.target ~ '^schema ' then r.target
                    when r.target ~ '\(' then 'function ' || r.target
                    when to_regclass(r.target) is null
                        then 'table ' || regexp_replace(r.target, '\.[^.]+$', '')
                    when (select c.relkind from pg_class as c where c.oid = to_regclass(r.target))
                        = 'S' then 'sequence ' || r.target
                    else 'table ' || r.target
                end as target
            from (
                select m[1] as grantee, m[2] as target,
                    replace(d.recorded ->> 0, '*', '') as recorded,
                    replace(d.present ->> 0, '*', '') as present
                from payout_api.catalogue_differences() as d
                cross join lateral regexp_match(
                    d.object,
                    '^rights of (public|payout_(?:owner|app|worker|operator|approver|auditor)) '
                    'on (.*)$') as m
            ) as r
            cross join lateral (
                select false as is_grant, p as privilege
                from string_to_table(r.present, ', ') as p
                where p <> all (string_to_array(coalesce(r.recorded, ''), ', '))
                union all
                select true, p
                from string_to_table(r.recorded, ', ') as p
                where p <> all (string_to_array(coalesce(r.present, ''), ', '))
            ) as x
            where r.target !~ '^(parameter|new objects) '
        ) as a
        order by a.is_grant
    loop
        execute v_statement;
    end loop;
    execute format('revoke temporary on database %I from public', current_database());
end
$$;
