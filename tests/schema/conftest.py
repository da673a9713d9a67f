"""The database of most schema tests: the workbench, on which each test undoes its work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.acting import Session
from tests.conftest import Connection, login_name

# A test that uses one of these needs commits, logins or first numbers: a database of its own.
OWN: Final = {"connect", "dsn", "database"}


@pytest.fixture
def db(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A superuser's connection, to a transaction that is undone or to the test's own database."""
    if OWN & set(request.fixturenames):
        yield request.getfixturevalue("clone")
        return
    workbench = request.getfixturevalue("workbench")
    with workbench.transaction(force_rollback=True):
        yield workbench


@pytest.fixture
def act(db: Connection) -> Callable[[str | None], Session]:
    """Give the session of a login in a role, or of a superuser, that is undone with `db`."""
    return lambda role: Session(db, login_name(role) if role else None)
