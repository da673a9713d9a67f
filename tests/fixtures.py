"""The engine in two forms: quick, where every test undoes its work, and with connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Final

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from tests.acting import Session
from tests.conftest import PASSWORD, Connection, Server, login_name
from tests.engine import FREE_TURNS, Engine
from tests.mutants import Mutant

# A test that uses one of these needs commits, logins or first numbers: a database of its own.
OWN: Final = {"connect", "dsn", "database", "clone"}


@pytest.fixture(scope="session")
def visit(server: Server, workbench: Connection) -> Iterator[Callable[[str], Connection]]:
    """Give a login of a role in that database, for tests that look and are refused."""
    with ExitStack() as stack:

        @cache
        def log_in(role: str) -> Connection:
            uri = server.uri(workbench.info.dbname, user=login_name(role), password=PASSWORD)
            return stack.enter_context(psycopg.connect(uri, autocommit=True))

        yield log_in


@pytest.fixture
def engine(workbench: Connection, broken_by: Mutant | None) -> Iterator[Engine]:
    """An engine for one test, which is undone; at the end the books must agree with the states."""
    with workbench.transaction(force_rollback=True):
        # The wake-up job that another test has seen was undone, but no sequence is.
        workbench.execute(
            "select setval('payout.waiting_wakeup', 1, false), "
            "setval('payout.seen_wakeup', 1, false)"
        )
        workbench.execute(FREE_TURNS)
        engine = Engine(workbench)
        yield engine
        has_failed = workbench.info.transaction_status is TransactionStatus.INERROR
        if not has_failed and broken_by is None:
            assert engine.differences_in_the_books() == []


@pytest.fixture
def undone(workbench: Connection) -> Iterator[Connection]:
    """A superuser's connection to the workbench, in a transaction that is undone."""
    with workbench.transaction(force_rollback=True):
        yield workbench


@pytest.fixture
def db(request: pytest.FixtureRequest) -> Connection | Session:
    """The superuser's session: acted on the workbench, or to the test's own database."""
    if OWN & set(request.fixturenames):
        clone: Connection = request.getfixturevalue("clone")
        return clone
    return Session(request.getfixturevalue("undone"))


@pytest.fixture
def act(request: pytest.FixtureRequest) -> Callable[[str], Connection | Session]:
    """Give the session of a login in a role, of the same kind as `db`."""
    if OWN & set(request.fixturenames):
        log_in: Callable[[str], Connection] = request.getfixturevalue("connect")
        return log_in
    undone = request.getfixturevalue("undone")
    return lambda role: Session(undone, login_name(role))


@pytest.fixture
def acted_engine(engine: Engine) -> Engine:
    """The same, with a session of a login for each role."""
    return Engine(engine.db, log_in=lambda role: Session(engine.db, login_name(role)))


@pytest.fixture
def shared_engine(
    db: Connection, connect: Callable[..., Connection], broken_by: Mutant | None
) -> Iterator[Engine]:
    """An engine in a database of its own, whose roles are logins, for more than one connection."""
    engine = Engine(db, log_in=connect)
    yield engine
    if broken_by is None:
        assert engine.differences_in_the_books() == []
