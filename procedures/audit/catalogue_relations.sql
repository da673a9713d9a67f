-- catalogue_relations: the schemas of the engine, their tables, views, sequences and columns.
--
-- Settings of tables that only concern storage and vacuum are the operator's.

create or replace function payout.catalogue_relations()
returns table (object text, definition text, deparsed text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with ours as (
        select c.*
        from pg_class as c
        where c.relnamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
            and c.relkind not in ('i', 'I', 't')
    )
    select format('schema %s', n.nspname), n.nspowner::regrole::text, null
    from pg_namespace as n
    where n.nspname in ('payout', 'payout_api')
    union all
    select
        format('%s %s', case c.relkind
            when 'r' then 'table' when 'v' then 'view' when 'S' then 'sequence'
            when 'c' then 'type' else 'relation' end, c.oid::regclass),
        jsonb_build_array(
            c.relkind, c.relpersistence, c.relowner::regrole, c.relrowsecurity,
            c.relforcerowsecurity, (
                select array_agg(o order by o) from unnest(c.reloptions) as o
                where o !~ '^(autovacuum_|toast[._]|fillfactor|vacuum_|parallel_)'
            ), (
                select array_agg(a.attname order by a.attnum)
                from pg_attribute as a
                where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            ), (
                select to_jsonb(s) - '{seqrelid,seqtypid}'::text[]
                from pg_sequence as s where s.seqrelid = c.oid
            ))::text,
        case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end
    from ours as c
    union all
    select format('child %s of %s', i.inhrelid::regclass, i.inhparent::regclass), '', null
    from pg_inherits as i
    where exists (
        select from ours as c where c.oid in (i.inhrelid, i.inhparent)
    )
    union all
    select
        format('column %s.%s', c.oid::regclass, a.attname),
        jsonb_build_array(
            format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
            a.attcollation::regcollation, d.oid is not null)::text,
        pg_get_expr(d.adbin, d.adrelid)
    from ours as c
    join pg_attribute as a on a.attrelid = c.oid
    left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attnum > 0 and not a.attisdropped and c.relkind <> 'S'
$$;
comment on function payout.catalogue_relations() is 'Part of payout.catalogue().';
