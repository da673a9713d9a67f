"""Reads the books and the state of all payouts for people, at one moment, and changes nothing.

A login in payout_auditor is enough: the session refuses to write, whatever the login may do.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from payout_engine import errors
from payout_engine.database import (
    connection_string,
    function_call,
    inspect_database,
    lift_transaction_timeout,
)

Call: TypeAlias = Callable[..., list[Any]]


@contextmanager
def reading(database_url: str) -> Iterator[Call]:
    """Give a `call` of ``payout_api`` functions with named arguments, all of one snapshot.

    Raises UserError if the engine is not there or the login may not read it, an exception of
    `payout_engine.errors`, or psycopg's.
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
                return connection.execute(function_call(function, arguments), arguments).fetchall()
            except psycopg.errors.InsufficientPrivilege:
                raise errors.UserError(
                    f"login {login.role} may not read the books: grant payout_auditor to "
                    f"{login.role}"
                ) from None
            except psycopg.Error as error:
                raise errors.of(error) from None

        yield call
