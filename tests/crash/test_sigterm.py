"""A worker that gets SIGTERM leaves nothing half done; a second signal ends it at once."""

from __future__ import annotations

import signal

import pytest

from payout_engine_sandbox.stripe_double import Latch
from tests.crash.conftest import StartWorker
from tests.crash.story import Story
from tests.crash.workers import OURS, PLAIN

STOPPING = "claiming no more, finishing the requests under way"


def test_a_worker_that_ends_in_the_middle_of_a_settlement_reports_every_request_it_began(
    story: Story, run_worker: StartWorker
) -> None:
    latch = Latch()
    story.double.inject("answer_delayed", times=None, hold_after=latch)
    worker = run_worker()
    story.settle(20)
    story.wait_for_requests(8)
    worker.terminate()
    worker.wait_for_log(STOPPING)
    story.settle(5, settlement_id="late")
    latch.open()
    assert worker.wait() == 0
    assert story.states() == {"paid": 8, "scheduled": 17}
    story.check_money()
    run_worker()
    story.wait_until_states(paid=25)
    assert len(story.double.sends) == 25
    story.check_each_transfer_is_paid_once()


@pytest.mark.parametrize("command", [OURS, PLAIN], ids=["payout-engine", "procrastinate"])
def test_an_outcome_reported_at_the_last_moment_counts(
    story: Story, run_worker: StartWorker, command: tuple[str, ...]
) -> None:
    """The report waits for a lock while the worker is asked to end."""
    latch = Latch()
    story.double.inject("answer_delayed", times=None, hold_after=latch)
    worker = run_worker(command)
    story.settle(3)
    story.wait_for_requests(3)
    with story.locked("select from payout.transfer_states for update"):
        latch.open()
        story.wait_until_blocked(worker)
        worker.terminate()
        # By then it has heard the signal: it takes no more from the queue.
        story.wait_for_sessions(worker, "not query ~ 'fetch_job'")
    assert worker.wait() == 0
    assert story.states() == {"paid": 3}
    story.check_each_transfer_is_paid_once()


def test_a_second_signal_ends_a_worker_at_once_and_the_next_one_resumes(
    story: Story, run_worker: StartWorker
) -> None:
    latch = Latch()
    story.double.inject("answer_delayed", times=None, hold_after=latch)
    worker = run_worker()
    story.settle(4)
    story.wait_for_requests(4)
    worker.terminate()
    worker.wait_for_log(STOPPING)
    worker.terminate()
    assert worker.wait(seconds=5) == 128 + signal.SIGTERM
    assert story.states() == {"in_flight": 4}
    latch.open()
    story.let_leases_run_out()
    run_worker().wait_for_reports(paid=4)
    story.check_each_transfer_is_paid_once()
