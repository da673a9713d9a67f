"""The one way to the database: `call` runs one payout function with named arguments.

Workers have a pool of connections, and people who read a session that cannot write.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Final, Self, TypeAlias, TypeVar

import psycopg
from psycopg import conninfo, sql
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool

from payout_engine import RELEASE, errors, metrics, service
from payout_engine.backoff import Backoff

logger = logging.getLogger(__name__)

Row = dict[str, Any]
Call: TypeAlias = Callable[..., list[Any]]
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
    "quote_all_identifiers": "off",
    "bytea_output": "hex",
    "transform_null_equals": "off",
    "client_min_messages": "notice",
}
# libpq sends these of the environment after our own.
OVERRIDING: Final = ("PGDATESTYLE", "PGTZ", "PGGEQO", "PGCLIENTENCODING")
# A session has it only if its own settings reached the server.
PROOF: Final = "payout.is_direct"
ALARM: Final = "payout alarm: "
# The number of a process comes again: in a container each one has the same.
START: Final = secrets.token_hex(3)

INSPECT: Final = """
select quote_ident(current_user) as role,
    to_regnamespace('payout_api') is not null as has_engine,
    exists (select from pg_roles
        where rolname = 'payout_worker' and pg_has_role(oid, 'usage')) as is_worker,
    current_setting(%s, true) is not distinct from 'yes' as is_direct,
    exists (select from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
        where (n.nspname, p.proname) = ('payout_api', 'release')
        and has_function_privilege(p.oid, 'execute')) as tells_release,
    exists (select from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        join pg_roles as o on o.rolname = 'payout_owner'
        and pg_has_role(n.nspowner, o.oid, 'member')
        where (n.nspname, c.relname) = ('procrastinate', 'procrastinate_jobs')
        and has_schema_privilege(n.oid, 'usage')
        and has_table_privilege(c.oid, 'update')) as has_queue,
    has_schema_privilege(to_regnamespace('payout_api')::oid, 'usage') as may_look
"""
A_POOLER: Final = (
    "a pooler (such as pgbouncer in transaction mode) stands between this process and Postgres: it "
    "drops the settings of the session and its notifications, on which the engine relies. Give "
    "DATABASE_URL a direct connection, or one through a pooler in session mode that passes options"
)
# A connection that fails for one of these fails for ever: libpq tells no SQLSTATE.
HOPELESS: Final = {
    "unsupported startup parameter": A_POOLER,
    "statement pooling mode": A_POOLER,
    "password authentication failed": None,
    "Peer authentication failed": None,
    "Ident authentication failed": None,
    "certificate authentication failed": None,
    "no password supplied": None,
    "no pg_hba.conf entry": None,
    "does not exist": None,
    "is not permitted to log in": None,
    "permission denied for database": None,
    "SSL was required": None,
    "definition of service": None,
    ' value: "': None,  # of a parameter that libpq checks, such as sslmode
}


def worker_name() -> str:
    """Return the name of this process in the database, which no later process has."""
    return f"payout-engine {socket.gethostname()[:33]} {START} {os.getpid()}"


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
    has_queue: bool
    """Whether it may take wake-up jobs: not from the queue of another application."""

    def check_engine(self) -> None:
        """Raise UserError if the engine is not there, is another release, or is out of reach."""
        if not self.is_direct:
            raise errors.UserError(A_POOLER)
        if not self.has_engine:
            raise errors.UserError(
                f"the database {self.database} holds no payout engine: run payout-engine migrate"
            )
        if self.release is not None and not _goes_with(self.release):
            raise errors.UserError(
                f"the database {self.database} is of release {self.release} and this is "
                f"payout-engine {RELEASE}: run payout-engine migrate of the newer one, then "
                "replace the workers"
            )

    def check_worker(self) -> None:
        """Raise UserError if a worker cannot work with this login."""
        self.check_engine()
        if not self.is_worker:
            raise errors.UserError(
                f"login {self.role} is no member of payout_worker: "
                f"grant payout_worker to {self.role}"
            )


async def inspect_database(database_url: str) -> Login:
    """Connect, and return the login and whether the engine is there.

    Raises psycopg's errors, or UserError where no repetition helps.
    """
    try:
        # Without a transaction, which a pooler of single statements refuses.
        connecting = await psycopg.AsyncConnection.connect(
            connection_string(database_url), autocommit=True, row_factory=dict_row
        )
    except psycopg.OperationalError as error:
        refuse_hopeless(error)
        raise
    async with connecting as connection:
        info = connection.info
        [found] = await (await connection.execute(INSPECT, [PROOF])).fetchall()
        release = None
        may_look = found.pop("may_look")
        if found.pop("tells_release"):
            if not may_look:  # functions without rights of their own are everybody's
                raise errors.UserError(
                    f"the database {info.dbname} has lost the rights of the engine's roles, as by "
                    "pg_restore --no-acl: run payout-engine migrate as its owner"
                )
            told = await connection.execute("select payout_api.release() as release")
            [release] = [row["release"] for row in await told.fetchall()]
        database = f"{info.dbname} at {info.host}:{info.port}"
        return Login(database=database, release=release, **found)


def refuse_hopeless(error: psycopg.OperationalError) -> None:
    """Raise UserError if a connection that failed so fails for ever."""
    for told, advice in HOPELESS.items():
        if told in str(error):
            raise errors.UserError(advice or _refusal(error)) from None


def number_of(release: str) -> tuple[int, int]:
    """Return the major and the minor number of a release."""
    major, minor = release.split(".")[:2]
    return int(major), int(minor)


def _goes_with(release: str) -> bool:
    """Tell whether a schema and this program may work together: at most a minor release apart."""
    (major, minor), (our_major, our_minor) = number_of(release), number_of(RELEASE)
    return major == our_major and abs(minor - our_minor) <= 1


def _refusal(error: psycopg.Error) -> str:
    """Return what refused a connection, which names the login, the database or the setting."""
    told = str(error).strip()
    _, is_told, line = told.rpartition("FATAL:")
    if not is_told:
        line = told.splitlines()[-1].rpartition(" failed: ")[2]
    return f"no connection: {errors.redact(' '.join(line.split()))}"


async def wait_for_database(database_url: str) -> Login:
    """Inspect the database as soon as it accepts a connection, however long that takes.

    Each reason why it does not is logged once.
    """
    backoff = _backoff()
    logged = ""
    while True:
        try:
            return await inspect_database(database_url)
        except psycopg.OperationalError as error:
            reason = errors.one_line(error)
        if reason != logged:
            told = "error connecting, to be repeated: %s"
            logger.warning(told, reason, extra={"event": "not_connected"})
            service.show(f"waiting for the database: {reason}")
        logged = reason
        await backoff.pause()


def _backoff() -> Backoff:
    return Backoff(first_seconds=0.05, longest_seconds=2.0)


class Database:
    """A few connections to the payout functions. Use it as a context manager.

    That the connection is lost, and that it is there again, is logged once each. `on_alarm` is told
    each alarm that a call raises: as JSON, with the ids that it is about.
    """

    _lost_at: float | None = None
    _found_at = 0.0

    def __init__(
        self, database_url: str, *, on_alarm: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> None:
        self._on_alarm = on_alarm
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[Row]] = AsyncConnectionPool(
            connection_string(
                database_url,
                synchronous_commit="on",
                default_transaction_isolation=r"read\ committed",
            ),
            kwargs={"autocommit": True, "row_factory": dict_row},
            configure=self._take_notices,
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
        query = _function_call(function, arguments)
        clock = asyncio.get_running_loop().time
        give_up_at = clock() + retry_seconds
        backoff = _backoff()
        while True:
            began_at = clock()
            try:
                rows = await self._execute(query, arguments)
                metrics.CALL_SECONDS.labels(function).observe(clock() - began_at)
                return rows
            except Exception as error:
                metrics.CALL_FAILURES.labels(function).inc()
                if clock() >= give_up_at or not errors.is_transient(error):
                    raise
                if errors.is_timeout(error) and not retry_timeouts:
                    raise
                level, reason = self.level(error, logging.WARNING), errors.one_line(error)
                told = "%s fails, to be repeated: %s"
                logger.log(level, told, function, reason, extra={"event": "call_failed"})
            await backoff.pause()

    def level(self, error: Exception, level: int, *, since: float = math.inf) -> int:
        """Return the level to log a failure at: DEBUG if it only says again what `lose` said.

        With `since` that holds as well if the connection was away after that time.
        """
        is_said = self._lost_at is not None or since < self._found_at
        return logging.DEBUG if is_said and errors.is_transient(error) else level

    async def lose(self, error: Exception) -> None:
        """Replace every connection, and log it once, if this error says that one is lost."""
        if self._lost_at is not None or not errors.is_lost(error):
            return
        self._lost_at = asyncio.get_running_loop().time()
        reason = errors.one_line(error)
        logger.warning("connection lost: %s", reason, extra={"event": "connection_lost"})
        service.show(f"connection to the database lost: {reason}")
        await self._pool.drain()

    def _find(self) -> None:
        if self._lost_at is None:
            return
        self._found_at = asyncio.get_running_loop().time()
        seconds, self._lost_at = self._found_at - self._lost_at, None
        logger.warning("connected again, after %.1f s", seconds, extra={"event": "connected_again"})
        service.show("connected to the database again")

    async def _execute(self, query: sql.Composed, arguments: dict[str, object]) -> list[Any]:
        async with self._pool.connection() as connection:
            try:
                rows = await (await connection.execute(query, arguments)).fetchall()
            except psycopg.Error as error:
                if errors.is_transient(error):
                    await connection.close()  # the pool replaces it: the server may be another now
                await self.lose(error)
                raise errors.of(error) from None
            self._find()
            return rows

    async def _take_notices(self, connection: psycopg.AsyncConnection[Row]) -> None:
        connection.add_notice_handler(self._take_notice)

    def _take_notice(self, notice: psycopg.errors.Diagnostic) -> None:
        """Log a warning of the database at ERROR; hand it on if it is an alarm.

        That the server ends the session is told by the call that fails then.
        """
        if notice.severity_nonlocalized != "WARNING" or (notice.sqlstate or "").startswith("57P"):
            return
        message = notice.message_primary or ""
        alarm = {}
        if message.startswith(ALARM) and notice.message_detail:
            alarm = json.loads(notice.message_detail)
        event = "alarm" if alarm else "database_warning"
        ids = {name: alarm.get(name) for name in ("payout_transfer_id", "settlement_id")}
        logger.error("%s", errors.redact(message), extra={"event": event, **ids})
        if alarm:
            self._on_alarm(alarm)


@contextmanager
def reading(database_url: str) -> Iterator[Call]:
    """Give a `call` as that of `Database`, in one snapshot and a session that cannot write.

    A login in payout_auditor is enough. Raises UserError if the engine is not there or the login
    may not read it, an exception of `payout_engine.errors`, or psycopg's.
    """
    login = asyncio.run(inspect_database(database_url))
    login.check_engine()
    settings = connection_string(
        database_url,
        statement_timeout="5min",
        idle_in_transaction_session_timeout="0",  # a reader of the output may be slow
        default_transaction_read_only="on",
        default_transaction_isolation=r"repeatable\ read",
        timezone="UTC",
    )
    with psycopg.connect(settings, row_factory=dict_row, autocommit=True) as connection:
        lift_transaction_timeout(connection)
        connection.autocommit = False  # the first call begins the snapshot
        set_json_loads(partial(json.loads, parse_float=Decimal), connection)

        def call(function: str, **arguments: object) -> list[Any]:
            try:
                return connection.execute(_function_call(function, arguments), arguments).fetchall()
            except psycopg.errors.InsufficientPrivilege:
                raise errors.UserError(
                    f"login {login.role} may not read the books: grant payout_auditor to "
                    f"{login.role}"
                ) from None
            except psycopg.Error as error:
                raise errors.of(error) from None

        yield call


def _function_call(function: str, arguments: Mapping[str, object]) -> sql.Composed:
    """Return the query that calls ``payout_api.<function>`` with named arguments."""
    named = (
        sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder(name))
        for name in arguments
    )
    return sql.SQL("select * from payout_api.{}({})").format(
        sql.Identifier(function), sql.SQL(", ").join(named)
    )


def lift_transaction_timeout(connection: psycopg.Connection[Any]) -> None:
    """Let transactions of this session take their time; PostgreSQL 17 and newer may limit it."""
    connection.execute(
        "select set_config('transaction_timeout', '0', false) "
        "where current_setting('transaction_timeout', true) is not null"
    )
