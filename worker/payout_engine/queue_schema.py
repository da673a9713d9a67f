"""The queue's own schema, as procrastinate writes it, and the lock under which schemas change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from procrastinate.schema import SchemaManager
from psycopg import sql

from payout_engine.database import lift_transaction_timeout
from payout_engine.errors import UserError
from payout_engine.sql_files import sql_root

# The schema procrastinate is ours if it has this comment, which dumps carry; else it belongs to
# another application, whose rights and jobs are left alone.
OUR_QUEUE: Final = "The queue of the payout engine, made by payout-engine migrate."
IS_OUR_QUEUE: Final = (
    "select obj_description(to_regnamespace('procrastinate'), 'pg_namespace') "
    "is not distinct from %s"
)
# Gone with its session, so that a migrate that was killed stops no later one.
MIGRATION_LOCK: Final = "hashtext('payout-engine migrate')"
MIGRATION_LOCK_SECONDS: Final = 60


@contextmanager
def migration_lock(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Let one session at a time change the schema. Raises UserError if another one goes on."""
    holder = (
        "select pid from pg_locks where locktype = 'advisory' and objsubid = 1 and granted "
        f"and objid = {MIGRATION_LOCK}::bigint & 4294967295 and database = "
        "(select oid from pg_database where datname = current_database())"
    )
    connection.execute(f"set lock_timeout = '{MIGRATION_LOCK_SECONDS}s'".encode())
    lift_transaction_timeout(connection)
    try:
        connection.execute(f"select pg_advisory_lock({MIGRATION_LOCK})".encode())
    except psycopg.errors.LockNotAvailable:
        connection.rollback()
        found = connection.execute(holder.encode()).fetchone()
        raise UserError(
            "another migrate is at work in this database"
            + (f", in the server's process {found[0]}" if found else "")
            + ": run this again once it has ended"
        ) from None
    connection.execute("reset lock_timeout")
    connection.commit()
    try:
        yield
    finally:
        if not connection.closed:
            connection.rollback()
            connection.execute(f"select pg_advisory_unlock({MIGRATION_LOCK})".encode())
            connection.commit()


def is_queue_there(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether procrastinate's schema is there. Raises UserError if it is another version's."""
    wanted = set(re.findall(r"^CREATE FUNCTION (\w+)", SchemaManager.get_schema(), re.MULTILINE))
    found = connection.execute(
        "select proname from pg_proc where pronamespace = to_regnamespace('procrastinate')"
    ).fetchall()
    if found and (missing := sorted(wanted - {name for (name,) in found})):
        raise UserError(
            f"the schema procrastinate is of another version: it lacks {', '.join(missing)}; apply "
            "procrastinate's own migrations (procrastinate schema --migrations-path)"
        )
    return bool(found)


def apply_queue_schema(database_url: str) -> bool:
    """Create the schema ``procrastinate`` with procrastinate's tables and functions, once.

    Returns whether it was created now. Raises UserError if the one there lacks functions
    of the version of procrastinate that is installed.
    """
    with psycopg.connect(database_url) as connection, migration_lock(connection):
        is_new = not is_queue_there(connection)
        if is_new:
            connection.execute("create schema if not exists procrastinate")
            connection.execute(
                sql.SQL("comment on schema procrastinate is {}").format(sql.Literal(OUR_QUEUE))
            )
            connection.execute("set local search_path = procrastinate")
            connection.execute(SchemaManager.get_schema())
        connection.commit()
    return is_new


def apply_queue_grants(database_url: str) -> bool:
    """Run ``sql/queue_grants.sql``: it lets our roles, which must exist, use the queue.

    Not in the queue of another application: returns whether it is ours.
    """
    grants = (sql_root() / "sql" / "queue_grants.sql").read_bytes()
    with psycopg.connect(database_url) as connection, migration_lock(connection):
        if connection.execute(IS_OUR_QUEUE, [OUR_QUEUE]).fetchone() != (True,):
            return False
        connection.execute(grants)
        connection.commit()
    return True
