"""Applies migrations with yoyo, the way `yoyo apply` does.

The migrations are those of this version, or the files of another folder. yoyo wants a URI of its
own kind; it is made out of the libpq URI that everything else uses.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import urlencode

import psycopg
import yoyo.migrations
from psycopg.conninfo import conninfo_to_dict
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import parse_uri

from payout_engine.errors import UserError
from payout_engine.prerequisites import check_prerequisites
from payout_engine.queue_schema import apply_queue_grants, apply_queue_schema, migration_lock
from payout_engine.sql_files import migration_names, sql_root

# Workers go on during an upgrade, and a migration gives in to them after seconds.
TRIES: Final = 10
PAUSE_SECONDS: Final = (0.5, 2.0)
# Also where only the rights of roles are others than recorded, or roles are missing.
RIGHTS_DIFFER: Final = """
select has_database_privilege('public', current_database(), 'temporary')
    or exists (select from pg_namespace
        where nspname in ('payout', 'payout_api') and pg_get_userbyid(nspowner) <> 'payout_owner')
    or exists (select from payout_api.catalogue_differences()
        where object ~ '^rights of "?(public|payout_[a-z]+)"? on |^role payout_'
            or what = 'changed' and object ~ '^(table|view|sequence|function|type) ')
"""


def yoyo_uri(conninfo: str) -> str:
    """Return yoyo's URI, with psycopg 3 as driver, for a libpq URI or connection string.

    Every parameter becomes a query argument, so that sockets, several hosts and options work too.
    """
    parameters = conninfo_to_dict(conninfo)
    return f"postgresql+psycopg://?{urlencode(parameters)}"


def apply_all(conninfo: str, *, migrations: Path | None = None) -> list[str]:
    """Apply the migrations that the database lacks, oldest first; return their names.

    Where sqitch has deployed them all, none is lacking. Raises psycopg.Error, with a note that
    names the migration, yoyo's BadMigration, or UserError if sqitch has deployed only some, or
    if other sessions hold what it locks.
    """
    folder = migrations or sql_root() / "migrations"
    if deployed := _deployed_by_sqitch(conninfo):
        names = migration_names(folder)
        if left := [name for name in names if name not in deployed]:
            raise UserError(
                f"sqitch has deployed {len(names) - len(left)} of the {len(names)} migrations; "
                f"not yet: {', '.join(left)}. Run sqitch deploy first, then this again"
            )
        return []
    scripts = _read(folder)
    with _open_registry(conninfo) as registry:
        missing = registry.to_apply(scripts)
        if missing:
            _join_owner(registry.connection)
        for migration in missing:
            _apply(registry, migration)
        return [migration.id for migration in missing]


def _apply(registry: _Registry, migration: yoyo.migrations.Migration) -> None:
    """Apply a migration, again while sessions that use its tables get in its way."""
    for left in reversed(range(TRIES)):
        try:
            registry.run(migration)
            return
        except (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable) as error:
            if not left:
                raise UserError(
                    f"nothing of {migration.id} was applied: {TRIES} times other sessions held "
                    f"its locks ({error.diag.message_primary}). Run this again, with fewer workers "
                    "if need be; long transactions of others are in pg_stat_activity"
                ) from None
        except psycopg.Error as error:
            error.add_note(f"while applying {migration.path}")
            raise
        time.sleep(random.uniform(*PAUSE_SECONDS))


class _Registry(PostgresqlPsycopgBackend):  # type: ignore[misc]
    """yoyo's tables, in one session that holds the lock of the database.

    yoyo's own lock is a row, which outlives a process that is killed; and it keeps the list of
    migrations in another transaction than the script, so that a script may have run unlisted.
    """

    @contextmanager
    def lock(self, timeout: int = 10) -> Iterator[None]:
        """Take no further lock."""
        yield

    def run(self, migration: yoyo.migrations.Migration) -> None:
        """Run the script of a migration and list that, in one transaction."""
        with self.transaction():
            migration.process_steps(self, "apply")
            self.execute("RESET ROLE")  # a script may end as payout_owner
            self.mark_one(migration, log=False)
            self.log_migration(migration, "apply")


@contextmanager
def _open_registry(conninfo: str) -> Iterator[_Registry]:
    uri = parse_uri(yoyo_uri(conninfo))
    with (
        _Registry(uri, yoyo.migrations.default_migration_table) as registry,
        migration_lock(registry.connection),
    ):
        registry.init_database()
        registry.ensure_internal_schema_updated()
        yield registry


def _read(folder: Path) -> yoyo.migrations.MigrationList:
    """Read all migrations, each as one script; raises yoyo's BadMigration."""
    scripts = yoyo.migrations.read_migrations(str(folder))
    with _unsplit():
        for script in scripts:
            script.load()
    return scripts


@contextmanager
def _unsplit() -> Iterator[None]:
    """Let yoyo hand each script to Postgres as a whole, which finds the ends of its statements.

    sqlparse, with which yoyo finds them, takes seconds; and each would have a savepoint of its own.
    """
    sqlparse = yoyo.migrations.sqlparse
    yoyo.migrations.sqlparse = SimpleNamespace(split=lambda script: [_header(script), script])
    try:
        yield
    finally:
        yoyo.migrations.sqlparse = sqlparse


def _header(script: str) -> str:
    """Return the comments and blank lines at the head of a script, where yoyo reads directives.

    yoyo cuts them out of the first statement: a copy of them, so that the script keeps its lines.
    """
    lines = (line.lstrip() for line in script.splitlines())
    return "\n".join(takewhile(lambda line: not line or line.startswith("--"), lines))


def _deployed_by_sqitch(conninfo: str) -> set[str]:
    """Return the names of this project's changes that sqitch has deployed, as far as we may see."""
    registry = (
        "select from pg_class as c join pg_namespace as n on n.oid = c.relnamespace "
        "where (n.nspname, c.relname) = ('sqitch', 'changes') "
        "and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')"
    )
    with psycopg.connect(conninfo) as connection:
        if not connection.execute(registry).rowcount:
            return set()
        changes = "select change from sqitch.changes where project = 'payout-engine'"
        return {name for (name,) in connection.execute(changes)}


def _join_owner(connection: psycopg.Connection[Any]) -> None:
    """Let this login act as ``payout_owner``, as the migrations do; a superuser may anyway.

    From PostgreSQL 16 on, the creator of a role may grant it but cannot act as it, and the first
    migration does not see the difference.
    """
    if connection.execute("show is_superuser").fetchone() == ("on",):
        return
    knows_set = connection.info.server_version >= 160000
    may = (
        "select pg_has_role(oid, %s) and (pg_has_role(oid, 'usage') "
        "or not pg_has_role(oid, 'member with admin option')) "
        "from pg_roles where rolname = 'payout_owner'"
    )
    options = " with inherit true, set true" if knows_set else ""
    with connection.transaction():
        if not connection.execute("select from pg_roles where rolname = 'payout_owner'").rowcount:
            connection.execute("create role payout_owner nologin")
        if connection.execute(may, ["set" if knows_set else "member"]).fetchone() != (True,):
            connection.execute(f"grant payout_owner to current_user{options}".encode())


def _put_rights_back(conninfo: str) -> bool:
    """Run ``sql/ops/restore-rights.sql`` if owners or rights are not as recorded; return that."""
    script = (sql_root() / "sql" / "ops" / "restore-rights.sql").read_bytes()
    with psycopg.connect(conninfo) as connection, migration_lock(connection):
        is_there = "select to_regprocedure('payout_api.catalogue_differences()') is not null"
        if connection.execute(is_there).fetchone() != (True,):
            return False
        if connection.execute(RIGHTS_DIFFER).fetchone() != (True,):
            return False
        connection.commit()
        _join_owner(connection)
        connection.execute(script)
        connection.commit()
    return True


def bring_to_date(conninfo: str) -> Iterator[str]:
    """Do all that ``payout-engine migrate`` does, step by step; yield each as a line to print.

    Everything that can be wrong is checked first. Each step is one transaction and finds out by
    itself what is left to do, so that a run that was killed is simply run again.
    """
    check_prerequisites(conninfo)
    is_new = apply_queue_schema(conninfo)
    yield f"queue: procrastinate {version('procrastinate')} {'applied' if is_new else 'is there'}"
    if _put_rights_back(conninfo):
        yield "rights: owners and rights are as they were recorded again"
    for name in apply_all(conninfo):
        yield f"migration: {name} applied"
    if not apply_queue_grants(conninfo):
        yield (
            "queue: it belongs to another application and is left alone; transfers are paid "
            "without wake-up jobs, a few seconds later"
        )
    yield "the database is up to date"
