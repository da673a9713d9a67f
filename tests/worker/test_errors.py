"""Errors of the database become exceptions by their reaction, and never contain a secret."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg_pool import PoolClosed, PoolTimeout

from payout_engine import errors
from tests.worker.fakes import CANARY

Connection = psycopg.Connection[Any]
RAISE = "do $$ begin raise exception 'no' using errcode = '{}', detail = 'D', hint = 'H'; end $$"


@pytest.fixture(scope="module")
def connection(server: Any) -> Iterator[Connection]:
    with psycopg.connect(server.uri(server.maintenance_dbname), autocommit=True) as connection:
        yield connection


def raised(connection: Connection, sqlstate: str) -> Exception:
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(RAISE.format(sqlstate).encode())
    return errors.of(caught.value)


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("SP101", errors.PayoutError),
        ("SP201", errors.PayoutError),
        ("SP312", errors.PayoutError),
        ("SP401", errors.Unsafe),
        ("SP405", errors.NotCompared),
        ("SP406", errors.OtherRelease),
    ],
)
def test_the_third_character_of_class_sp_chooses_the_exception(
    connection: Connection, sqlstate: str, kind: type[errors.PayoutError]
) -> None:
    error = raised(connection, sqlstate)
    assert type(error) is kind
    assert str(error) == "no. D. H"
    assert error.sqlstate == sqlstate


@pytest.mark.parametrize("sqlstate", ["23505", "P0001"])
def test_other_errors_are_not_changed(connection: Connection, sqlstate: str) -> None:
    assert isinstance(raised(connection, sqlstate), psycopg.Error)


@pytest.mark.parametrize(
    ("sqlstate", "is_transient", "is_data_refused"),
    [
        ("08006", True, False),
        ("40001", True, False),
        ("40P01", True, False),
        ("53100", True, False),
        ("53300", True, False),
        ("55P03", True, False),
        ("57014", True, False),
        ("57P01", True, False),
        ("25006", True, False),
        ("SP401", True, False),
        ("22P05", False, True),
        ("23514", False, True),
        ("SP312", False, True),
        ("SP101", False, False),
        ("SP201", False, False),
        ("42883", False, False),
        ("42501", False, False),
    ],
)
def test_errors_are_transient_or_blame_the_values_by_their_sqlstate(
    connection: Connection,
    sqlstate: str,
    is_transient: bool,
    is_data_refused: bool,
) -> None:
    error = raised(connection, sqlstate)
    assert errors.is_transient(error) is is_transient
    assert errors.is_data_refused(error) is is_data_refused


def test_a_lost_connection_is_transient_and_a_closed_pool_is_not() -> None:
    assert errors.is_transient(psycopg.OperationalError("the connection is lost"))
    assert errors.is_transient(PoolTimeout("no connection is free"))
    assert not errors.is_transient(PoolClosed("we are leaving"))


def test_values_that_cannot_be_encoded_count_as_refused() -> None:
    assert errors.is_data_refused(psycopg.DataError("NUL"))
    with pytest.raises(TypeError) as caught:
        json.dumps(object())
    assert errors.is_data_refused(caught.value)


@pytest.mark.parametrize(
    "hide",
    [
        lambda secret: f"Invalid API Key provided: {CANARY}",
        lambda secret: f"Bearer {CANARY}, whsec_{secret}",
        lambda secret: f"cannot connect to postgresql://payouts:{secret}@localhost/shop",
        lambda secret: f"connection failed: host=localhost password={secret} user=payouts",
        # As Postgres quotes a report that it cannot read.
        lambda secret: (
            f'CONTEXT:  JSON data, line 1: ..."claim_token": "ct_{secret}", "signal": ...'
        ),
        lambda secret: f'CONTEXT:  JSON data, line 1: ..."claim_token": "ct_{secret[:20]}...',
    ],
)
def test_secrets_are_struck_out(hide: Callable[[str], str]) -> None:
    secret = "0123456789abcdef0123456789abcdef"
    shown = errors.redact(hide(secret))
    assert "***" in shown
    assert secret[:20] not in shown
    assert CANARY not in shown


def test_an_error_is_logged_without_the_values_of_the_call(connection: Connection) -> None:
    with pytest.raises(psycopg.Error) as caught:
        connection.execute("select %s::jsonb", ['{"destination": "acct_1", "amount": 7 x}'])
    assert "acct_1" in str(caught.value)
    assert errors.one_line(caught.value) == (
        "InvalidTextRepresentation('invalid input syntax for type json. Token \"x\" is invalid')"
    )


def test_a_person_is_told_an_error_without_the_statements_around_it(
    connection: Connection,
) -> None:
    with pytest.raises(psycopg.Error) as caught:
        connection.execute("do $$ begin raise 'no %', 1 using detail = 'D', hint = 'H'; end $$")
    assert "CONTEXT" in str(caught.value)
    assert errors.sentence(caught.value) == "no 1. D. H"


def test_an_error_without_a_message_of_the_server_is_logged_with_its_cause() -> None:
    error = psycopg.OperationalError(f"no route with {CANARY}")
    error.__cause__ = KeyError("x")
    assert errors.one_line(error) == (
        "OperationalError('no route with ***'), because of KeyError('x')"
    )


def test_text_without_a_secret_is_kept() -> None:
    text = "transfer 12: task_id is at risk_level 3: see https://stripe.com/docs (12:30)"
    assert errors.redact(text) == text
