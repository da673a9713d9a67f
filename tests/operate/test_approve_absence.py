"""A large transfer gets a new key only when a person agrees with the engine's proof."""

from __future__ import annotations

import pytest

from tests.engine import Engine, LookupReport
from tests.mutants import mutant
from tests.operate.checks import complaints
from tests.operate.test_acts import Act, act
from tests.report.test_judge_absence import ABSENT, GIVEN_UP, vanished

LARGE = 100_001


def approve(engine: Engine, transfer: int | None, reason: str | None = "looked at Stripe") -> None:
    engine.operator.execute(
        "select payout_api.retry(p_payout_transfer_id => %s, p_reason => %s)", [transfer, reason]
    )
    engine.approve()


def open_alarms(engine: Engine) -> int:
    return engine.db.execute("select from payout_api.discrepancies").rowcount


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
    "p_transfer.amount_minor <= p_settings.approval_limit_minor or exists (",
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
            "Two scans of Stripe's list did not find it. It was proved absent at Stripe. Above "
            "the limit two people let it be sent again: look at Stripe too.",
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


def test_an_approval_given_before_the_proof_is_only_a_look(engine: Engine) -> None:
    (transfer,) = engine.settle(amount_minor=LARGE)
    vanished(engine)
    approve(engine, transfer)
    assert engine.look_up() == ABSENT
    engine.let_pass("2 days")
    assert engine.look_up() == ABSENT
    engine.let_pass("61 minutes")
    assert engine.look_up() == ABSENT
    assert engine.progress(transfer).reason == "absence_awaits_approval"


@mutant(
    "an approval for all keys",
    "judge_absence",
    "            and o.generation = p_state.generation\n",
    "",
)
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
    assert open_alarms(engine) == 1


@mutant(
    "an approval of an absence that nobody proved yet",
    "judge_act",
    "and p_state.reason is distinct from 'absence_awaits_approval'",
    "and false",
)
def test_an_approval_that_comes_late_is_not_for_the_next_key(engine: Engine, proved: int) -> None:
    """The attack: the second key was not sent yet, and its absence would need nobody any more."""
    for force in (False, True):
        act(engine, "retry", payout_transfer_id=proved, force=force)
    numbers = "select action_id from payout_api.proposals order by action_id"
    (late,), (given_up,) = engine.db.execute(numbers).fetchall()
    approval = (
        "select payout_transfer_id, state, result from payout_api.approve(%s, 'looked at Stripe')"
    )
    engine.approver.execute(approval, [given_up])
    engine.look_up()
    assert engine.sweep().transfers_reopened == 1
    engine.db.execute(
        "select payout.begin_wait('currency', 'usd', 'balance_insufficient', 'funds', null, false)"
    )
    (answer,) = engine.approver.execute(approval, [late]).fetchall()
    assert Act(*answer) == Act(proved, "scheduled", "refused")
    engine.end_waits()
    vanished(engine)
    engine.let_pass("2 days")
    assert engine.look_up() == ABSENT
    engine.let_pass("61 minutes")
    assert engine.look_up() == ABSENT
    assert engine.progress(proved).reason == "absence_awaits_approval"


@mutant(
    "an alarm that rings for ever",
    "record_acts",
    "and d.kind = 'absence_awaits_approval'",
    "and false",
)
def test_an_approval_ends_its_alarm(engine: Engine, proved: int) -> None:
    assert open_alarms(engine) == 1
    approve(engine, proved)
    assert open_alarms(engine) == 0
    assert "every release and resolution has its act" not in complaints(engine.db)


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
        "select a.subject, a.reason, o.payout_transfer_id, o.generation, o.verdict "
        "from payout.operator_actions as a, payout.transfer_observations as o "
        "where (a.action, o.signal) = ('approve_absence', 'approve_absence')"
    ).fetchall()
    assert actions == [(str(proved), "asked support", proved, 1, "ok")]
