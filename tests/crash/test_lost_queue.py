"""The queue loses every job, and each transfer is paid all the same, once."""

from __future__ import annotations

from payout_engine_sandbox.stripe_double import Latch
from tests.crash.conftest import StartWorker
from tests.crash.story import Story
from tests.crash.workers import wait_until
from tests.wakeup.wakeups import queue


def test_a_transfer_whose_queue_was_emptied_gets_a_wakeup_job_from_the_sweep_and_is_paid(
    story: Story, run_worker: StartWorker
) -> None:
    for number in range(5):
        story.settle(8, settlement_id=f"set_{number}")
    assert story.wakeup_jobs() == 1
    story.empty_the_queue()
    story.engine.let_pass("6 seconds")
    story.engine.sweep(connection=story.engine.operator)
    assert story.wakeup_jobs() == 1
    workers = [run_worker(member=1), run_worker(member=2)]
    story.wait_until_states(paid=40)
    for worker in workers:
        worker.stop()
    story.check_each_transfer_is_paid_once()
    assert story.wakeup_jobs() == 0


def test_a_queue_that_is_emptied_under_the_workers_hands_stops_none_of_them(
    story: Story, run_worker: StartWorker
) -> None:
    latch = Latch()
    story.double.inject("answer_delayed", times=None, hold_after=latch)
    workers = [run_worker(member=1), run_worker(member=2)]
    story.settle(12)  # no more than two workers begin with at once
    story.wait_for_requests(12)
    for number in range(3):
        story.settle(2, settlement_id=f"late_{number}")
        story.empty_the_queue()
    latch.open()
    story.wait_until_states(paid=18)
    story.settle(2, settlement_id="after")
    story.wait_until_states(paid=20)
    wait_until(lambda: story.wakeup_jobs() == 0)
    for worker in workers:
        worker.stop()
    story.check_each_transfer_is_paid_once()


def test_wakeup_jobs_that_come_back_from_a_backup_pay_no_transfer_again(
    story: Story, run_worker: StartWorker
) -> None:
    story.settle(10)
    story.db.execute("create table public.old_jobs as table procrastinate.procrastinate_jobs")
    worker = run_worker()
    story.wait_until_states(paid=10)
    wait_until(lambda: story.wakeup_jobs() == 0)
    queue(story.db, "insert into procrastinate_jobs table public.old_jobs")
    wait_until(lambda: story.wakeup_jobs() == 0)
    worker.stop()
    assert len(story.double.sends) == 10
    story.check_each_transfer_is_paid_once()
