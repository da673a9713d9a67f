"""A session ends under a worker's call: the call is made again, the request to Stripe is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from payout_engine_sandbox.stripe_double import Latch
from tests.crash.conftest import StartWorker
from tests.crash.story import Story
from tests.crash.workers import Worker, wait_until
from tests.wakeup.wakeups import queue

BLOCKED = "wait_event_type = 'Lock'"
PERIODIC_SWEEP = "select id from procrastinate_jobs where task_name = 'payout.sweep'"


@contextmanager
def disconnected(story: Story, worker: Worker) -> Iterator[None]:
    """End every session of the worker that waits for a lock, after the block."""
    yield
    for session in story.wait_for_sessions(worker, BLOCKED):
        story.db.execute("select pg_terminate_backend(%s, 10000)", [session])


def test_a_claim_that_loses_its_connection_before_it_is_committed_is_made_again(
    story: Story, fork_worker: StartWorker
) -> None:
    story.settle(3)
    with story.locked("lock table payout.transfer_attempts in share mode"):
        worker = fork_worker()
        with disconnected(story, worker):
            story.wait_until_blocked(worker)
    story.wait_until_states(paid=3)
    worker.wait_for_reports(paid=3)
    worker.stop()
    attempts = story.db.execute("select attempt from payout.transfer_attempts").fetchall()
    assert attempts == [(1,)] * 3
    story.check_each_transfer_is_paid_once()


def test_a_report_that_loses_its_connection_before_it_is_committed_is_made_again(
    story: Story, fork_worker: StartWorker
) -> None:
    latch = Latch()
    story.double.inject("answer_delayed", times=None, hold_after=latch)
    worker = fork_worker()
    story.settle(3)
    story.wait_for_requests(3)
    with (
        story.locked("select from payout.transfer_states for update"),
        disconnected(story, worker),
    ):
        latch.open()
        story.wait_until_blocked(worker)
    story.wait_until_states(paid=3)
    worker.stop()
    assert len(story.double.sends) == 3
    story.check_each_transfer_is_paid_once()


def test_a_sweep_that_loses_its_connection_fails_no_task_and_is_made_again(
    story: Story, fork_worker: StartWorker
) -> None:
    worker = fork_worker()
    story.wait_for_sessions(worker)
    wait_until(lambda: not queue(story.db, PERIODIC_SWEEP))
    with (
        story.locked("lock table payout.transfer_states in access exclusive mode"),
        disconnected(story, worker),
    ):
        queue(
            story.db,
            "insert into procrastinate_jobs (queue_name, task_name, args) "
            "values ('payouts', 'payout.sweep', '{\"timestamp\": 1}')",
        )
        wait_until(lambda: queue(story.db, f"{PERIODIC_SWEEP} and status = 'doing'"))
        story.wait_until_blocked(worker)
    wait_until(lambda: not queue(story.db, PERIODIC_SWEEP))
    story.settle(1)
    story.wait_until_states(paid=1)
    worker.stop()
    story.check_each_transfer_is_paid_once()
