"""One database server for a whole run of the tests, and a fresh database of its own for each test.

The server is an embedded one, or the one that DATABASE_URL names (as a superuser). The engine
is installed once, in a template; each test works in a clone of it, under the engine's real roles.
"""

from __future__ import annotations

import gc
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlencode

import psycopg
import pytest
from psycopg import sql
from pytest_postgresql.janitor import DatabaseJanitor

from payout_engine.queue_schema import apply_queue_grants, apply_queue_schema
from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from tools import schema_files

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

pytest_plugins = ["tests.mutants", "tests.crash.launching", "tests.fixtures"]

ROOT: Final = Path(__file__).resolve().parents[1]
ROLES: Final = (
    "payout_owner",
    "payout_app",
    "payout_worker",
    "payout_operator",
    "payout_approver",
    "payout_auditor",
)
# The workers of pytest-xdist inherit these from the process that starts them.
SERVER: Final = "PAYOUT_TEST_SERVER"
RUN: Final = os.environ.setdefault("PAYOUT_TEST_RUN", secrets.token_hex(4))
PASSWORD: Final = os.environ.setdefault("PAYOUT_TEST_PASSWORD", secrets.token_hex(16))

# Imported and collected objects stay: to look for garbage in them takes a third of all that.
gc.disable()


@dataclass(frozen=True, kw_only=True)
class Server:
    """The server of this run; its attributes are those that pytest-postgresql reads."""

    host: str
    port: int
    user: str
    password: str | None
    maintenance_dbname: str
    template_dbname: str = f"payout_{RUN}"
    options: str = ""

    def uri(self, database: str, *, user: str | None = None, password: str | None = None) -> str:
        """Return the libpq URI of a database, as superuser unless a `user` is named."""
        parameters = {"host": self.host, "port": self.port, "user": user or self.user}
        if secret := password if user else self.password:
            parameters["password"] = secret
        return f"postgresql:///{quote(database, safe='')}?{urlencode(parameters)}"

    def connect(self) -> Connection:
        """Connect as superuser to the database from which others are made and dropped."""
        return psycopg.connect(self.uri(self.maintenance_dbname), autocommit=True)

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """Hold the lock under which migrations run: roles belong to the whole server."""
        with self.connect() as connection:
            connection.execute("select pg_advisory_lock(hashtext('payout-engine tests'))")
            yield connection


def install(conninfo: str) -> None:
    """Bring an empty database to the state in which the engine runs, out of the files themselves.

    `tests/migrations` proves that `payout-engine migrate` brings it to the same.
    """
    apply_queue_schema(conninfo)
    schema_files.build(conninfo, ROOT)
    apply_queue_grants(conninfo)


def adopt(connection: Connection) -> None:
    """Adopt a database that is a copy, by the rows that `adopt_database` would write."""
    connection.execute(
        "with adopted as (insert into payout.adoptions "
        "(system_identifier, timeline_id, database_oid, table_oid, reason) "
        "select w.*, 'a copy for a test' from payout.database_identity() as w returning *) "
        "insert into payout.operator_actions (action, subject, reason) "
        "select 'adopt_database', adoption_id, reason from adopted"
    )
    compare_newest(connection)


def compare_newest(connection: Connection) -> None:
    """Let Stripe's newest transfers be compared, as a worker does before it claims: none is new."""
    connection.execute(
        "insert into payout.stripe_reads (kind, path, queries, next_parameters, worker, begun_at, "
        "adoption_id, finished_at, result) select 'newest', '/v1/transfers', '[{}]', null, "
        "'a test', payout.clock(), max(adoption_id), payout.clock(), 'nothing is new' "
        "from payout.adoptions"
    )


def login_name(role: str, member: int = 1) -> str:
    """Return the login that acts as one of several members of a group role."""
    return role.replace("payout_", "payout_test_") + (f"_{member}" if member > 1 else "")


def pytest_configure(config: pytest.Config) -> None:
    """Find or start the server, in the one process that starts the others."""
    # A shell that starts this in the background has it, and all it starts, ignore Ctrl-C.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    if given := os.environ.get("DATABASE_URL"):
        os.environ[SERVER] = given
        try:
            with _server().connect() as connection:
                is_superuser = connection.execute("show is_superuser").fetchone() == ("on",)
        except psycopg.OperationalError as error:
            raise pytest.UsageError(f"DATABASE_URL: {error}") from None
        if not is_superuser:
            raise pytest.UsageError("DATABASE_URL: the tests need a superuser of the server")
        config.add_cleanup(_clean_up)
    else:
        server = EmbeddedPostgres.start(settings={"max_prepared_transactions": "20"})
        config.add_cleanup(server.stop)
        os.environ[SERVER] = server.uri("postgres")


def pytest_collection(session: pytest.Session) -> None:
    """Let each process begin with other modules: it then finds the rest compiled by the others.

    In a fresh clone this takes twice as long as all else that a process does before its first test.
    """
    if worker := getattr(session.config, "workerinput", None):
        modules = sorted((ROOT / "tests").rglob("test_*.py"))
        number, processes = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
        start = len(modules) * number // processes
        for module in modules[start:] + modules[:start]:
            # An error in it is reported when it is collected.
            with suppress(Exception):
                import_module(".".join(module.relative_to(ROOT).with_suffix("").parts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each process begin with its share of the long tests, so that none runs on alone.

    pytest-xdist gives each an equal part of the list, and later tests that others have left.
    """
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.get_closest_marker("long")]
    short = [item for item in items if not item.get_closest_marker("long")]
    size = -(-len(short) // processes)
    items[:] = [
        item
        for number in range(processes)
        for item in (*long[number::processes], *short[number * size : (number + 1) * size])
    ]


def pytest_collection_finish() -> None:
    """Look for garbage from now on, and only in objects that the tests make."""
    gc.freeze()
    gc.enable()


def pytest_report_header() -> str:
    """Name the server that is tested against."""
    if SERVER not in os.environ:
        return "postgres: none, tests are only collected"
    kind = "named by DATABASE_URL" if os.environ.get("DATABASE_URL") else "embedded"
    with _server().connect() as connection:
        return f"postgres: {connection.info.parameter_status('server_version')}, {kind}"


@pytest.fixture(scope="session")
def server() -> Server:
    """The server, with the template database installed; the first to ask installs it."""
    server = _server()
    with server.migrating() as connection:
        found = connection.execute(
            "select from pg_database where datname = %s", [server.template_dbname]
        )
        if found.rowcount == 0:
            name = sql.Identifier(server.template_dbname)
            connection.execute(sql.SQL("create database {}").format(name))
            try:
                install(server.uri(server.template_dbname))
                _create_logins(connection)
            except BaseException:
                _drop_database(connection, server.template_dbname)
                raise
    return server


@pytest.fixture(scope="session")
def maintenance(server: Server) -> Iterator[Connection]:
    """The one connection over which the tests of a process make and drop their databases."""
    with server.connect() as connection:
        yield connection


class Clone(DatabaseJanitor):
    """pytest-postgresql's janitor, for a clone of the template, at half the cost.

    It connects once for all tests, and copies files instead of logging every page.
    """

    def __init__(self, server: Server, maintenance: Connection) -> None:
        super().__init__(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            maintenance_dbname=server.maintenance_dbname,
            template_dbname=server.template_dbname,
            dbname=f"payout_{RUN}_{secrets.token_hex(4)}",
        )
        self._maintenance = maintenance

    @contextmanager
    def cursor(self, dbname: str | None = None) -> Iterator[psycopg.Cursor[Any]]:
        """Give a cursor on the connection that all clones share."""
        with self._maintenance.cursor() as cursor:
            yield cursor

    def _build_create_database_sql(self) -> sql.Composed:
        return super()._build_create_database_sql() + sql.SQL(" strategy file_copy")


@contextmanager
def connect_to_clone(server: Server, maintenance: Connection) -> Iterator[Connection]:
    """Give a superuser's connection to a fresh, adopted database; PL/pgSQL is strict in it."""
    with (
        Clone(server, maintenance) as clone,
        psycopg.connect(server.uri(clone.dbname), autocommit=True) as connection,
    ):
        name = sql.Identifier(clone.dbname)
        connection.execute(
            sql.SQL("alter database {} set plpgsql.extra_errors = 'all'").format(name)
        )
        connection.execute("set plpgsql.extra_errors = 'all'")
        adopt(connection)
        # However old the template is, a sweep does not happen to seal.
        connection.execute("update payout.seal_marks set marked_at = clock_timestamp()")
        yield connection


@pytest.fixture(scope="session")
def workbench(server: Server, maintenance: Connection) -> Iterator[Connection]:
    """A superuser's connection to a database in which tests work in turn and undo their work.

    There is one for each process: the plans of its session serve all its tests.
    """
    with connect_to_clone(server, maintenance) as connection:
        yield connection


@pytest.fixture
def clone(server: Server, maintenance: Connection) -> Iterator[Connection]:
    """A superuser's connection to the test's own database."""
    with connect_to_clone(server, maintenance) as connection:
        yield connection


@pytest.fixture
def database(clone: Connection) -> str:
    """The name of the test's own database."""
    return clone.info.dbname


@pytest.fixture
def dsn(server: Server, database: str) -> Callable[..., str]:
    """Give the libpq URI of the test's database: ``dsn("payout_worker")``, ``dsn()``.

    Without a role it is the superuser's. ``member=2`` is another login in the same role.
    """

    def give(role: str | None = None, *, member: int = 1) -> str:
        if role is None:
            return server.uri(database)
        return server.uri(database, user=login_name(role, member), password=PASSWORD)

    return give


@pytest.fixture
def connect(dsn: Callable[..., str]) -> Iterator[Callable[..., Connection]]:
    """Open autocommit connections, with the arguments of `dsn`; closed when the test ends."""
    with ExitStack() as stack:

        def open_connection(role: str | None = None, *, member: int = 1) -> Connection:
            connection = psycopg.connect(dsn(role, member=member), autocommit=True)
            return stack.enter_context(connection)

        yield open_connection


@pytest.fixture
def background(server: Server, database: str) -> Iterator[ThreadPoolExecutor]:
    """Do something while the test goes on; it has ended when the test has.

    A test that failed in the middle may hold the lock for which it waits.
    """
    with ThreadPoolExecutor() as pool:
        yield pool
        with server.connect() as connection:
            connection.execute(
                "select pg_cancel_backend(pid) from pg_stat_activity "
                "where datname = %s and state = 'active'",
                [database],
            )


@pytest.fixture
def empty_database() -> Iterator[Callable[[], str]]:
    """Make further databases, with nothing in them; each call gives the libpq URI of one."""
    server = _server()
    with ExitStack() as stack:
        yield lambda: server.uri(stack.enter_context(fresh_database(server)))


@contextmanager
def fresh_database(server: Server, *, template: str = "template0") -> Iterator[str]:
    """Give the name of another database, dropped in the end."""
    dbname = f"payout_{RUN}_{secrets.token_hex(4)}"
    names = sql.Identifier(dbname), sql.Identifier(template)
    with server.connect() as connection:
        connection.execute(sql.SQL("create database {} template {}").format(*names))
    try:
        yield dbname
    finally:
        with server.connect() as connection:
            _drop_database(connection, dbname)


def _server() -> Server:
    with psycopg.connect(os.environ[SERVER]) as connection:
        info = connection.info
        return Server(
            host=info.host,
            port=info.port,
            user=info.user,
            password=info.password or None,
            maintenance_dbname=info.dbname,
        )


def _clean_up() -> None:
    """Leave no database and no login of this run behind on a server that stays."""
    server = _server()
    with server.connect() as connection:
        _drop_database(connection, server.template_dbname)
        for role in ROLES:
            for member in (1, 2):
                login = sql.Identifier(login_name(role, member))
                connection.execute(sql.SQL("drop role if exists {}").format(login))


def _create_logins(connection: Connection) -> None:
    """Create two logins in each of the engine's group roles, with the password of this run."""
    for role in ROLES:
        for member in (1, 2):
            names = {
                "login": sql.Identifier(login_name(role, member)),
                "role": sql.Identifier(role),
                "password": sql.Literal(PASSWORD),
            }
            for statement in (
                "drop role if exists {login}",
                "create role {login} login password {password}",
                "grant {role} to {login}",
            ):
                connection.execute(sql.SQL(statement).format(**names))


def _drop_database(connection: Connection, name: str) -> None:
    connection.execute(
        sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
    )
