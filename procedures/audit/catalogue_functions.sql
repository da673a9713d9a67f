-- catalogue_functions: the functions and types of the engine, and objects that reach into them.
--
-- Objects that were added to pg_catalog can take the place of those that our functions call; an
-- event trigger runs beside each command that defines something. 16384 is the first id of an
-- object that is not part of Postgres itself.

create or replace function payout.catalogue_functions()
returns table (object text, definition text, deparsed text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select
        format('function %s', p.oid::regprocedure),
        jsonb_build_array(
            p.prokind, l.lanname, p.proowner::regrole, sha256(convert_to(p.prosrc, 'UTF8')),
            p.prosecdef, p.proleakproof, p.proisstrict, p.provolatile, p.proparallel,
            p.prosupport, p.proconfig, p.proargnames, p.proargmodes,
            pg_get_function_result(p.oid))::text,
        concat_ws(' as ', pg_get_function_arguments(p.oid), pg_get_function_sqlbody(p.oid))
    from pg_proc as p
    join pg_language as l on l.oid = p.prolang
    where p.pronamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
        or (p.oid >= 16384 and p.pronamespace = 'pg_catalog'::regnamespace)
    union all
    select
        format('type %s', t.oid::regtype),
        jsonb_build_array(
            t.typtype, t.typowner::regrole, format_type(t.typbasetype, t.typtypmod),
            t.typnotnull, t.typcollation::regcollation, t.typdefault is not null)::text,
        t.typdefault
    from pg_type as t
    where t.typnamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
        and t.typtype <> 'c' and t.typcategory <> 'A'
    union all
    select format('operator %s', o.oid::regoperator), o.oprcode::regprocedure::text, null
    from pg_operator as o
    where o.oid >= 16384 and o.oprnamespace = 'pg_catalog'::regnamespace
    union all
    select format('cast %s to %s', k.castsource::regtype, k.casttarget::regtype),
        jsonb_build_array(k.castfunc::regprocedure, k.castcontext)::text, null
    from pg_cast as k
    join pg_type as s on s.oid = k.castsource and s.typnamespace = 'pg_catalog'::regnamespace
    join pg_type as t on t.oid = k.casttarget and t.typnamespace = 'pg_catalog'::regnamespace
    where k.oid >= 16384
    union all
    select
        format('event trigger %s', e.evtname),
        jsonb_build_array(
            e.evtevent, e.evtenabled, e.evttags, e.evtfoid::regprocedure,
            sha256(convert_to(p.prosrc, 'UTF8')))::text,
        null
    from pg_event_trigger as e
    join pg_proc as p on p.oid = e.evtfoid
$$;
comment on function payout.catalogue_functions() is 'Part of payout.catalogue().';
