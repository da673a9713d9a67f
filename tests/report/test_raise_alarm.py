"""Operators are notified, and sending stops, when Stripe says the unexpected."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Connection
from tests.engine import (
    Claim,
    Engine,
    Outcome,
    no_answer,
    no_such_account,
    outcome,
    success,
    unfunded,
)

ALARMS: dict[str, Callable[[Claim], list[Outcome]]] = {
    "answer_contradicts_request": lambda claim: [success(claim, amount_minor=1)],
    "second_transfer_at_stripe": lambda claim: [
        success(claim),
        success(claim, stripe_transfer_id="tr_2"),
    ],
    "success_under_closed_key": lambda claim: [
        no_such_account(claim),
        success(claim),
    ],
    "stripe_key_refused": lambda claim: [outcome(claim, "response", http_status=401)],
    "balance_insufficient": lambda claim: [unfunded(claim)],
    "key_used_with_other_request": lambda claim: [
        outcome(claim, "response", http_status=400, error_type="idempotency_error")
    ],
    "report_of_unknown_transfer": lambda claim: [success(claim._replace(payout_transfer_id=10**9))],
}


@pytest.fixture
def warnings(shared_engine: Engine) -> list[str]:
    """The warnings that a worker gets."""
    found: list[str] = []
    shared_engine.worker.add_notice_handler(
        lambda notice: found.append(notice.message_primary or "")
    )
    return found


def heard(connection: Connection) -> list[str]:
    """Return what came over the channel so far."""
    connection.execute("select")
    return [notice.payload for notice in connection.notifies(timeout=0)]


@pytest.mark.parametrize(("reason", "outcomes"), ALARMS.items(), ids=list(ALARMS))
def test_an_alarm_is_heard_by_whoever_listens(
    shared_engine: Engine,
    connect: Callable[..., Connection],
    warnings: list[str],
    reason: str,
    outcomes: Callable[[Claim], list[Outcome]],
) -> None:
    listener = connect("payout_operator")
    listener.execute("listen payout_alarms")
    shared_engine.settle()
    claim = shared_engine.claim_one()
    assert heard(listener) == []
    assert warnings == []
    shared_engine.report(*outcomes(claim))
    assert heard(listener) == [reason]
    [warning] = warnings
    assert warning.startswith(f"payout alarm: {reason}, ")


def test_a_transfer_that_the_sweep_parks_is_heard_of(
    shared_engine: Engine, connect: Callable[..., Connection], warnings: list[str]
) -> None:
    listener = connect("payout_operator")
    listener.execute("listen payout_alarms")
    shared_engine.settle()
    shared_engine.report(no_answer(shared_engine.claim_one()))
    shared_engine.let_pass("21 hours")
    shared_engine.sweep()
    assert heard(listener) == ["transfers_parked"]
    assert warnings == ["payout alarm: transfers_parked, 1 by the sweep"]


def test_an_alarm_holds_its_settlement_and_no_other(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2", settlement_id="set_1")
    engine.settle("seller_1", "seller_2", settlement_id="set_2")
    engine.db.execute(
        "update payout.transfer_states set next_attempt_at = payout.clock() + interval '1 hour' "
        "where payout_transfer_id <> (select min(payout_transfer_id) from payout.transfer_states)"
    )
    engine.report(success(engine.claim_one(), amount_minor=1))
    engine.make_due()
    assert {c.request["metadata"]["settlement_id"] for c in engine.claim()} == {"set_2"}


def test_a_hold_that_the_engine_places_is_noted_among_the_actions_once(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    engine.report(*(outcome(claim, "response", http_status=401) for claim in engine.claim()))
    actions = engine.db.execute(
        "select action, subject, reason from payout.operator_actions where action = 'hold'"
    ).fetchall()
    assert actions == [("hold", "engine", "stripe_key_refused")]
