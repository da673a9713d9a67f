"""Applies and rolls back migrations with yoyo, the way `yoyo apply` does.

The migrations are those of this version, or the files of another folder. yoyo wants a URI of its
own kind; it is made out of the libpq URI that everything else uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlencode

import psycopg
import yoyo.migrations
from psycopg.conninfo import conninfo_to_dict
from yoyo import get_backend

from payout_engine.errors import MigrationError
from payout_engine.sql_files import migration_names, sql_root


def yoyo_uri(conninfo: str) -> str:
    """Return yoyo's URI, with psycopg 3 as driver, for a libpq URI or connection string.

    Every parameter becomes a query argument, so that sockets, several hosts and options work too.
    """
    parameters = conninfo_to_dict(conninfo)
    return f"postgresql+psycopg:///?{urlencode(parameters)}"


def apply_all(conninfo: str, *, migrations: Path | None = None) -> list[str]:
    """Apply the migrations that the database lacks, oldest first; return their names.

    Where sqitch has deployed them all, none is lacking. Raises psycopg.Error, with a note that
    names the migration, yoyo's BadMigration, or MigrationError if sqitch has deployed only some.
    """
    folder = migrations or sql_root() / "migrations"
    if deployed := _deployed_by_sqitch(conninfo):
        names = migration_names(folder)
        if left := [name for name in names if name not in deployed]:
            raise MigrationError(
                f"sqitch has deployed {len(names) - len(left)} of the {len(names)} migrations; "
                f"not yet: {', '.join(left)}. Run sqitch deploy first, then this again"
            )
        return []
    scripts = _read(folder)
    with get_backend(yoyo_uri(conninfo)) as backend, backend.lock():
        missing = backend.to_apply(scripts)
        if missing:
            _join_owner(conninfo)
        # One by one: as a list, yoyo passes over a migration that it cannot read.
        for migration in missing:
            try:
                backend.apply_one(migration)
            except psycopg.Error as error:
                error.add_note(f"while applying {migration.path}")
                raise
        return [migration.id for migration in missing]


def roll_back_all(conninfo: str, *, migrations: Path | None = None) -> list[str]:
    """Roll back every migration that the database has, newest first; return their names."""
    scripts = _read(migrations or sql_root() / "migrations")
    with get_backend(yoyo_uri(conninfo)) as backend, backend.lock():
        applied = backend.to_rollback(scripts)
        for migration in applied:
            backend.rollback_one(migration)
        return [migration.id for migration in applied]


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


def _join_owner(conninfo: str) -> None:
    """Let this login act as ``payout_owner``, as the migrations do; a superuser may anyway.

    From PostgreSQL 16 on, the creator of a role may grant it but cannot act as it, and the first
    migration does not see the difference.
    """
    with psycopg.connect(conninfo) as connection:
        if connection.execute("show is_superuser").fetchone() == ("on",):
            return
        if not connection.execute("select from pg_roles where rolname = 'payout_owner'").rowcount:
            connection.execute("create role payout_owner nologin")
        knows_set = connection.info.server_version >= 160000
        may = (
            "select pg_has_role(oid, %s) and (pg_has_role(oid, 'usage') "
            "or not pg_has_role(oid, 'member with admin option')) "
            "from pg_roles where rolname = 'payout_owner'"
        )
        if connection.execute(may, ["set" if knows_set else "member"]).fetchone() != (True,):
            options = " with inherit true, set true" if knows_set else ""
            connection.execute(f"grant payout_owner to current_user{options}".encode())
