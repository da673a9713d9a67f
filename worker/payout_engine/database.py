"""The one way to the database: `call` runs one payout function with named arguments.

Also here, for `payout-engine migrate`: the queue's own schema, as procrastinate itself writes it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final, Self, TypeVar

import psycopg
from procrastinate.schema import SchemaManager
from psycopg import conninfo, sql
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from payout_engine import errors
from payout_engine.backoff import Backoff
from payout_engine.sql_files import sql_root

logger = logging.getLogger(__name__)

Row = dict[str, Any]
R = TypeVar("R", bound=Mapping[str, object])
# A peer that vanishes without a word is noticed within about ten seconds.
NETWORK: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
# Settings of the session that the calls rely on, whatever the database or the login has.
PINNED: Final = {
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "standard_conforming_strings": "on",
}
# libpq sends these of the environment after our own.
OVERRIDING: Final = ("PGDATESTYLE", "PGTZ", "PGGEQO", "PGCLIENTENCODING")
# A session has it only if its own settings reached the server.
PROOF: Final = "payout.is_direct"

INSPECT: Final = """
select quote_ident(current_user), to_regnamespace('payout_api') is not null, exists (
    select from pg_roles where rolname = 'payout_worker' and pg_has_role(oid, 'usage')),
    current_setting(%s, true) = 'yes',
    exists (select from pg_proc where oid = to_regprocedure('payout_api.release()')
        and has_function_privilege(oid, 'execute'))
"""
A_POOLER: Final = (
    "a pooler (such as pgbouncer in transaction mode) stands between this process and Postgres: it "
    "drops the settings of the session and its notifications, on which the engine relies. Give "
    "DATABASE_URL a direct connection, or one through a pooler in session mode that passes options"
)
# A connection that fails for one of these fails for ever: libpq tells no SQLSTATE.
HOPELESS: Final = {
    "unsupported startup parameter": A_POOLER,
    "password authentication failed": None,
    "no password supplied": None,
    "no pg_hba.conf entry": None,
    "does not exist": None,
    "is not permitted to log in": None,
}


def worker_name() -> str:
    """Return the name of this process in the database."""
    return f"payout-engine {socket.gethostname()[:40]} {os.getpid()}"


def connection_string(database_url: str, **settings: str) -> str:
    """Return `database_url` with the worker's network settings, where it has none of its own.

    `settings` are settings of the session at the server, such as ``synchronous_commit``.
    """
    given = {name: str(value) for name, value in conninfo.conninfo_to_dict(database_url).items()}
    for name in OVERRIDING:
        os.environ.pop(name, None)
    options = [given.get("options", "")]
    if "statement_timeout" not in options[0]:
        settings = {"statement_timeout": "15s", **settings}
    settings = {**PINNED, PROOF: "yes", **settings}
    options += [f"-c {key}={settings[key]}" for key in settings]
    given["options"] = " ".join(options).strip()
    fixed = {"client_encoding": "utf8"}
    return conninfo.make_conninfo(
        **{**NETWORK, "application_name": worker_name(), **given, **fixed}
    )


@dataclass(frozen=True, kw_only=True)
class Login:
    """A login in a database, as found there."""

    database: str
    role: str
    has_engine: bool
    is_worker: bool
    is_direct: bool
    release: str | None

    def check_engine(self) -> None:
        """Raise NotReady if the engine is not installed, is another release, or is out of reach."""
        if not self.is_direct:
            raise errors.NotReady(A_POOLER)
        if not self.has_engine:
            raise errors.NotReady(
                f"the database {self.database} holds no payout engine: run payout-engine migrate"
            )
        ours = version("payout-engine")
        if self.release is not None and not _goes_with(self.release, ours):
            raise errors.NotReady(
                f"the database {self.database} is of release {self.release} and this is "
                f"payout-engine {ours}: run payout-engine migrate of the newer one, then replace "
                "the workers"
            )

    def check_worker(self) -> None:
        """Raise NotReady if a worker cannot work with this login."""
        self.check_engine()
        if not self.is_worker:
            raise errors.NotReady(
                f"login {self.role} is no member of payout_worker: "
                f"grant payout_worker to {self.role}"
            )


async def inspect_database(database_url: str) -> Login:
    """Connect, and return the login and whether the engine is there.

    Raises psycopg's errors, or NotReady where no repetition helps.
    """
    try:
        connecting = await psycopg.AsyncConnection.connect(connection_string(database_url))
    except psycopg.OperationalError as error:
        for told, advice in HOPELESS.items():
            if told in str(error):
                raise errors.NotReady(advice or _refusal(error)) from None
        raise
    async with connecting as connection:
        info = connection.info
        [(role, has_engine, is_worker, is_direct, tells)] = await (
            await connection.execute(INSPECT, [PROOF])
        ).fetchall()
        release = None
        if tells:
            [(release,)] = await (
                await connection.execute("select payout_api.release()")
            ).fetchall()
        return Login(
            database=f"{info.dbname} at {info.host}:{info.port}",
            role=role,
            has_engine=has_engine,
            is_worker=is_worker,
            is_direct=is_direct is True,
            release=release,
        )


def _goes_with(release: str, ours: str) -> bool:
    """Tell whether a schema and a program may work together: at most one minor release apart."""
    (major, minor), (our_major, our_minor) = (
        tuple(map(int, text.split(".")[:2])) for text in (release, ours)
    )
    return major == our_major and abs(minor - our_minor) <= 1


def _refusal(error: psycopg.Error) -> str:
    """Return the last line of a refused connection, which names the login or the database."""
    line = str(error).strip().splitlines()[-1].split("FATAL:")[-1]
    return f"no connection: {errors.redact(line.strip())}"


async def wait_for_database(database_url: str) -> Login:
    """Inspect the database as soon as it accepts a connection, however long that takes."""
    backoff = _backoff()
    while True:
        try:
            return await inspect_database(database_url)
        except psycopg.OperationalError as error:
            logger.warning("error connecting, to be repeated: %s", errors.one_line(error))
        await backoff.pause()


def _backoff() -> Backoff:
    return Backoff(first_seconds=0.05, longest_seconds=2.0)


class Database:
    """A few connections to the payout functions. Use it as a context manager."""

    def __init__(self, database_url: str) -> None:
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[Row]] = AsyncConnectionPool(
            connection_string(
                database_url,
                synchronous_commit="on",
                default_transaction_isolation=r"read\ committed",
            ),
            kwargs={"autocommit": True, "row_factory": dict_row},
            configure=_log_warnings,
            min_size=1,
            max_size=4,
            timeout=5,
            reconnect_timeout=3,  # the next call then tries anew: no long pause after an outage
            open=False,
            name="payout",
        )

    async def __aenter__(self) -> Self:
        await self._pool.open()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._pool.close()

    async def call(
        self,
        function: str,
        *,
        retry_seconds: float = 0,
        retry_timeouts: bool = True,
        **arguments: object,
    ) -> list[R]:
        """Call ``payout_api.<function>`` with named arguments and return its rows.

        The caller declares their type, one of `payout_engine.rows`. Transient errors (a lost
        connection, a restart, a deadlock) are retried for `retry_seconds`, so give these only to a
        call that is safe to repeat; a call that ran into a timeout of the server only with
        `retry_timeouts`. Raises the exceptions of `payout_engine.errors`, or psycopg's.
        """
        query = function_call(function, arguments)
        clock = asyncio.get_running_loop().time
        give_up_at = clock() + retry_seconds
        backoff = _backoff()
        while True:
            try:
                return await self._execute(query, arguments)
            except Exception as error:
                if clock() >= give_up_at or not errors.is_transient(error):
                    raise
                if errors.is_timeout(error) and not retry_timeouts:
                    raise
                logger.warning("%s fails, to be repeated: %s", function, errors.one_line(error))
            await backoff.pause()

    async def _execute(self, query: sql.Composed, arguments: dict[str, object]) -> list[Any]:
        async with self._pool.connection() as connection:
            try:
                return await (await connection.execute(query, arguments)).fetchall()
            except psycopg.Error as error:
                if errors.is_transient(error):
                    await connection.close()  # the pool replaces it: the server may be another now
                raise errors.of(error) from None


def function_call(function: str, arguments: Mapping[str, object]) -> sql.Composed:
    """Return the query that calls ``payout_api.<function>`` with named arguments."""
    named = (
        sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder(name))
        for name in arguments
    )
    return sql.SQL("select * from payout_api.{}({})").format(
        sql.Identifier(function), sql.SQL(", ").join(named)
    )


async def _log_warnings(connection: psycopg.AsyncConnection[Row]) -> None:
    connection.add_notice_handler(_log_warning)


def _log_warning(notice: psycopg.errors.Diagnostic) -> None:
    """Log a warning of the database at ERROR: it may be an alarm, which operators must see."""
    if notice.severity_nonlocalized == "WARNING":
        logger.error("%s", errors.redact(notice.message_primary or ""))


def apply_queue_schema(database_url: str) -> bool:
    """Create the schema ``procrastinate`` with procrastinate's tables and functions, once.

    Returns whether it was created now. Raises QueueSchemaError if the one there lacks functions
    of the version of procrastinate that is installed.
    """
    schema_sql = SchemaManager.get_schema()
    wanted = set(re.findall(r"^CREATE FUNCTION (\w+)", schema_sql, flags=re.MULTILINE))
    with psycopg.connect(database_url) as connection:
        connection.execute("select pg_advisory_xact_lock(hashtext('procrastinate'))")
        rows = connection.execute(
            "select proname from pg_proc where pronamespace = to_regnamespace('procrastinate')"
        ).fetchall()
        if rows and (missing := wanted - {name for (name,) in rows}):
            raise errors.QueueSchemaError(
                f"the schema procrastinate is of another version: it lacks "
                f"{', '.join(sorted(missing))}; apply procrastinate's own migrations "
                "(procrastinate schema --migrations-path)"
            )
        if not rows:
            connection.execute("create schema if not exists procrastinate")
            connection.execute("set local search_path = procrastinate")
            connection.execute(schema_sql)
    return not rows


def apply_queue_grants(database_url: str) -> None:
    """Run ``sql/queue_grants.sql``: it lets our roles, which must exist, use the queue."""
    grants = (sql_root() / "sql" / "queue_grants.sql").read_bytes()
    with psycopg.connect(database_url) as connection:
        connection.execute(grants)
