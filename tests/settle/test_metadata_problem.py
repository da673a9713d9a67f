"""Metadata goes to Stripe with every transfer, so it keeps within Stripe's limits or is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.acting import Session
from tests.schema.refusals import Refusal
from tests.settle.marketplace import (
    complete,
    insert_settlement,
    jobs,
    line,
    refused,
    refused_at_commit,
    register,
    writes_nothing,
)

LINES: Final = [line("1", "seller_1", 5)]
MANY: Final = [*LINES, line("2", "seller_1", 6)]

WITHIN: Final[list[dict[str, str]]] = [
    {},
    {f"key_{number}": "x" for number in range(46)},
    {"k": "x"},
    {"k" * 40: "x"},
    {"é" * 40: "x"},
    {"key": "v" * 500},
    {"key": "🧾" * 500},
    {"key(1){2}<3>": "x"},
    {"Payout_Ref": "x"},
]

BEYOND: Final[dict[str, tuple[Any, str]]] = {
    "no object": (["a"], "is not an object"),
    "only a text": ("text", "is not an object"),
    "only a number": (7, "is not an object"),
    "47 keys": ({f"key_{number}": "x" for number in range(47)}, "has over 46 keys"),
    "an empty key": ({"": "x"}, "key  is not 1 to 40 characters long"),
    "a key of 41": ({"k" * 41: "x"}, f"key {'k' * 41} is not 1 to 40 characters long"),
    "an endless key": ({"k" * 5000: "x"}, f"key {'k' * 60} is not 1 to 40 characters long"),
    "an opening bracket": ({"key[": "x"}, "key key[ has a square bracket"),
    "a closing bracket": ({"key]": "x"}, "key key] has a square bracket"),
    "an empty value": ({"key": ""}, "value of key is not 1 to 500 characters long"),
    "a value of 501": ({"key": "v" * 501}, "value of key is not 1 to 500 characters long"),
    "a number": ({"key": 7}, "value of key is not text"),
    "a truth": ({"key": True}, "value of key is not text"),
    "null": ({"key": None}, "value of key is not text"),
    "an object": ({"key": {"a": "b"}}, "value of key is not text"),
    "a list": ({"key": ["a"]}, "value of key is not text"),
    "our payout_ref": ({"payout_ref": "x"}, "key payout_ref is reserved"),
    "our settlement_id": ({"settlement_id": "x"}, "key settlement_id is reserved"),
    "our payee_id": ({"payee_id": "x"}, "key payee_id is reserved"),
    "several, the first is named": ({"b": 1, "a": 2, "c": "x"}, "value of a is not text"),
}
REFUSALS: Final = {
    name: Refusal("SP308", f"settlement set_1: metadata {problem}")
    for name, (_, problem) in BEYOND.items()
}


@pytest.fixture
def app(act: Callable[[str], Session]) -> Session:
    app = act("payout_app")
    register(app, "seller_1")
    return app


def test_metadata_within_the_limits_is_sent_beside_ours(app: Session, db: Session) -> None:
    for number, metadata in enumerate(WITHIN):
        complete(app, f"set_{number}", LINES, metadata=metadata)

    for number, metadata in enumerate(WITHIN):
        row = db.execute(
            "select t.payout_ref, payout.transfer_request(t, 'acct_1', s.metadata, 'a') "
            "-> 'metadata' from payout.payout_transfers as t "
            "join payout.settlements as s using (settlement_id) where t.settlement_id = %s",
            [f"set_{number}"],
        ).fetchone()
        assert row is not None
        payout_ref, sent = row
        ours = {
            "payout_engine": "a",
            "payout_ref": payout_ref,
            "settlement_id": f"set_{number}",
            "payee_id": "seller_1",
        }
        assert sent == metadata | ours
        assert len(sent) <= 50


@pytest.mark.parametrize("lines", [LINES, MANY])
def test_metadata_beyond_the_limits_is_refused_by_the_call(
    lines: list[dict[str, Any]], app: Session, db: Session
) -> None:
    with writes_nothing(db):
        refusals = {
            name: refused(complete, app, "set_1", lines, metadata=metadata)
            for name, (metadata, _) in BEYOND.items()
        }

    assert refusals == REFUSALS


@pytest.mark.parametrize("lines", [LINES, MANY])
def test_metadata_beyond_the_limits_is_refused_at_commit(
    lines: list[dict[str, Any]], app: Session, db: Session
) -> None:
    with writes_nothing(db):
        refusals = {
            name: refused_at_commit(app, "set_1", lines, metadata=metadata)
            for name, (metadata, _) in BEYOND.items()
        }

    assert refusals == REFUSALS


def test_pending_metadata_may_be_corrected(app: Session, db: Session) -> None:
    insert_settlement(app, "set_1", LINES, state="pending", metadata={"key": 7})

    app.execute("""update payout.settlements set metadata = '{"key": "7"}', state = 'complete'""")

    assert jobs(db) == ["set_1"]
