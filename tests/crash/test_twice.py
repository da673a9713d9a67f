"""Wake-up jobs, workers and whole runs that are executed twice pay each transfer once."""

from __future__ import annotations

from typing import Final

from payout_engine_sandbox.stripe_double import Latch
from tests.crash.conftest import StartWorker
from tests.crash.story import Story
from tests.crash.workers import OURS, PLAIN, wait_until

DEFER: Final = "select payout.defer_job(payout_job_id, %s) from payout.payout_jobs"
WORKERS: Final = "select distinct worker from payout.transfer_attempts"


def test_two_workers_that_fetch_the_same_wakeup_jobs_pay_each_transfer_once(
    story: Story, run_worker: StartWorker
) -> None:
    """One worker begins with eight requests at once, so that they share sixteen."""
    latch = Latch()
    story.double.inject("answer_delayed", times=None, hold_before=latch)
    workers = [run_worker(member=1), run_worker(member=2)]
    story.settle(16)
    story.db.execute(DEFER, [5])
    story.wait_for_requests(16)
    latch.open()
    story.wait_until_states(paid=16)
    wait_until(lambda: story.wakeup_jobs() == 0)
    for worker in workers:
        worker.stop()
    assert len(story.db.execute(WORKERS).fetchall()) == 2
    assert len(story.double.sends) == 16
    story.check_each_transfer_is_paid_once()


def test_a_worker_that_is_run_again_on_everything_sends_nothing(
    story: Story, run_worker: StartWorker
) -> None:
    story.settle(20)
    first = run_worker()
    story.wait_until_states(paid=20)
    first.stop()
    story.db.execute(DEFER, [3])
    story.engine.sweep()
    second = run_worker()
    wait_until(lambda: story.wakeup_jobs() == 0)
    second.stop()
    assert len(story.double.sends) == 20
    story.check_each_transfer_is_paid_once()


def test_the_plain_command_of_procrastinate_pays_too_beside_ours(
    story: Story, run_worker: StartWorker
) -> None:
    plain = run_worker(PLAIN)
    story.settle(20)
    story.wait_until_states(paid=20)
    ours = run_worker(member=2)
    story.settle(20, settlement_id="set_2")
    story.wait_until_states(paid=40)
    wait_until(lambda: story.wakeup_jobs() == 0)
    plain.stop()
    ours.stop()
    story.check_each_transfer_is_paid_once()


def test_no_session_stays_in_a_transaction_while_requests_hang(
    story: Story, run_worker: StartWorker
) -> None:
    latch = Latch()
    story.double.inject("answer_delayed", times=None, hold_after=latch)
    workers = [run_worker(command) for command in (OURS, PLAIN)]
    story.settle(12)  # no more than two workers begin with at once
    story.wait_for_requests(12)
    for worker in workers:
        assert story.wait_for_sessions(worker)
        assert story.sessions(worker, "state ~ 'idle in transaction'") == []
    latch.open()
    story.wait_until_states(paid=12)
    for worker in workers:
        worker.stop()
    story.check_each_transfer_is_paid_once()
