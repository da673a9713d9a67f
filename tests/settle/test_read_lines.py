"""The lines of a call are JSON: anything but a list of whole lines is refused with its position."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.acting import Session
from tests.schema.refusals import Refusal
from tests.settle.marketplace import (
    complete,
    line,
    refused,
    register,
    transfers,
    writes_nothing,
)

GOOD: Final = line("1", "seller_1", 700)
NO_ARRAY: Final = "p_lines is not an array with at least one line"
NO_AMOUNT: Final = "has no whole number amount_minor"
TOO_MUCH: Final = "has an amount_minor that no bigint holds"
NO_SOURCE: Final = "has a source_transaction that is not text"
EXTRA_KEY: Final = "has a key that is none of line_id, payee_id, amount_minor, source_transaction"


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name != key}


MALFORMED: Final[dict[str, tuple[Any, str]]] = {
    "nothing": (None, NO_ARRAY),
    "an empty array": ([], NO_ARRAY),
    "an object": (GOOD, NO_ARRAY),
    "a text": ("lines", NO_ARRAY),
    "a number": (7, NO_ARRAY),
    "an array in the array": ([GOOD, [GOOD]], "line 2 of p_lines is not an object"),
    "null in the array": ([None], "line 1 of p_lines is not an object"),
    "a text in the array": (
        [GOOD, GOOD | {"line_id": "2"}, "3"],
        "line 3 of p_lines is not an object",
    ),
    "an empty line": ([{}], "line 1 of p_lines has no text line_id"),
    "no line_id": ([without("line_id")], "line 1 of p_lines has no text line_id"),
    "a number as line_id": ([GOOD | {"line_id": 1}], "line 1 of p_lines has no text line_id"),
    "null as line_id": ([GOOD | {"line_id": None}], "line 1 of p_lines has no text line_id"),
    "no payee_id": ([without("payee_id")], "line 1 of p_lines has no text payee_id"),
    "a list as payee_id": ([GOOD | {"payee_id": ["x"]}], "line 1 of p_lines has no text payee_id"),
    "no amount_minor": ([without("amount_minor")], f"line 1 of p_lines {NO_AMOUNT}"),
    "null as amount": ([GOOD | {"amount_minor": None}], f"line 1 of p_lines {NO_AMOUNT}"),
    "a text as amount": ([GOOD | {"amount_minor": "700"}], f"line 1 of p_lines {NO_AMOUNT}"),
    "an amount with decimals": ([GOOD | {"amount_minor": 7.5}], f"line 1 of p_lines {NO_AMOUNT}"),
    "an amount with a decimal of zero": (
        [GOOD | {"amount_minor": 700.0}],
        f"line 1 of p_lines {NO_AMOUNT}",
    ),
    "an amount of 20 digits in many lines": (
        [GOOD, line("2", "seller_1", 10**19)],
        f"line 2 of p_lines {TOO_MUCH}",
    ),
    "nothing as amount": (
        [GOOD, line("2", "seller_1", 0)],
        "line 2 of p_lines has an amount_minor that is not above 0",
    ),
    "an amount of 19 digits": (
        [GOOD | {"amount_minor": 2**63}],
        f"line 1 of p_lines {TOO_MUCH}",
    ),
    "an amount of 300 digits": (
        [GOOD | {"amount_minor": 10**299}],
        f"line 1 of p_lines {TOO_MUCH}",
    ),
    "a number as source_transaction": (
        [GOOD | {"source_transaction": 7}],
        f"line 1 of p_lines {NO_SOURCE}",
    ),
    "an object as source_transaction": (
        [GOOD | {"source_transaction": {}}],
        f"line 1 of p_lines {NO_SOURCE}",
    ),
    "an unknown key": ([GOOD | {"amount": 7}], f"line 1 of p_lines {EXTRA_KEY}"),
    "a misspelt key": (
        [GOOD, GOOD | {"line_id": "2", "source_transacton": "ch_1"}],
        f"line 2 of p_lines {EXTRA_KEY}",
    ),
    "two bad lines, of which the first is named": (
        [GOOD, without("payee_id"), without("line_id")],
        "line 2 of p_lines has no text payee_id",
    ),
    "a line_id twice": (
        [GOOD, line("2", "seller_1", 5), line("1", "seller_2", 5)],
        "line 3 of p_lines repeats the line_id 1",
    ),
    "the same line twice": ([GOOD, GOOD], "line 2 of p_lines repeats the line_id 1"),
}
REFUSALS: Final = {name: Refusal("SP309", message) for name, (_, message) in MALFORMED.items()}


@pytest.fixture
def app(act: Callable[[str], Session]) -> Session:
    app = act("payout_app")
    register(app, "seller_1", "seller_2")
    return app


def test_malformed_lines_are_refused_with_their_position(app: Session, db: Session) -> None:
    with writes_nothing(db):
        refusals = {
            name: refused(complete, app, "set_1", lines) for name, (lines, _) in MALFORMED.items()
        }

    assert refusals == REFUSALS


def test_they_are_refused_as_well_when_the_settlement_is_told_again(
    app: Session, db: Session
) -> None:
    complete(app, "set_1", [GOOD])

    with writes_nothing(db):
        refusals = {
            name: refused(complete, app, "set_1", lines) for name, (lines, _) in MALFORMED.items()
        }

    assert refusals == REFUSALS


def test_no_lines_at_all_are_refused(app: Session, db: Session) -> None:
    statement = "select payout_api.complete_settlement('set_1', 'usd', null)"
    with writes_nothing(db):
        assert refused(app.execute, statement) == Refusal("SP309", NO_ARRAY)


def test_a_null_source_transaction_is_none(app: Session, db: Session) -> None:
    complete(app, "set_1", [GOOD | {"source_transaction": None}])

    assert transfers(db) == [("seller_1", None, 700)]


def test_an_amount_may_be_written_with_an_exponent(app: Session, db: Session) -> None:
    app.execute(
        "select payout_api.complete_settlement('set_1', 'usd', "
        """'[{"line_id":"1","payee_id":"seller_1","amount_minor":7e2}]')"""
    )

    assert transfers(db) == [("seller_1", None, 700)]


def test_of_a_key_written_twice_the_last_counts(app: Session, db: Session) -> None:
    app.execute(
        "select payout_api.complete_settlement('set_1', 'usd', "
        """'[{"line_id":"1","payee_id":"seller_2","amount_minor":5,"payee_id":"seller_1"}]')"""
    )

    assert transfers(db) == [("seller_1", None, 5)]


def test_text_that_is_no_json_is_refused(app: Session, db: Session) -> None:
    statement = "select payout_api.complete_settlement('set_1', 'usd', %s)"
    with writes_nothing(db):
        assert refused(app.execute, statement, [json.dumps([GOOD])[:-1]]) == Refusal(
            "22P02", "invalid input syntax for type json"
        )
        nul = json.dumps([GOOD | {"line_id": "1\0"}])
        assert refused(app.execute, statement, [nul]) == Refusal(
            "22P05", "unsupported Unicode escape sequence"
        )
