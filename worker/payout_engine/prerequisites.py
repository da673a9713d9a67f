"""Everything that can be wrong with a database or a login, before `migrate` writes anything.

Each refusal is one sentence that says what to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import psycopg
from psycopg.rows import namedtuple_row

from payout_engine import RELEASE
from payout_engine.database import A_POOLER, inspect_database, number_of
from payout_engine.errors import UserError
from payout_engine.queue_schema import is_queue_there

ROLES: Final = (
    "payout_owner",
    "payout_app",
    "payout_worker",
    "payout_operator",
    "payout_approver",
    "payout_auditor",
)
OLDEST: Final = 15
NEWEST: Final = 18
LOOK: Final = """
with relations as (
    select n.nspname, c.relname
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
)
select
    current_setting('server_version_num')::integer / 10000 as major,
    current_setting('server_encoding') as encoding,
    pg_is_in_recovery() as is_standby,
    current_setting('transaction_read_only')::boolean as is_read_only,
    quote_ident(current_database()) as database,
    quote_ident(r.rolname) as login,
    r.rolsuper as is_superuser,
    r.rolcreaterole as may_create_roles,
    (select pg_has_role(d.datdba, 'usage') from pg_database as d
        where d.datname = current_database()) as owns_database,
    coalesce(has_schema_privilege(to_regnamespace('public'), 'create'), false) as may_list,
    ('public', '_yoyo_migration') in (select * from relations) as has_list,
    ('sqitch', 'changes') in (select * from relations) as has_sqitch,
    to_regnamespace('payout') is not null as has_schema,
    ('payout', 'catalogues') in (select * from relations) as has_engine,
    (select coalesce(sum(pg_relation_size(c.oid)) = 0, false)
        from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = 'payout' and c.relname in ('states', 'payees')) as is_empty,
    array(select n from unnest(%(roles)s::text[]) as n
        where to_regrole(n) is null) as missing_roles,
    (select pg_has_role(o.oid, 'member') or case
            when current_setting('server_version_num')::integer < 160000 then r.rolcreaterole
            else pg_has_role(o.oid, 'member with admin option') end
        from pg_roles as o where o.rolname = 'payout_owner') as may_join,
    (select string_agg(distinct pg_get_userbyid(c.owner), ', ') from (
            select n.nspowner from pg_namespace as n where n.nspname in ('payout', 'payout_api')
            union
            select k.relowner from pg_class as k
            where k.relnamespace in (to_regnamespace('payout'), to_regnamespace('payout_api'))
            union
            select p.proowner from pg_proc as p
            where p.pronamespace in (to_regnamespace('payout'), to_regnamespace('payout_api'))
        ) as c (owner)
        where pg_get_userbyid(c.owner) <> 'payout_owner' and not pg_has_role(c.owner, 'usage')
    ) as other_owners
from pg_roles as r
where r.rolname = current_user
"""


def check_prerequisites(conninfo: str) -> None:
    """Raise UserError for the first thing that is wrong, or psycopg's errors."""
    login = asyncio.run(inspect_database(conninfo))
    if not login.is_direct:
        raise UserError(A_POOLER)
    with psycopg.connect(conninfo) as connection:
        found: Any
        with connection.cursor(row_factory=namedtuple_row) as cursor:
            [found] = cursor.execute(LOOK, {"roles": [*ROLES]}).fetchall()
        for problem in _problems(found):
            raise UserError(f"nothing was changed: {problem}")
        is_queue_there(connection)  # raises if it is another version's
    if login.release and number_of(login.release) > number_of(RELEASE):
        raise UserError(
            f"nothing was changed: the database is of release {login.release} and this is "
            f"payout-engine {RELEASE}: run payout-engine migrate of that release"
        )


def _problems(found: Any) -> Iterator[str]:
    if not OLDEST <= found.major <= NEWEST:
        yield (
            f"the server is PostgreSQL {found.major}, and this release works on {OLDEST} to "
            f"{NEWEST}"
        )
    if found.encoding != "UTF8":
        yield (
            f"the database {found.database} has the encoding {found.encoding}, in which names and "
            "ids of payees may not be written; make one with: create database … encoding 'UTF8' "
            "template template0"
        )
    if found.is_standby:
        yield "the server is a standby: give DATABASE_URL the primary"
    if found.is_read_only:
        yield (
            "transactions are read-only (default_transaction_read_only): turn that off once you "
            "know why it is on; a managed server does it while its disk is full"
        )
    if found.has_schema and not found.has_engine:
        yield (
            f"the database {found.database} has a schema payout that is not the engine's: install "
            "into another database"
        )
    if found.is_empty:
        yield (
            f"the database {found.database} has the engine's tables without their first rows, as a "
            "dump of the schema alone leaves them: drop schema payout, payout_api, procrastinate "
            "cascade; drop table public._yoyo_migration, public._yoyo_log, public._yoyo_version, "
            "public.yoyo_lock; then run this again"
        )
    if found.has_engine and not (found.has_list or found.has_sqitch):
        yield (
            f"the database {found.database} holds the engine, but no list of its migrations "
            "(public._yoyo_migration): restore that table too"
        )
    if found.is_superuser:
        return
    if found.missing_roles and not found.may_create_roles:
        yield (
            f"the login {found.login} may not create roles, and {', '.join(found.missing_roles)} "
            f"are missing: alter role {found.login} createrole, or run this as one who may"
        )
    if found.may_join is False and not found.owns_database:
        # Never advise a worker or an application to take the owner's rights.
        yield (
            f"the login {found.login} cannot act as payout_owner: run this as the owner of the "
            f"database {found.database}"
        )
    if found.may_join is False:
        yield (
            f"the login {found.login} cannot act as payout_owner: grant payout_owner to "
            f"{found.login}"
        )
    if not found.has_engine and not found.owns_database:
        yield (
            f"the login {found.login} does not own the database {found.database}: "
            f"alter database {found.database} owner to {found.login}, or run this as its owner"
        )
    if not (found.has_list or found.has_sqitch or found.may_list):
        yield (
            f"the login {found.login} may not create tables in the schema public, where yoyo "
            f"keeps its list of migrations: grant create on schema public to {found.login}"
        )
    if found.other_owners:
        yield (
            f"the engine's objects belong to {found.other_owners}: run this as that login, or as a "
            "superuser"
        )
