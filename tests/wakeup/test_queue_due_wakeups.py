"""The sweep queues wake-up jobs for due transfers that have none in the queue, and no others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Connection
from tests.engine import (
    Engine,
    Outcome,
    no_answer,
    no_such_account,
    rate_limited,
    success,
    unfunded,
)
from tests.mutants import mutant
from tests.wakeup.wakeups import (
    Wakeup,
    fetch_wakeup,
    lose_wakeups,
    queue,
    rung,
    shares,
    wakeups,
    wakeups_of_transfers,
)


def test_a_transfer_with_a_wakeup_job_in_the_queue_gets_no_other(engine: Engine) -> None:
    engine.settle()
    engine.let_pass("1 hour")
    before = wakeups(engine.db)
    assert rung(engine.db) == 0
    assert wakeups(engine.db) == before


def test_what_had_to_wait_is_rung_for_when_its_time_has_come(engine: Engine) -> None:
    engine.settle(pay_after="2100-01-01")
    assert rung(engine.db) == 0
    engine.let_pass("100 years")
    assert rung(engine.db) == 1
    assert wakeups_of_transfers(engine.db) == list(wakeups(engine.db))
    assert rung(engine.db) == 0


@pytest.mark.parametrize("outcome", [rate_limited, no_answer], ids=["retry_wait", "unknown"])
def test_what_is_to_be_asked_again_is_rung_for_when_due(
    engine: Engine, outcome: Callable[..., Outcome]
) -> None:
    engine.settle()
    engine.report(outcome(engine.claim_one()))
    engine.db.execute("update payout.transfer_states set next_attempt_at = next_attempt_at + '1h'")
    assert rung(engine.db) == 0
    engine.make_due()
    assert rung(engine.db) == 1


def test_what_a_dead_worker_held_is_rung_for_by_the_sweep_that_closes_its_lease(
    engine: Engine,
) -> None:
    engine.settle()
    engine.claim_one()
    assert rung(engine.db) == 0
    engine.let_pass("31 seconds")
    assert rung(engine.db) == 1


def test_what_is_given_a_new_key_is_rung_for_by_the_same_sweep(engine: Engine) -> None:
    engine.settle()
    engine.report(unfunded(engine.claim_one()))
    assert rung(engine.db) == 0
    engine.make_due()
    assert rung(engine.db) == 1


def test_a_lost_wakeup_job_is_queued_again_after_a_while_only(engine: Engine) -> None:
    """Its worker may be about to claim; a new job at once would be one for every late transfer."""
    engine.settle()
    lose_wakeups(engine.db)
    engine.let_pass("4 seconds")
    assert rung(engine.db) == 0
    engine.let_pass("2 seconds")
    assert rung(engine.db) == 1
    assert wakeups_of_transfers(engine.db) == list(wakeups(engine.db))


def test_how_long_a_lost_wakeup_job_is_waited_for_is_a_setting(engine: Engine) -> None:
    engine.set(queue_wakeup_again_after="1 minute")
    engine.settle()
    lose_wakeups(engine.db)
    engine.let_pass("59 seconds")
    assert rung(engine.db) == 0
    engine.let_pass("2 seconds")
    assert rung(engine.db) == 1


def test_a_fetched_wakeup_job_that_led_to_no_claim_is_as_good_as_lost(
    engine: Engine,
) -> None:
    engine.settle()
    fetched = fetch_wakeup(engine.db)
    engine.let_pass("4 seconds")
    assert rung(engine.db) == 0
    engine.let_pass("2 seconds")
    assert rung(engine.db) == 1
    (again,) = wakeups_of_transfers(engine.db)
    assert again is not None
    assert again > fetched
    assert wakeups(engine.db)[again].status == "todo"


def test_a_wakeup_job_whose_number_another_task_has_is_as_good_as_lost(
    engine: Engine,
) -> None:
    engine.settle()
    (wakeup,) = wakeups(engine.db)
    lose_wakeups(engine.db)
    queue(
        engine.db,
        "insert into procrastinate_jobs (id, queue_name, task_name) values (%s, 'mail', 'send')",
        [wakeup],
    )
    engine.let_pass("6 seconds")
    assert rung(engine.db) == 1


def test_one_wakeup_job_serves_as_many_transfers_as_the_setting_says(engine: Engine) -> None:
    engine.settle(*(f"seller_{number}" for number in range(7)), pay_after="2100-01-01")
    engine.set(transfers_per_wakeup=3)
    engine.let_pass("100 years")
    assert rung(engine.db) == 3
    assert shares(engine.db) == [3, 3, 1]
    (job,) = engine.db.execute("select payout_job_id from payout.payout_jobs").fetchall()[0]
    assert set(wakeups(engine.db).values()) == {Wakeup(job, "todo")}


def test_settlements_that_wait_together_are_rung_for_together(engine: Engine) -> None:
    for number in range(5):
        engine.settle(settlement_id=f"set_{number}")
    lose_wakeups(engine.db)
    engine.let_pass("1 minute")
    assert rung(engine.db) == 1
    assert shares(engine.db) == [5]


def test_it_queues_for_the_longest_waiting_first_and_no_more_than_it_was_told(
    engine: Engine,
) -> None:
    engine.settle("seller_1", "seller_2")
    lose_wakeups(engine.db)
    engine.let_pass("1 hour")
    engine.settle(settlement_id="set_2")
    lose_wakeups(engine.db)
    engine.let_pass("1 minute")
    engine.db.execute("update payout.transfer_states set wakeup_id = null")
    engine.sweep(2)
    (wakeup,) = wakeups(engine.db)
    assert wakeups_of_transfers(engine.db) == [wakeup, wakeup, None]


def test_what_rests_is_never_rung_for(engine: Engine) -> None:
    engine.settle(*(f"seller_{number}" for number in range(4)))
    paid, failed, parked, _in_flight = engine.claim()
    engine.report(success(paid), no_such_account(failed), success(parked, amount_minor=1))
    engine.release_holds()
    engine.let_pass("29 seconds")
    assert rung(engine.db) == 0
    states = "select array_agg(state::text order by payout_transfer_id) from payout.transfer_states"
    assert engine.db.execute(states).fetchall() == [(["paid", "failed", "parked", "in_flight"],)]


@pytest.mark.parametrize(
    ("scope", "subject"),
    [("engine", None), ("currency", "usd"), ("payee", "seller_1"), ("settlement", "set_1")],
)
def test_a_held_transfer_has_no_wakeup_job_until_it_is_released(
    engine: Engine, scope: str, subject: str | None
) -> None:
    engine.settle()
    lose_wakeups(engine.db)
    engine.let_pass("1 minute")
    engine.hold(scope, subject)
    assert rung(engine.db) == 0
    engine.release_holds()
    assert rung(engine.db) == 1


def test_a_hold_on_one_keeps_nobody_else_from_being_rung_for(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    lose_wakeups(engine.db)
    engine.let_pass("1 minute")
    engine.hold("payee", "seller_1")
    assert rung(engine.db) == 1
    assert wakeups_of_transfers(engine.db)[1:] == list(wakeups(engine.db))


@mutant(
    "a sweep that walks past all of a large hold at once",
    "lock_unrung_transfers",
    "limit 10 * p_limit::bigint",
    "",
)
def test_a_large_hold_is_walked_past_by_parts_until_it_is_marked(engine: Engine) -> None:
    """600,000 transfers that came on hold took a sweep longer than it may take, each time."""
    held = [f"seller_{number}" for number in range(2, 13)]
    engine.settle(*held)
    engine.settle("seller_1", settlement_id="set_2")
    lose_wakeups(engine.db)
    engine.db.execute(
        "update payout.transfer_states set next_attempt_at = now() - interval '1 hour' "
        "* case when payout_transfer_id <= 11 then 2 else 1 end"
    )
    engine.hold("settlement", "set_1")
    queue_one = "select payout.queue_due_wakeups(payout.clock(), 1)"
    assert engine.db.execute(queue_one).fetchone() == (0,)
    engine.db.execute("select payout.mark_held_transfers(payout.clock())")
    assert engine.db.execute(queue_one).fetchone() == (1,)


def test_a_row_that_somebody_is_busy_with_is_passed_over(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    busy, _ = shared_engine.settle("seller_1", "seller_2")
    lose_wakeups(shared_engine.db)
    shared_engine.let_pass("1 minute")
    with (somebody := connect()).transaction():
        somebody.execute(
            "select from payout.transfer_states where payout_transfer_id = %s for update", [busy]
        )
        shared_engine.worker.execute("set lock_timeout = '2s'")
        assert rung(shared_engine.worker) == 1
        assert wakeups_of_transfers(shared_engine.db)[1:] == list(wakeups(shared_engine.db))
    assert rung(shared_engine.worker) == 1
    assert wakeups_of_transfers(shared_engine.db) == sorted(wakeups(shared_engine.db), reverse=True)
