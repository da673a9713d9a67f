"""Wake-up jobs of workers that died do not pile up in the queue."""

from __future__ import annotations

import pytest

from tests.engine import Engine
from tests.wakeup.wakeups import age_wakeups, fetch_wakeup, queue, rung, wakeups


def defer(engine: Engine, task: str = "payout.execute", *, status: str = "todo") -> int:
    """Put a job into the queue that stands in a state."""
    (row,) = queue(
        engine.db,
        "insert into procrastinate_jobs (queue_name, task_name) values ('payouts', %s) "
        "returning id",
        [task],
    )
    if status != "todo":
        (job,) = row
        queue(engine.db, "update procrastinate_jobs set status = 'doing' where id = %s", [job])
        queue(
            engine.db,
            "update procrastinate_jobs set status = %s::procrastinate_job_status "
            "where id = %s and status::text <> %s",
            [status, job, status],
        )
    return int(row[0])


def jobs(engine: Engine) -> list[int]:
    return [job for (job,) in queue(engine.db, "select id from procrastinate_jobs order by id")]


def test_a_wakeup_job_that_was_fetched_two_minutes_ago_is_lost(engine: Engine) -> None:
    engine.settle()
    fetch_wakeup(engine.db)
    age_wakeups(engine.db, "1 minute 59 seconds")
    rung(engine.db)
    assert len(wakeups(engine.db)) == 1
    age_wakeups(engine.db, "2 seconds")
    rung(engine.db)
    assert wakeups(engine.db) == {}


def test_the_transfer_of_a_cleared_wakeup_job_gets_another(engine: Engine) -> None:
    engine.settle()
    fetched = fetch_wakeup(engine.db)
    age_wakeups(engine.db, "1 hour")
    engine.let_pass("1 hour")
    assert rung(engine.db) == 1
    assert [wakeup.status for wakeup in wakeups(engine.db).values()] == ["todo"]
    assert fetched not in wakeups(engine.db)


def test_a_wakeup_job_that_nobody_has_fetched_stays_however_old(engine: Engine) -> None:
    engine.settle()
    before = wakeups(engine.db)
    age_wakeups(engine.db, "1 year")
    rung(engine.db)
    assert wakeups(engine.db) == before


@pytest.mark.parametrize("status", ["failed", "succeeded", "cancelled", "aborted"])
def test_an_ended_wakeup_job_is_kept_for_a_day_to_be_looked_at(engine: Engine, status: str) -> None:
    job = defer(engine, status=status)
    age_wakeups(engine.db, "23 hours 59 minutes")
    rung(engine.db)
    assert jobs(engine) == [job]
    age_wakeups(engine.db, "2 minutes")
    rung(engine.db)
    assert jobs(engine) == []


def test_the_periodic_sweep_of_a_dead_worker_is_cleared_too(engine: Engine) -> None:
    defer(engine, "payout.sweep", status="doing")
    age_wakeups(engine.db, "1 hour")
    rung(engine.db)
    assert jobs(engine) == []


@pytest.mark.parametrize("status", ["doing", "failed"])
def test_the_jobs_of_others_are_left_alone(engine: Engine, status: str) -> None:
    job = defer(engine, "mail.send", status=status)
    age_wakeups(engine.db, "1 year")
    rung(engine.db)
    assert jobs(engine) == [job]
