"""An operator sets the caps; each change is on record with its reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.acting import Session
from tests.conftest import Connection
from tests.engine import Engine
from tests.mutants import mutant
from tests.schema.refusals import Refusal, refusal

CALL = "select payout_api.set_cap({})"


@mutant("a cap without a record", sql="drop trigger _900_record_change on payout.caps")
def test_a_cap_is_set_changed_and_taken_away_on_record(acted_engine: Engine) -> None:
    for arguments in (
        "'payee', 'usd', 'new sellers', 500000, 10",
        "'payee', 'usd', 'new sellers', 500000, 10",
        "'payee', 'usd', 'they are known', p_amount_minor => 900000",
        "'payee', 'usd', 'none'",
    ):
        acted_engine.operator.execute(CALL.format(arguments))
    caps = acted_engine.db.execute("select * from payout.caps").fetchall()
    assert caps == [("payee", "usd", None, None)]
    acts = acted_engine.db.execute(
        "select subject, reason, acted_by, details #>> '{old,largest_amount_minor}', "
        "details #>> '{new,largest_amount_minor}' from payout.operator_actions "
        "where action = 'change_cap' order by operator_action_id"
    ).fetchall()
    assert acts == [
        ("payee usd", "new sellers", "payout_test_operator", None, "500000"),
        ("payee usd", "they are known", "payout_test_operator", "500000", "900000"),
        ("payee usd", "none", "payout_test_operator", "900000", None),
    ]


def test_a_cap_that_was_updated_by_hand_is_on_record_too(engine: Engine) -> None:
    engine.db.execute(CALL.format("'engine', 'usd', 'a start', 5"))
    engine.db.execute("update payout.caps set largest_amount_minor = 7")
    (act,) = engine.db.execute(
        "select reason from payout.operator_actions where action = 'change_cap' "
        "order by operator_action_id desc limit 1"
    ).fetchall()
    assert act == ("caps was updated",)


@pytest.mark.parametrize(
    "arguments",
    [
        "'bank', 'usd', 'a test', 1",
        "null, 'usd', 'a test', 1",
        "'payee', 'USD', 'a test', 1",
        "'payee', null, 'a test', 1",
        "'payee', 'usd', ' ', 1",
        "'payee', 'usd', null, 1",
        "'payee', 'usd', 'a test', -1",
        "'payee', 'usd', 'a test', 1, -1",
        "'transfer', 'usd', 'a test', 1, 1",
    ],
)
def test_a_cap_without_all_that_it_needs_is_refused(acted_engine: Engine, arguments: str) -> None:
    scope, currency, reason = (text.strip() for text in arguments.split(",")[:3])
    words = [text.strip("'") for text in (scope, currency)]
    assert refusal(acted_engine.operator, CALL.format(arguments)) == Refusal(
        "SP313", f"cannot set a cap of {words[0]} in {words[1]} for reason {reason}"
    )


@mutant(
    "a cap that ends the waits of all currencies",
    "set_cap",
    "and p_currency = case",
    "and p_currency is not null or null = case",
)
def test_a_cap_of_one_currency_leaves_the_others_alone(engine: Engine) -> None:
    """The attack: each transfer over a cap notified operators again, whichever cap was set."""
    engine.operator.execute(CALL.format("'transfer', 'usd', 'a test', 10"))
    engine.operator.execute(CALL.format("'engine', 'eur', 'a test', 1500"))
    engine.settle("seller_1", "seller_2", settlement_id="set_eur", currency="eur")
    engine.settle()
    assert len(engine.claim()) == 1
    query = (
        "select scope, awaits from payout.holds where goes_on_at <= payout.clock() order by hold_id"
    )
    engine.operator.execute(CALL.format("'payee', 'jpy', 'a test', 5"))
    assert engine.db.execute(query).fetchall() == []
    engine.operator.execute(CALL.format("'payee', 'eur', 'a test', 500000"))
    assert engine.db.execute(query).fetchall() == [("currency", "cap")]
    engine.operator.execute(CALL.format("'payee', 'usd', 'a test', 500000"))
    assert engine.db.execute(query).fetchall() == [("currency", "cap"), ("transfer", "cap")]


@pytest.mark.parametrize("role", ["payout_app", "payout_worker", "payout_auditor"])
def test_only_operators_set_caps(visit: Callable[[str], Connection | Session], role: str) -> None:
    assert refusal(visit(role), CALL.format("'payee', 'usd', 'a test', 1")) == Refusal(
        "42501", "permission denied for function set_cap"
    )
