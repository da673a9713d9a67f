"""A large transfer gets a new key only when a person agrees with the engine's proof."""

from __future__ import annotations

import pytest

from tests.engine import Engine, LookupReport, listed
from tests.mutants import mutant
from tests.report.test_judge_absence import ABSENT, GIVEN_UP, vanished
from tests.schema.refusals import Refusal, refusal_of

LARGE = 100_001


def approve(engine: Engine, transfer: int | None, reason: str | None = "looked at Stripe") -> None:
    engine.operator.execute("select payout_api.approve_absence(%s, %s)", [transfer, reason])


@pytest.fixture
def proved(engine: Engine) -> int:
    """A large transfer that two scans did not find."""
    (transfer,) = engine.settle(amount_minor=LARGE)
    vanished(engine)
    engine.let_pass("2 days")
    assert engine.look_up() == ABSENT
    engine.let_pass("61 minutes")
    assert engine.look_up() == ABSENT
    return transfer


@mutant(
    "a large amount given up without an approval",
    "judge_absence",
    "p_transfer.amount_minor <= p_settings.absence_limit_minor or exists (",
    "true or exists (",
)
def test_a_large_transfer_waits_for_an_operator(engine: Engine, proved: int) -> None:
    progress = engine.progress(proved)
    assert (progress.state, progress.reason) == ("parked", "absence_awaits_approval")
    assert engine.discrepancies() == [("absence_awaits_approval", proved, None)]
    rows = engine.db.execute("select whose_turn, advice from payout_api.unpaid").fetchall()
    assert rows == [
        (
            "operator",
            "Two scans of Stripe's list did not find it. Look there too, then "
            "payout_api.approve_absence(id, reason): a new key follows.",
        )
    ]
    for _ in range(3):
        engine.let_pass("10 days")
        assert engine.look_up() == ABSENT
    assert len(engine.discrepancies()) == 1
    assert engine.differences_in_the_books() == []


def test_what_was_approved_is_looked_for_once_more_and_then_given_up(
    engine: Engine, proved: int
) -> None:
    approve(engine, proved)
    assert engine.progress(proved).state == "parked"
    assert engine.look_up() == GIVEN_UP
    assert engine.sweep().transfers_reopened == 1
    assert engine.claim_one().generation == 2
    assert engine.differences_in_the_books() == []


def test_an_approval_does_not_outweigh_what_is_found(engine: Engine, proved: int) -> None:
    approve(engine, proved)
    (request,) = engine.db.execute("select request from payout.transfer_requests").fetchall()[0]
    found = {"id": "tr_1", "object": "transfer", "livemode": False, **request}
    assert engine.look_up(found) == LookupReport(True, "ok", "paid")


def test_an_approval_given_before_the_proof_proves_nothing_by_itself(engine: Engine) -> None:
    (transfer,) = engine.settle(amount_minor=LARGE)
    claim = vanished(engine)
    approve(engine, transfer)
    assert engine.look_up() == ABSENT
    engine.let_pass("2 days")
    assert engine.look_up() == ABSENT
    engine.let_pass("61 minutes")
    assert engine.look_up() == GIVEN_UP
    assert listed(claim)["amount"] == LARGE


def test_an_approval_is_for_one_key(engine: Engine, proved: int) -> None:
    approve(engine, proved)
    assert engine.look_up() == GIVEN_UP
    engine.sweep()
    vanished(engine)
    engine.let_pass("2 days")
    assert engine.look_up() == ABSENT
    engine.let_pass("61 minutes")
    assert engine.look_up() == ABSENT
    assert engine.progress(proved).reason == "absence_awaits_approval"


def test_the_limit_itself_needs_nobody(engine: Engine) -> None:
    engine.settle(amount_minor=LARGE - 1)
    vanished(engine)
    engine.let_pass("2 days")
    engine.look_up()
    engine.let_pass("61 minutes")
    assert engine.look_up() == GIVEN_UP


def test_an_approval_is_noted_with_who_and_why(engine: Engine, proved: int) -> None:
    approve(engine, proved, "asked support")
    actions = engine.db.execute(
        "select action, subject, reason, details from payout.operator_actions "
        "where action = 'approve_absence'"
    ).fetchall()
    assert actions == [("approve_absence", str(proved), "asked support", {"generation": 1})]


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_an_approval_without_a_reason_is_refused(
    engine: Engine, proved: int, reason: str | None
) -> None:
    told = "null" if reason is None else f"'{reason}'"
    assert refusal_of(engine.db, lambda: approve(engine, proved, reason)) == Refusal(
        "SP314",
        f"cannot approve the absence of transfer {proved}, which is parked, for reason {told}",
    )


def test_what_is_not_parked_cannot_be_approved(engine: Engine) -> None:
    (transfer,) = engine.settle()
    assert refusal_of(engine.db, lambda: approve(engine, transfer)) == Refusal(
        "SP314",
        f"cannot approve the absence of transfer {transfer}, which is scheduled, "
        "for reason 'looked at Stripe'",
    )


@pytest.mark.parametrize("transfer", [None, 99])
def test_an_unknown_transfer_cannot_be_approved(engine: Engine, transfer: int | None) -> None:
    told = "null" if transfer is None else transfer
    refused = refusal_of(engine.db, lambda: approve(engine, transfer))
    assert refused == Refusal("SP310", f"there is no transfer {told}")
