"""Errors of the database become exceptions that say what to do, and never tell a secret."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
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
        ("SP101", errors.InvariantTouched),
        ("SP201", errors.WrongState),
        ("SP312", errors.BadArgument),
        ("SP401", errors.NotNow),
    ],
)
def test_the_third_character_of_class_sp_says_what_to_do(
    connection: Connection, sqlstate: str, kind: type[errors.PayoutError]
) -> None:
    error = raised(connection, sqlstate)
    assert type(error) is kind
    assert str(error) == "no. D. H"
    assert error.sqlstate == sqlstate


@pytest.mark.parametrize("sqlstate", ["SP999", "23505", "P0001"])
def test_other_errors_stay_what_they_are(connection: Connection, sqlstate: str) -> None:
    assert isinstance(raised(connection, sqlstate), psycopg.Error)


@pytest.mark.parametrize(
    ("sqlstate", "is_passing", "is_data_refused"),
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
def test_it_is_known_which_errors_pass_and_which_blame_the_values(
    connection: Connection,
    sqlstate: str,
    is_passing: bool,
    is_data_refused: bool,
) -> None:
    error = raised(connection, sqlstate)
    assert errors.is_passing(error) is is_passing
    assert errors.is_data_refused(error) is is_data_refused


def test_a_lost_connection_passes_and_a_closed_pool_does_not() -> None:
    assert errors.is_passing(psycopg.OperationalError("the connection is lost"))
    assert errors.is_passing(PoolTimeout("none to be had"))
    assert not errors.is_passing(PoolClosed("we are leaving"))


def test_values_that_cannot_even_be_written_are_refused_values() -> None:
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
    ],
)
def test_secrets_are_struck_out(hide: Callable[[str], str]) -> None:
    told = errors.redact(hide("hidden"))
    assert "***" in told
    assert "hidden" not in told
    assert CANARY not in told


def test_what_is_no_secret_stays() -> None:
    told = "transfer 12: task_id is at risk_level 3: see https://stripe.com/docs (12:30)"
    assert errors.redact(told) == told


def test_every_reaction_of_the_list_of_codes_has_its_exception() -> None:
    codes = (Path(__file__).resolve().parents[2] / "sql" / "error_codes.sql").read_text()
    reactions = {line.split("'SP")[1][0] for line in codes.splitlines() if "('SP" in line}
    assert reactions == set(errors.BY_THIRD_CHARACTER)
