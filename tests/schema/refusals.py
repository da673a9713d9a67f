"""Refusals of the database, in a form that a test can compare, and waits for a lock.

Every attempt is rolled back, so that one database serves many attempts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

from tests.conftest import Connection

PATIENCE_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.001


class Refusal(NamedTuple):
    """SQLSTATE and message of an error, and the constraint it names, if it names one."""

    sqlstate: str | None
    message: str | None
    constraint: str | None = None


def refusal(
    connection: Connection, statement: str | sql.Composed, parameters: Any = None
) -> Refusal | None:
    """Run a statement, undo it, and return how it was refused; None when it was not."""
    return refusal_of(connection, lambda: connection.execute(_query(statement), parameters))


def refusal_of(connection: Connection, attempt: Callable[[], object]) -> Refusal | None:
    """Call `attempt`, undo it, and return how it was refused; None when it was not."""
    try:
        with connection.transaction(force_rollback=True):
            attempt()
    except psycopg.Error as error:
        return refusal_in(error)
    return None


def refusal_at_commit(
    connection: Connection, statement: str, parameters: Any = None
) -> Refusal | None:
    """Run a statement in a transaction of its own, commit it, and return how it was refused."""
    try:
        connection.execute(_query(statement), parameters)
    except psycopg.Error as error:
        return refusal_in(error)
    return None


def refusal_in(error: psycopg.Error) -> Refusal:
    """Return the refusal that an error describes."""
    return Refusal(error.sqlstate, error.diag.message_primary, error.diag.constraint_name)


def check_refusal(table: str, constraint: str) -> Refusal:
    """Return how Postgres refuses a row that breaks a check of its table."""
    message = f'new row for relation "{table}" violates check constraint "{constraint}"'
    return Refusal("23514", message, constraint)


def domain_refusal(domain: str, constraint: str) -> Refusal:
    """Return how Postgres refuses a value that breaks a check of a domain of schema payout."""
    message = f'value for domain payout.{domain} violates check constraint "{constraint}"'
    return Refusal("23514", message, constraint)


def duplicate_refusal(constraint: str) -> Refusal:
    """Return how Postgres refuses a key that exists already."""
    message = f'duplicate key value violates unique constraint "{constraint}"'
    return Refusal("23505", message, constraint)


def wait_until_blocked(
    observer: Connection, blocked: Connection, *, by: Future[Any] | None = None
) -> None:
    """Return as soon as a connection, busy in another thread, waits for a lock.

    `by` is the future of its work; once that is done, the connection will not wait any more.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    query = "select cardinality(pg_blocking_pids(%s)) > 0"
    while observer.execute(query, [blocked.info.backend_pid]).fetchone() != (True,):
        assert time.monotonic() < deadline, "the connection never waited for a lock"
        assert by is None or not by.done(), "the connection did not wait for a lock"
        time.sleep(POLL_SECONDS)


def _query(statement: str | sql.Composed) -> sql.SQL | sql.Composed:
    return statement if isinstance(statement, sql.Composed) else sql.SQL(statement)
