"""A worker is killed at a point of its work; the next one resumes, and pays no transfer twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from payout_engine_sandbox.stripe_double import Latch
from tests.crash.conftest import StartWorker
from tests.crash.story import Story

PAYEES: Final = 6
CAUGHT: Final = 3


def kill_before_the_claim_is_heard(story: Story, fork_worker: StartWorker) -> None:
    """The claim is committed, the worker never learns of it."""
    story.settle(PAYEES)
    with story.locked("lock table payout.transfer_attempts in share mode"):
        worker = fork_worker()
        story.wait_for_sessions(worker, "wait_event_type = 'Lock' and query ~ 'claim_transfers'")
        worker.kill()
    story.wait_until_states(in_flight=PAYEES)
    assert story.double.sends == []


def kill_while_requests_are_held(story: Story, fork_worker: StartWorker, point: str) -> None:
    """Kill a worker that has sent every request, some of them held at a point of their way."""
    latch = Latch()
    story.double.inject("answer_delayed", times=CAUGHT, **{point: latch})
    worker = fork_worker()
    story.settle(PAYEES)
    story.wait_for_requests(PAYEES)
    worker.kill()
    latch.open()


def kill_with_requests_on_their_way(story: Story, fork_worker: StartWorker) -> None:
    """They arrive when their sender is dead."""
    kill_while_requests_are_held(story, fork_worker, "hold_before")


def kill_while_stripe_executes(story: Story, fork_worker: StartWorker) -> None:
    """The keys are in flight at Stripe when their sender dies."""
    kill_while_requests_are_held(story, fork_worker, "hold_during")


def kill_before_the_answer_is_read(story: Story, fork_worker: StartWorker) -> None:
    """The money has moved."""
    kill_while_requests_are_held(story, fork_worker, "hold_after")


def kill_before_the_report_is_made(story: Story, fork_worker: StartWorker) -> None:
    """The worker knows that it has paid, and cannot say so any more."""
    latch = Latch()
    story.double.inject("answer_delayed", times=None, hold_after=latch)
    worker = fork_worker()
    story.settle(PAYEES)
    story.wait_for_requests(PAYEES)
    with story.locked("select from payout.transfer_states for update"):
        latch.open()
        reporting = story.wait_until_blocked(worker)
        worker.kill()
        story.db.execute("select pg_terminate_backend(%s, 10000)", [reporting])
    assert story.states() == {"in_flight": PAYEES}


def kill_before_the_report_is_confirmed(story: Story, fork_worker: StartWorker) -> None:
    """The report is committed, and its worker is dead before the answer."""
    latch = Latch()
    story.double.inject("answer_delayed", times=None, hold_after=latch)
    worker = fork_worker()
    story.settle(PAYEES)
    story.wait_for_requests(PAYEES)
    with story.locked("select from payout.transfer_states for update"):
        latch.open()
        story.wait_until_blocked(worker)
        worker.kill()


POINTS: Final = (
    kill_before_the_claim_is_heard,
    kill_with_requests_on_their_way,
    kill_while_stripe_executes,
    kill_before_the_answer_is_read,
    kill_before_the_report_is_made,
    kill_before_the_report_is_confirmed,
)


@pytest.mark.parametrize("kill", POINTS, ids=lambda point: point.__name__)
def test_the_next_worker_pays_the_transfers_of_a_killed_one(
    story: Story, fork_worker: StartWorker, kill: Callable[[Story, StartWorker], None]
) -> None:
    kill(story, fork_worker)
    story.check_money()
    story.let_leases_run_out()
    fork_worker()
    story.wait_until_states(paid=PAYEES)
    story.check_each_transfer_is_paid_once()


def test_a_request_that_is_overtaken_by_the_next_worker_pays_nothing_more(
    story: Story, fork_worker: StartWorker
) -> None:
    latch = Latch()
    story.double.inject("answer_delayed", times=CAUGHT, hold_before=latch)
    worker = fork_worker()
    story.settle(PAYEES)
    story.wait_for_requests(PAYEES)
    worker.kill()
    story.let_leases_run_out()
    fork_worker()
    story.wait_until_states(paid=PAYEES)
    latch.open()
    story.double.wait_for_requests(CAUGHT, where=lambda request: request.is_replayed)
    story.check_each_transfer_is_paid_once()


def test_a_key_that_is_still_in_use_at_stripe_is_sent_again_later(
    story: Story, fork_worker: StartWorker
) -> None:
    latch = Latch()
    story.double.inject("answer_delayed", hold_during=latch)
    worker = fork_worker()
    story.settle(1)
    latch.wait_until_reached()
    worker.kill()
    story.let_leases_run_out()
    fork_worker()
    story.double.wait_for_requests(1, where=lambda request: request.status == 409)
    story.wait_until_states(unknown=1)
    assert story.double.transfers() == []
    latch.open()
    story.make_due()
    story.wait_until_states(paid=1)
    story.check_each_transfer_is_paid_once()


def test_workers_that_are_killed_one_after_the_other_at_every_point_pay_once(
    story: Story, fork_worker: StartWorker
) -> None:
    """Each worker resumes the transfers of the one before, and leaves them in another state."""
    kill_before_the_claim_is_heard(story, fork_worker)
    for hold in ("hold_before", "hold_during", "hold_after"):
        story.let_leases_run_out()
        story.make_due()
        seen = len(story.double.sends)
        latch = Latch()
        story.double.inject("answer_delayed", times=PAYEES, **{hold: latch})
        worker = fork_worker()
        story.wait_for_requests(seen + PAYEES)
        worker.kill()
        story.check_money()
        latch.open()
    # Else the last worker may be told that the request of a killed one is under way.
    sent = len(story.double.sends)
    story.double.wait_for_requests(sent, where=lambda request: request.status is not None)
    story.let_leases_run_out()
    story.make_due()
    fork_worker()
    story.wait_until_states(paid=PAYEES)
    story.check_each_transfer_is_paid_once()


def test_a_settlement_whose_worker_is_killed_in_the_middle_is_resumed(
    story: Story, run_worker: StartWorker
) -> None:
    story.double.set_latency(seconds=0.05)
    story.settle(150)
    worker = run_worker()
    story.wait_for_requests(60)
    worker.kill()
    story.wait_until_gone(worker)
    assert 0 < story.states()["in_flight"] < 150
    story.let_leases_run_out()
    run_worker()
    story.wait_until_states(paid=150)
    story.check_each_transfer_is_paid_once()
