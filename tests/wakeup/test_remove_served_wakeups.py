"""A claim takes the wake-up jobs of its transfers out of the queue, those and no others."""

from __future__ import annotations

from collections.abc import Callable

from tests.conftest import Connection
from tests.engine import Engine, rate_limited
from tests.wakeup.wakeups import (
    Wakeup,
    age_wakeups,
    fetch_wakeup,
    lose_wakeups,
    queue,
    rung,
    wakeups,
    wakeups_of_transfers,
)


def job_of(engine: Engine, settlement_id: str) -> int:
    row = engine.db.execute(
        "select payout_job_id from payout.payout_jobs where settlement_id = %s", [settlement_id]
    )
    return int(row.fetchall()[0][0])


def test_a_claim_takes_the_wakeup_jobs_that_it_serves_and_leaves_the_others(
    engine: Engine,
) -> None:
    engine.settle("seller_1", "seller_2", settlement_id="set_1")
    engine.db.execute("select payout.forget_pending_wakeup()")
    engine.settle("seller_1", "seller_2", settlement_id="set_2")
    _, second = wakeups(engine.db)
    engine.claim(payout_job_id=job_of(engine, "set_1"))
    assert list(wakeups(engine.db)) == [second]
    assert wakeups_of_transfers(engine.db) == [None, None, second, second]


def test_a_claim_takes_every_wakeup_job_of_a_large_settlement(
    engine: Engine,
) -> None:
    engine.set(transfers_per_wakeup=2)
    engine.settle(*(f"seller_{number}" for number in range(10)))
    assert len(wakeups(engine.db)) == 5
    engine.claim(7)
    assert len(wakeups(engine.db)) == 1
    engine.claim()
    assert wakeups(engine.db) == {}


def test_a_claim_that_finds_nothing_leaves_the_wakeup_jobs(engine: Engine) -> None:
    engine.settle()
    before = wakeups(engine.db)
    engine.hold("currency", "usd")
    assert engine.claim() == []
    assert wakeups(engine.db) == before


def test_a_wakeup_job_that_a_worker_has_fetched_is_left_to_that_worker(engine: Engine) -> None:
    engine.settle()
    wakeup = fetch_wakeup(engine.db)
    engine.claim_one()
    assert wakeups(engine.db)[wakeup].status == "doing"


def test_a_wakeup_job_that_a_worker_is_just_fetching_is_not_waited_for(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    shared_engine.settle()
    fetching = connect("payout_worker")
    with fetching.transaction():
        wakeup = fetch_wakeup(fetching)
        shared_engine.worker.execute("set lock_timeout = '2s'")
        shared_engine.claim_one()
    assert wakeups(shared_engine.db)[wakeup].status == "doing"


def test_a_claim_that_rolls_back_leaves_the_wakeup_jobs(engine: Engine) -> None:
    engine.settle()
    before = wakeups(engine.db)
    with engine.db.transaction(force_rollback=True):
        engine.claim_one()
    assert wakeups(engine.db) == before


def test_a_wakeup_job_that_is_gone_does_not_stop_a_claim(engine: Engine) -> None:
    engine.settle()
    lose_wakeups(engine.db)
    engine.claim_one()


def test_a_job_of_another_task_with_the_number_of_a_wakeup_job_is_left_alone(
    engine: Engine,
) -> None:
    """The queue was emptied and counts from the beginning; its next job is the application's."""
    engine.settle()
    (wakeup,) = wakeups(engine.db)
    lose_wakeups(engine.db)
    queue(
        engine.db,
        "insert into procrastinate_jobs (id, queue_name, task_name) values (%s, 'mail', 'send')",
        [wakeup],
    )
    engine.claim_one()
    assert queue(engine.db, "select id, task_name from procrastinate_jobs") == [(wakeup, "send")]


def test_a_transfer_not_claimed_with_its_wakeup_job_gets_another(
    engine: Engine,
) -> None:
    """The claiming worker goes on by itself; this is for the case that it dies."""
    engine.settle("seller_1", "seller_2", "seller_3")
    engine.claim(1)
    assert wakeups(engine.db) == {}
    engine.let_pass("6 seconds")
    assert rung(engine.db) == 1
    assert wakeups_of_transfers(engine.db) == [None, *2 * list(wakeups(engine.db))]


def test_a_claimed_transfer_has_no_wakeup_job_until_it_is_due_again(engine: Engine) -> None:
    engine.settle()
    engine.report(rate_limited(engine.claim_one()))
    assert (wakeups(engine.db), wakeups_of_transfers(engine.db)) == ({}, [None])
    engine.make_due()
    assert rung(engine.db) == 1
    ((wakeup, told),) = wakeups(engine.db).items()
    assert told == Wakeup(job_of(engine, "set_1"), "todo")
    assert wakeups_of_transfers(engine.db) == [wakeup]
    age_wakeups(engine.db, "1 hour")
    assert rung(engine.db) == 0
