"""Reads the books and the state of all payouts for people, at one moment, and changes nothing.

A login in payout_auditor is enough: the session refuses to write, whatever the login may do.
"""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from functools import partial
from typing import Any, Self, TypeVar

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from payout_engine import errors
from payout_engine.database import (
    Row,
    connection_string,
    function_call,
    inspect_database,
    lift_transaction_timeout,
)

R = TypeVar("R")


class Reader:
    """One snapshot of the database: all calls read the same moment. Use it as a context manager."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url

    def __enter__(self) -> Self:
        """Connect. Raises UserError if the engine is not there, or psycopg's errors."""
        login = asyncio.run(inspect_database(self._url))
        login.check_engine()
        self._role = login.role
        settings = connection_string(
            self._url,
            statement_timeout="5min",
            idle_in_transaction_session_timeout="0",  # a reader of the output may be slow
            default_transaction_read_only="on",
            default_transaction_isolation=r"repeatable\ read",
            timezone="UTC",
        )
        self._connection: psycopg.Connection[Row] = psycopg.connect(
            settings, row_factory=dict_row, autocommit=True
        )
        lift_transaction_timeout(self._connection)
        self._connection.autocommit = False  # the first call begins the snapshot
        set_json_loads(partial(json.loads, parse_float=Decimal), self._connection)
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def call(self, function: str, **arguments: object) -> list[Any]:
        """Call ``payout_api.<function>`` with named arguments and return its rows.

        Raises UserError if the login may not, an exception of `payout_engine.errors`, or psycopg's.
        """
        try:
            query = function_call(function, arguments)
            return self._connection.execute(query, arguments).fetchall()
        except psycopg.errors.InsufficientPrivilege:
            raise errors.UserError(
                f"login {self._role} may not read the books: grant payout_auditor to {self._role}"
            ) from None
        except psycopg.Error as error:
            raise errors.of(error) from None
