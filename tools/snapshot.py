"""Writes schema.snapshot.sql: the schema as a person reviews it, out of a database's catalogue.

Types, then table by table and view by view its columns, constraints, indexes, triggers and rights,
then one line for each function, with the digest of its body: the body itself stands in procedures/,
that of a view in sql/views/. A property that is the default of PostgreSQL is not printed.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
from pglast import ast, parse_sql

from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from tools import schema_files

SNAPSHOT: Final = "schema.snapshot.sql"
HEADER: Final = (
    "-- The schema of the payout engine, for review. Written by `make snapshot`; never by hand.\n"
)
RELATION: Final = "n.nspname in ('payout', 'payout_api')"
ROLE: Final = r"~ '^payout_(owner|app|worker|operator|auditor)$'"
# A comment of several lines stays on one.
REMARK: Final = "' -- ' || replace({}, E'\\n', ' ')"
# The owner has every right, so only the rights of others are listed.
RIGHTS: Final = """(
    select string_agg(format('%s to %s', r.rights, r.grantee), '; ' order by r.grantee collate "C")
    from (
        select case a.grantee when 0 then 'public' else a.grantee::regrole::text end as grantee,
            lower(string_agg(a.privilege_type
                || case when a.is_grantable then ' with grant option' else '' end, ', '
                order by a.privilege_type)) as rights
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
select format('default rights of %s on %s%s: %s', d.defaclrole::regrole, d.defaclobjtype,
    ' in ' || nullif(d.defaclnamespace, 0)::regnamespace,
    coalesce({RIGHTS.format(acl="d.defaclacl", owner="d.defaclrole")}, 'none'))
from pg_default_acl as d
where d.defaclrole = to_regrole('payout_owner')
union all
select 'rights on the database: '
    || coalesce({RIGHTS.format(acl="d.datacl", owner="d.datdba")}, 'none')
from pg_database as d
where d.datname = current_database() and d.datacl is not null
union all
select format('role %s%s%s%s%s%s%s', r.rolname,
    case when r.rolcanlogin then ' login' else '' end,
    case when r.rolsuper then ' superuser' else '' end,
    case when r.rolcreaterole then ' createrole' else '' end,
    case when r.rolbypassrls then ' bypassrls' else '' end,
    ' set ' || array_to_string(r.rolconfig, '; '),
    ', member of ' || (
        select string_agg(g.rolname, ', ' order by g.rolname)
        from pg_auth_members as m
        join pg_roles as g on g.oid = m.roleid
        where m.member = r.oid
    ))
from pg_roles as r
where r.rolname {ROLE}
union all
select 'other object: ' || pg_describe_object(d.classid, d.objid, 0)
from pg_depend as d
join pg_namespace as n on n.oid = d.refobjid
left join pg_type as t on d.classid = 'pg_type'::regclass and t.oid = d.objid
where {RELATION} and d.refclassid = 'pg_namespace'::regclass
    and d.classid not in (
        'pg_class'::regclass, 'pg_proc'::regclass, 'pg_default_acl'::regclass)
    and t.typtype is distinct from 'd' and t.typtype is distinct from 'c'
"""
COLLATION: Final = """coalesce((
    select ' collate ' || {collation}::regcollation::text
    from pg_type as b
    where b.oid = {type} and b.typcollation <> {collation}
), '')"""
# Everybody may use a type, unless its rights say otherwise.
OF_TYPE: Final = f"""(
    case when pg_get_userbyid(t.typowner) = 'payout_owner' then ''
        else ' owner ' || pg_get_userbyid(t.typowner) end
    || case when t.typacl is null then '' else ' rights: '
        || coalesce({RIGHTS.format(acl="t.typacl", owner="t.typowner")}, 'none') end
)"""
TYPES: Final = f"""
select format('domain %s as %s', t.oid::regtype, format_type(t.typbasetype, t.typtypmod))
    || {COLLATION.format(collation="t.typcollation", type="t.typbasetype")}
    || case when t.typnotnull then ' not null' else '' end
    || coalesce(' default ' || t.typdefault, '')
    || {OF_TYPE}
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
    || {OF_TYPE}
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
            || {COLLATION.format(collation="a.attcollation", type="a.atttypid")}
            || case when a.attnotnull then ' not null' else '' end
            || case a.attidentity when 'a' then ' identity' when 'd' then ' identity by default'
                else '' end
            || coalesce(case a.attgenerated when '' then ' default ' when 's' then ' stored as '
                else ' generated as ' end || pg_get_expr(d.adbin, d.adrelid), '')
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
        select lower(x.privilege_type)
                || case when x.is_grantable then ' with grant option' else '' end as privilege,
            x.grantee::regrole::text as grantee,
            string_agg(a.attname, ', ' order by a.attnum) as columns
        from pg_attribute as a
        cross join lateral aclexplode(a.attacl) as x
        where a.attrelid = c.oid
        group by 1, 2
    ) as r
)"""
RELATIONS: Final = f"""
select format('%s%s %s, owner %s', case c.relpersistence when 'u' then 'unlogged ' else '' end,
        case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'
            when 'm' then 'materialized view' else 'foreign table' end,
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
        select string_agg(format(E'\\n    rule %s, %s', r.ev_enabled, pg_get_ruledef(r.oid)), ''
            order by r.rulename)
        from pg_rewrite as r
        where r.ev_class = c.oid and r.rulename <> '_RETURN'
    ), '')
    || case when c.relrowsecurity then E'\\n    row level security' else '' end
    || case when c.relforcerowsecurity then ', forced' else '' end
    || coalesce((
        select string_agg(format(E'\\n    %s policy %s for %s to %s%s%s', lower(p.permissive),
                p.policyname, lower(p.cmd), array_to_string(p.roles, ', '),
                ' using ' || p.qual, ' with check ' || p.with_check), '' order by p.policyname)
        from pg_policies as p
        where (p.schemaname, p.tablename) = (n.nspname, c.relname)
    ), '')
    || coalesce(E'\\n    rights: ' || {RIGHTS.format(acl="c.relacl", owner="c.relowner")}, '')
    || coalesce({COLUMN_RIGHTS}, ''),
    pg_get_viewdef(c.oid)
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where {RELATION} and c.relkind in ('r', 'p', 'v', 'm', 'f')
"""
# A function without an entry has the default: everybody may call it.
FUNCTION_ACL: Final = "coalesce(p.proacl, acldefault('f', p.proowner))"
# A body is compared as it was written, so every server gives it the same digest.
FUNCTIONS: Final = f"""
select format('%s %s.%s(%s) returns %s, %s %s%s%s%s%s, owner %s, set %s, rights: %s, body %s',
    case p.prokind when 'f' then 'function' when 'p' then 'procedure' else 'aggregate' end,
    n.nspname, p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
    l.lanname,
    case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
    case when p.proisstrict then ' strict' else '' end,
    case when p.prosecdef then ' security definer' else '' end,
    case p.proparallel when 's' then ' parallel safe' when 'r' then ' parallel restricted'
        else '' end,
    case when p.proleakproof then ' leakproof' else '' end,
    p.proowner::regrole, array_to_string(p.proconfig, '; '),
    coalesce({RIGHTS.format(acl=FUNCTION_ACL, owner="p.proowner")}, 'none'),
    left(encode(sha256(convert_to(
        p.prosrc || coalesce(pg_get_function_sqlbody(p.oid), ''), 'UTF8')), 'hex'), 12))
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
        for query in (SCHEMAS, TYPES, RELATIONS, FUNCTIONS):
            rows = connection.execute(query.encode())
            entries = sorted(_entry(*row) for row in rows)
            # Entries of one line each need no empty line in between.
            is_list = not any("\n" in entry for entry in entries)
            parts.append(
                "".join(f"{e}\n" for e in entries) if is_list else "\n\n".join(entries) + "\n"
            )
    return "\n".join(parts)


def _entry(text: str, definition: str | None = None) -> str:
    """Return an entry, that of a view with the digest of its body after its name.

    Up to PostgreSQL 15 the columns of a view's only relation stand with its name, later without.
    """
    if definition is None:
        return text
    select: Any = parse_sql(definition)[0].stmt
    relations: Sequence[Any] = select.fromClause or ()
    if len(relations) == 1 and not isinstance(relations[0], ast.JoinExpr):
        alias = relations[0].alias
        name = alias.aliasname if alias else relations[0].relname
        definition = re.sub(rf"\b{name}\.", "", definition)
    digest = hashlib.sha256(" ".join(definition.split()).encode()).hexdigest()
    return text.replace(", owner ", f", body {digest[:12]}, owner ", 1)


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
