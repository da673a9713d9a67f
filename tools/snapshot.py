"""Writes schema.snapshot.sql: the schema as a person reviews it, out of a database's catalogue.

Types, then table by table its columns, constraints, indexes, triggers and rights, then views, then
one line for each function, with the digest of its body: the body itself stands in procedures/.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

import psycopg

from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from tools import schema_files

SNAPSHOT: Final = "schema.snapshot.sql"
HEADER: Final = (
    "-- The schema of the payout engine, for review. Written by `make snapshot`; never by hand.\n"
)
RELATION: Final = "n.nspname in ('payout', 'payout_api')"
# A comment of several lines stays on one.
REMARK: Final = "' -- ' || replace({}, E'\\n', ' ')"
# The owner has every right, so only the rights of others are listed.
RIGHTS: Final = """(
    select string_agg(format('%s to %s', r.rights, r.grantee), '; ' order by r.grantee collate "C")
    from (
        select lower(string_agg(a.privilege_type, ', ' order by a.privilege_type)) as rights,
            case a.grantee when 0 then 'public' else a.grantee::regrole::text end as grantee
        from aclexplode({acl}) as a
        where a.grantee <> {owner}
        group by a.grantee
    ) as r
)"""

SCHEMAS: Final = f"""
select format('schema %s, owner %s: %s', n.nspname, n.nspowner::regrole,
    {RIGHTS.format(acl="n.nspacl", owner="n.nspowner")})
from pg_namespace as n
where {RELATION}
union all
select format('default rights of %s on %s: %s', d.defaclrole::regrole, d.defaclobjtype,
    coalesce({RIGHTS.format(acl="d.defaclacl", owner="d.defaclrole")}, 'none'))
from pg_default_acl as d
where d.defaclrole = to_regrole('payout_owner')
"""
TYPES: Final = f"""
select format('domain %s as %s', t.oid::regtype, format_type(t.typbasetype, t.typtypmod))
    || (
        select coalesce(string_agg(
            format(E'\\n    constraint %s %s', c.conname, pg_get_constraintdef(c.oid)), ''
            order by c.conname), '')
        from pg_constraint as c
        where c.contypid = t.oid and c.contype = 'c'
    )
    || coalesce(E'\\n   ' || {REMARK.format("obj_description(t.oid, 'pg_type')")}, '')
from pg_type as t
join pg_namespace as n on n.oid = t.typnamespace
where {RELATION} and t.typtype = 'd'
union all
select format('type %s as', t.oid::regtype)
    || (
        select string_agg(
            format(E'\\n    %s %s', a.attname, format_type(a.atttypid, a.atttypmod)), ''
            order by a.attnum)
        from pg_attribute as a
        where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    )
    || coalesce(E'\\n   ' || {REMARK.format("obj_description(t.oid, 'pg_type')")}, '')
from pg_type as t
join pg_namespace as n on n.oid = t.typnamespace
join pg_class as c on c.oid = t.typrelid
where {RELATION} and c.relkind = 'c'
union all
select format('sequence %s, owner %s, rights: %s', c.oid::regclass, c.relowner::regrole,
        coalesce({RIGHTS.format(acl="c.relacl", owner="c.relowner")}, 'none'))
    || coalesce(E'\\n   ' || {REMARK.format("obj_description(c.oid, 'pg_class')")}, '')
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where {RELATION} and c.relkind = 'S'
    and not exists (
        select from pg_depend as d
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'i'
    )
"""
COLUMNS: Final = f"""(
    select coalesce(string_agg(
        format(E'\\n    %s %s', a.attname, format_type(a.atttypid, a.atttypmod))
            || case when a.attnotnull then ' not null' else '' end
            || case a.attidentity when 'a' then ' identity' when 'd' then ' identity by default'
                else '' end
            || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
            || coalesce({REMARK.format("col_description(c.oid, a.attnum)")}, ''),
        '' order by a.attnum), '')
    from pg_attribute as a
    left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
)"""
COLUMN_RIGHTS: Final = """(
    select string_agg(
        format(E'\\n    rights: %s (%s) to %s', r.privilege, r.columns, r.grantee), ''
        order by r.grantee collate "C", r.privilege collate "C")
    from (
        select lower(x.privilege_type) as privilege, x.grantee::regrole::text as grantee,
            string_agg(a.attname, ', ' order by a.attnum) as columns
        from pg_attribute as a
        cross join lateral aclexplode(a.attacl) as x
        where a.attrelid = c.oid
        group by 1, 2
    ) as r
)"""
TABLES: Final = f"""
select format('%stable %s, owner %s', case c.relpersistence when 'u' then 'unlogged ' else '' end,
        c.oid::regclass, c.relowner::regrole)
    || coalesce(' with ' || c.reloptions::text, '')
    || coalesce({REMARK.format("obj_description(c.oid, 'pg_class')")}, '')
    || {COLUMNS}
    || coalesce((
        select string_agg(
            format(E'\\n    constraint %s %s', k.conname, pg_get_constraintdef(k.oid)), ''
            order by strpos('pufcx', k.contype::text), k.conname)
        from pg_constraint as k
        where k.conrelid = c.oid and k.contype in ('p', 'u', 'f', 'c', 'x')
    ), '')
    || coalesce((
        select string_agg(
            format(E'\\n    %sindex %s%s', case when i.indisunique then 'unique ' else '' end,
                x.relname, regexp_replace(pg_get_indexdef(x.oid), '^.* ON \\S+', '')), ''
            order by x.relname)
        from pg_index as i
        join pg_class as x on x.oid = i.indexrelid
        where i.indrelid = c.oid
            and not exists (select from pg_constraint as k where k.conindid = i.indexrelid)
    ), '')
    || coalesce((
        select string_agg(format(E'\\n    trigger %s%s', t.tgname, regexp_replace(
            pg_get_triggerdef(t.oid), '^.* TRIGGER \\S+(.*) ON \\S+', '\\1')) || case t.tgenabled
                when 'A' then ', always' when 'O' then '' else ', ' || t.tgenabled::text end, ''
            order by t.tgname)
        from pg_trigger as t
        where t.tgrelid = c.oid and not t.tgisinternal
    ), '')
    || coalesce((
        select string_agg(format(E'\\n    rule %s', r.rulename), '') from pg_rewrite as r
        where r.ev_class = c.oid
    ), '')
    || case when c.relrowsecurity then E'\\n    row level security' else '' end
    || coalesce(E'\\n    rights: ' || {RIGHTS.format(acl="c.relacl", owner="c.relowner")}, '')
    || coalesce({COLUMN_RIGHTS}, '')
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where {RELATION} and c.relkind in ('r', 'p')
"""
VIEWS: Final = f"""
select format('view %s, owner %s', c.oid::regclass, c.relowner::regrole)
    || coalesce(' with ' || c.reloptions::text, '')
    || coalesce({REMARK.format("obj_description(c.oid, 'pg_class')")}, '')
    || {COLUMNS}
    || coalesce(E'\\n    rights: ' || {RIGHTS.format(acl="c.relacl", owner="c.relowner")}, '')
    || coalesce({COLUMN_RIGHTS}, '')
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where {RELATION} and c.relkind in ('v', 'm')
"""
# A function without an entry has the default: everybody may call it.
FUNCTION_ACL: Final = "coalesce(p.proacl, acldefault('f', p.proowner))"
# A body is compared as it was written, so every server gives it the same digest.
FUNCTIONS: Final = f"""
select format('function %s.%s(%s) returns %s, %s %s%s%s, owner %s, set %s, rights: %s, body %s',
    n.nspname, p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
    l.lanname,
    case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
    case when p.proisstrict then ' strict' else '' end,
    case when p.prosecdef then ' security definer' else '' end,
    p.proowner::regrole, array_to_string(p.proconfig, '; '),
    coalesce({RIGHTS.format(acl=FUNCTION_ACL, owner="p.proowner")}, 'none'),
    left(encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex'), 12))
    || coalesce({REMARK.format("obj_description(p.oid, 'pg_proc')")}, '')
from pg_proc as p
join pg_namespace as n on n.oid = p.pronamespace
join pg_language as l on l.oid = p.prolang
where {RELATION}
"""


def describe(connection: psycopg.Connection[tuple[str]]) -> str:
    """Return the description of our schemas in a database, the same on every version."""
    with connection.transaction():
        # Names then stand with their schema, and those of pg_catalog without.
        connection.execute("set local search_path = pg_catalog")
        parts = [HEADER]
        for query in (SCHEMAS, TYPES, TABLES, VIEWS, FUNCTIONS):
            entries = sorted(entry for (entry,) in connection.execute(query.encode()))
            # Entries of one line each need no empty line in between.
            is_list = not any("\n" in entry for entry in entries)
            parts.append(
                "".join(f"{e}\n" for e in entries) if is_list else "\n\n".join(entries) + "\n"
            )
    return "\n".join(parts)


def snapshot(root: Path) -> str:
    """Return the text that schema.snapshot.sql should have."""
    with EmbeddedPostgres.start() as server:
        uri = server.uri("postgres")
        schema_files.build(uri, root)
        with psycopg.connect(uri) as connection:
            return describe(connection)


def main() -> int:
    """Write the snapshot, or with --check fail when it is not up to date."""
    parser = argparse.ArgumentParser(description="Write schema.snapshot.sql.")
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: here)")
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    arguments = parser.parse_args()
    path: Path = arguments.root / SNAPSHOT
    text = snapshot(arguments.root)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    if text == before:
        print(f"{SNAPSHOT} is up to date")
    elif arguments.check:
        print(f"{SNAPSHOT} differs from sql/ and procedures/: run make snapshot", file=sys.stderr)
        return 1
    else:
        path.write_text(text, encoding="utf-8")
        print(f"{SNAPSHOT} written, {text.count(chr(10))} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
