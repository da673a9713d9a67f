"""Databases that are copies of others, as files, all dropped in the end."""

from __future__ import annotations

import secrets
from types import TracebackType
from typing import Self

from psycopg import sql

from tests.conftest import Connection, Server


class Copies:
    """Makes copies over one connection. Use it as a context manager."""

    def __init__(self, server: Server, maintenance: Connection) -> None:
        self._server = server
        self._maintenance = maintenance
        self._names: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for name in self._names:
            self._maintenance.execute(
                sql.SQL("drop database {} with (force)").format(sql.Identifier(name))
            )

    def of_template(self) -> str:
        """Return the name of a fresh database."""
        return self.of(self._server.template_dbname)

    def of(self, database: str) -> str:
        """Return the name of a copy of a database without connections."""
        self._names.append(f"{self._server.template_dbname}_{secrets.token_hex(4)}")
        self._maintenance.execute(
            sql.SQL("create database {} template {} strategy file_copy").format(
                sql.Identifier(self._names[-1]), sql.Identifier(database)
            )
        )
        return self._names[-1]

    def uri(self, database: str) -> str:
        """Return the libpq URI of a database, as superuser."""
        return self._server.uri(database)
