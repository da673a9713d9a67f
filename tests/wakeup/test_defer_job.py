"""A wake-up job is a queue job that any worker may fetch, and that blocks no other job."""

from __future__ import annotations

from tests.conftest import Connection
from tests.engine import Engine
from tests.wakeup.wakeups import Wakeup, queue, wakeups


def defer(db: Connection, times: int) -> list[int]:
    return list(db.execute("select payout.defer_job(7, %s)", [times]).fetchall()[0][0])


def test_a_wakeup_job_is_a_job_of_ours_that_may_be_fetched_at_once(engine: Engine) -> None:
    (wakeup,) = defer(engine.db, 1)
    job = engine.db.execute(
        "select id, queue_name, task_name, priority, lock, queueing_lock, args, status::text, "
        "scheduled_at, attempts from procrastinate.procrastinate_jobs"
    ).fetchall()
    args = {"payout_job_id": 7}
    assert job == [(wakeup, "payouts", "payout.execute", 0, None, None, args, "todo", None, 0)]
    assert queue(engine.db, "select id from procrastinate_fetch_job_v2('{payouts}', null)") == [
        (wakeup,)
    ]


def test_it_queues_as_many_as_it_was_told_and_returns_the_wakeup_jobs(engine: Engine) -> None:
    rung = defer(engine.db, 3)
    assert wakeups(engine.db) == dict.fromkeys(rung, Wakeup(7, "todo"))
    assert rung == sorted(rung)


def test_the_same_payout_job_may_have_another_wakeup_job(engine: Engine) -> None:
    first, second = defer(engine.db, 1), defer(engine.db, 1)
    assert list(wakeups(engine.db)) == first + second


def test_no_wakeup_job_is_queued_for_nothing(engine: Engine) -> None:
    assert [defer(engine.db, times) for times in (0, -1)] == [[], []]
    assert wakeups(engine.db) == {}


def test_it_wakes_a_worker_that_listens_when_the_settlement_commits(shared_engine: Engine) -> None:
    worker, app = shared_engine.worker, shared_engine.app
    worker.execute('listen "procrastinate_queue_v1#payouts"')
    with app.transaction():
        shared_engine.settle()
        assert list(worker.notifies(timeout=0)) == []
    (call,) = worker.notifies(timeout=20, stop_after=1)
    (wakeup,) = wakeups(shared_engine.db)
    assert f'"job_id" : {wakeup}' in call.payload
