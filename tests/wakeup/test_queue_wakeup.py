"""Scheduling a settlement queues its wake-up jobs: enough for its size, and not too soon."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.engine import Engine
from tests.wakeup.wakeups import Wakeup, queue, shares, wakeups, wakeups_of_transfers

SELLERS = [f"seller_{number}" for number in range(1, 12)]


@pytest.mark.parametrize(
    ("transfers", "rung"), [(1, 1), (2, 1), (100, 1), (101, 2), (200, 2), (10_000, 100)]
)
def test_every_hundred_transfers_have_one_wakeup_job(
    engine: Engine, transfers: int, rung: int
) -> None:
    row = engine.db.execute("select payout.queue_wakeup(7, %s, null)", [transfers]).fetchall()[0]
    assert wakeups(engine.db) == dict.fromkeys(row[0], Wakeup(7, "todo"))
    assert len(wakeups(engine.db)) == rung


def test_how_many_transfers_a_wakeup_job_is_for_is_a_setting(engine: Engine) -> None:
    engine.set(transfers_per_wakeup=4)
    engine.settle(*SELLERS)
    assert len(wakeups(engine.db)) == 3


@pytest.mark.parametrize(
    ("transfers", "expected"), [(1, [1]), (4, [4]), (5, [3, 2]), (10, [4, 3, 3]), (11, [4, 4, 3])]
)
def test_wakeup_jobs_are_shared_out_evenly_in_the_order_of_the_transfers(
    engine: Engine, transfers: int, expected: list[int]
) -> None:
    engine.set(transfers_per_wakeup=4)
    engine.settle(*SELLERS[:transfers])
    assert shares(engine.db) == expected
    in_order = list(dict.fromkeys(wakeups_of_transfers(engine.db)))
    assert in_order == list(wakeups(engine.db))


def test_a_wakeup_job_names_the_payout_job_it_is_for(engine: Engine) -> None:
    engine.settle()
    engine.db.execute("select payout.forget_pending_wakeup()")
    engine.settle(settlement_id="set_2")
    jobs = engine.db.execute(
        "select payout_job_id from payout.payout_jobs order by settlement_id"
    ).fetchall()
    assert [wakeup.payout_job_id for wakeup in wakeups(engine.db).values()] == [
        job for (job,) in jobs
    ]


def test_a_wakeup_job_that_waits_serves_what_is_settled_meanwhile(engine: Engine) -> None:
    engine.settle()
    (waiting,) = wakeups(engine.db)
    engine.settle(settlement_id="set_2")
    engine.settle("seller_1", "seller_2", settlement_id="set_3")
    assert list(wakeups(engine.db)) == [waiting]
    assert wakeups_of_transfers(engine.db) == [waiting] * 4
    assert len(engine.claim()) == 4


def test_a_settlement_too_large_for_one_wakeup_job_queues_more(engine: Engine) -> None:
    engine.set(transfers_per_wakeup=4)
    engine.settle()
    engine.settle(*SELLERS[:5], settlement_id="set_2")
    assert len(wakeups(engine.db)) == 3


@pytest.mark.parametrize(
    "answer",
    [
        "select * from payout_api.claim_transfers('w')",
        "select procrastinate_fetch_job_v2(array['payouts'], null)",
        "delete from procrastinate_jobs",
        "truncate procrastinate.procrastinate_jobs cascade",
    ],
)
def test_a_wakeup_job_that_waits_no_more_serves_nobody(engine: Engine, answer: str) -> None:
    engine.settle()
    queue(engine.db, answer)
    before = wakeups(engine.db)
    engine.settle(settlement_id="set_2")
    assert len(wakeups(engine.db).keys() - before.keys()) == 1


@pytest.mark.parametrize(
    "loss",
    ["delete from procrastinate_jobs", "truncate procrastinate.procrastinate_jobs cascade"],
)
def test_a_wakeup_job_that_was_seen_and_then_lost_serves_until_the_next_sweep(
    shared_engine: Engine, loss: str
) -> None:
    shared_engine.settle()
    shared_engine.settle(settlement_id="set_2")
    queue(shared_engine.db, loss)
    shared_engine.settle(settlement_id="set_3")
    assert wakeups(shared_engine.db) == {}
    shared_engine.sweep()
    shared_engine.settle(settlement_id="set_4")
    assert len(wakeups(shared_engine.db)) == 1
    shared_engine.let_pass("1 minute")
    shared_engine.sweep()
    assert len(wakeups(shared_engine.db)) == 2
    assert len(shared_engine.claim()) == 4


def test_a_wakeup_job_of_a_transaction_that_rolled_back_serves_nobody(engine: Engine) -> None:
    with engine.db.transaction(force_rollback=True):
        engine.settle()
    engine.settle(settlement_id="set_2")
    assert len(wakeups(engine.db)) == 1


def test_a_wakeup_job_that_is_not_committed_yet_serves_nobody(shared_engine: Engine) -> None:
    shared_engine.settle(settlement_id="set_0")
    shared_engine.claim()
    with shared_engine.app.transaction():
        shared_engine.settle()
        Engine(shared_engine.db).settle("seller_2", settlement_id="set_2")
        assert len(wakeups(shared_engine.db)) == 1
    assert len(wakeups(shared_engine.db)) == 2


@pytest.mark.parametrize("is_nested", [False, True])
@pytest.mark.parametrize("is_undone", [False, True])
def test_a_wakeup_job_that_only_its_own_transaction_sees_serves_only_that(
    shared_engine: Engine, is_undone: bool, is_nested: bool
) -> None:
    """Many settlements in one transaction; the second sees the wake-up job of the first."""
    with shared_engine.app.transaction(force_rollback=is_undone), ExitStack() as stack:
        if is_nested:
            stack.enter_context(shared_engine.app.transaction())
        shared_engine.settle()
        shared_engine.settle(settlement_id="set_2")
        if not is_undone:
            Engine(shared_engine.db).settle("seller_2", settlement_id="set_3")
            assert len(wakeups(shared_engine.db)) == 1
    Engine(shared_engine.db).settle("seller_2", settlement_id="set_4")
    assert len(wakeups(shared_engine.db)) == (1 if is_undone else 2)


def test_a_wakeup_job_that_a_claim_for_one_job_took_away_does_not_count_as_waiting(
    engine: Engine,
) -> None:
    engine.settle()
    engine.settle(settlement_id="set_2")
    engine.db.execute(
        "select * from payout_api.claim_transfers("
        "'w', 10, (select min(j.payout_job_id) from payout.payout_jobs as j))"
    )
    engine.settle(settlement_id="set_3")
    *_, wakeup = wakeups_of_transfers(engine.db)
    assert list(wakeups(engine.db)) == [wakeup]


@pytest.mark.parametrize(
    "loss",
    [
        "drop schema procrastinate cascade",
        "revoke usage on schema procrastinate from payout_owner",
        "revoke select on procrastinate.procrastinate_jobs from payout_owner",
    ],
)
def test_a_queue_that_is_lost_while_a_wakeup_job_waits_keeps_nobody_from_settling(
    engine: Engine, loss: str
) -> None:
    engine.settle()
    engine.db.execute(loss)
    engine.settle(settlement_id="set_2")
    assert len(wakeups_of_transfers(engine.db)) == 2


def test_a_settlement_that_is_told_again_queues_no_second_wakeup_job(engine: Engine) -> None:
    engine.settle()
    before = wakeups(engine.db)
    engine.settle()
    assert wakeups(engine.db) == before
    assert len(before) == 1


def test_a_settlement_that_rolls_back_has_not_rung(engine: Engine) -> None:
    with engine.db.transaction(force_rollback=True):
        engine.settle()
    assert wakeups(engine.db) == {}


def test_no_wakeup_job_is_queued_before_pay_after(engine: Engine) -> None:
    engine.settle(pay_after="2100-01-01")
    assert wakeups(engine.db) == {}
    assert wakeups_of_transfers(engine.db) == [None]


def test_a_pay_after_that_is_over_queues_a_wakeup_job_at_once(engine: Engine) -> None:
    engine.settle(pay_after="2020-01-01")
    assert len(wakeups(engine.db)) == 1
