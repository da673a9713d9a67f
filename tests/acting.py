"""Sessions of several logins, acted on one connection, inside one transaction that is undone.

Their commits are checked by every deferred constraint, and are seen by the others. Such sessions do
not show waits for locks, the isolation of uncommitted rows, numbers of transactions, and settings
that end with a transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from tests.conftest import Connection

Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any] | None

COMMIT: Final = "set constraints all immediate; set constraints all deferred; "


class Session:
    """The autocommit session of a login, or of the superuser whose connection it is.

    It takes `begin`, `commit` and `rollback` as a connection does, and the calls that tests make.
    """

    def __init__(self, connection: Connection, login: str | None = None) -> None:
        self._connection = connection
        self._has_begun = False
        self._become = self._unbecome = ""
        if login is not None:
            name = sql.Identifier(login).as_string(connection)
            self._become = f"set local session authorization {name}"
            self._unbecome = "reset session authorization; "

    @property
    def info(self) -> psycopg.ConnectionInfo:
        """The details of the connection."""
        return self._connection.info

    def execute(self, query: Any, parameters: Parameters = None) -> psycopg.Cursor[Any]:
        """Run a statement, in a transaction of its own unless one has begun."""
        word = query.decode() if isinstance(query, bytes) else query
        if word == "begin":
            return self._begin()
        if word == "commit":
            return self._commit()
        if word == "rollback":
            return self._roll_back()
        with self._turn():
            return self._connection.execute(query, parameters)

    def cursor(self) -> Session:
        """Return an object with `executemany`."""
        return self

    def executemany(self, query: str, rows: Sequence[Parameters]) -> None:
        """Run a statement once for each row, all in one transaction."""
        with self._turn():
            self._connection.cursor().executemany(query.encode(), rows)

    @contextmanager
    def transaction(self, *, force_rollback: bool = False) -> Iterator[None]:
        """Run the block in a transaction, or in a savepoint of the one that has begun."""
        if self._has_begun:
            with self._connection.transaction(force_rollback=force_rollback):
                yield
            return
        self._begin()
        try:
            yield
        except BaseException:
            self._roll_back()
            raise
        self._roll_back() if force_rollback else self._commit()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Be the login for a while."""
        if not self._has_begun:
            with self.transaction(), self._turn():
                yield
            return
        # After an error there is only the rollback, which every role may do.
        if self._become and not self._has_failed():
            self._connection.execute(self._become.encode())
        yield
        if self._unbecome and not self._has_failed():
            self._connection.execute(self._unbecome.encode())

    def _has_failed(self) -> bool:
        return self._connection.info.transaction_status is TransactionStatus.INERROR

    def _begin(self) -> psycopg.Cursor[Any]:
        begun = self._connection.execute("savepoint acted")
        self._has_begun = True
        return begun

    def _commit(self) -> psycopg.Cursor[Any]:
        if self._has_failed():
            return self._roll_back()
        try:
            with self._turn():
                self._connection.execute(COMMIT.encode())
        except BaseException:
            self._roll_back()
            raise
        self._has_begun = False
        return self._connection.execute("release savepoint acted")

    def _roll_back(self) -> psycopg.Cursor[Any]:
        self._has_begun = False
        return self._connection.execute("rollback to savepoint acted; release savepoint acted")
