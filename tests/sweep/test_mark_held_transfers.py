"""Transfers on hold leave the index of due transfers, so that no claim steps over them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from tests.conftest import Connection
from tests.engine import Engine, success, unguarded
from tests.mutants import mutant
from tests.schema.refusals import Refusal, refusal, wait_until_blocked
from tests.wakeup.wakeups import rung, wakeups

RELEASE = "select payout_api.release_hold(%s, 'looked')"


def marks(db: Connection) -> list[int | None]:
    """Return the hold under which each transfer was found, in the order of the transfers."""
    rows = db.execute("select hold_id from payout.transfer_states order by payout_transfer_id")
    return [hold_id for (hold_id,) in rows]


@pytest.fixture
def held(engine: Engine) -> int:
    """The hold of a payee with 50 transfers that are due before the one of another payee."""
    for number in range(50):
        engine.settle(settlement_id=f"set_{number}")
    engine.let_pass("1 hour")
    engine.settle("seller_2", settlement_id="free")
    return engine.hold("payee", "seller_1")


@mutant(
    "transfers on hold stay in the way",
    "sweep",
    "perform payout.mark_held_transfers(payout.clock());",
    "",
)
def test_a_claim_reads_no_transfer_that_a_sweep_found_on_hold(engine: Engine, held: int) -> None:
    engine.sweep()
    assert marks(engine.db) == [held] * 50 + [None]
    engine.plan_as_for_many_rows()
    before = engine.rows_read()
    assert len(engine.claim()) == 1
    assert engine.rows_read() - before < 20


def test_a_sweep_reads_them_once(engine: Engine, held: int) -> None:
    engine.sweep()
    engine.plan_as_for_many_rows()
    before = engine.rows_read()
    engine.sweep()
    assert engine.rows_read() - before < 30


@mutant("released transfers are forgotten", "end_holds", "set hold_id = null", "set hold_id = -1")
def test_released_transfers_are_due_again(engine: Engine, held: int) -> None:
    engine.report(success(engine.claim_one()))
    engine.let_pass("1 minute")
    engine.sweep()
    assert engine.claim() == []
    engine.operator.execute(RELEASE, [held])
    assert rung(engine.db) == 1
    assert len(wakeups(engine.db)) > 0
    assert len(engine.claim()) == 50


@mutant(
    "a row that contradicts its hold and stops its release",
    "progress_problem",
    "when p_state.hold_id is not null\n",
    "when false\n",
)
def test_a_paid_transfer_that_still_has_its_mark_stops_no_release(
    engine: Engine, held: int
) -> None:
    """The attack: a row that somebody wrote while the guards were off; each sweep failed at it."""
    engine.sweep()
    until = "set expires_at = now() where released_at is null"
    with unguarded(engine.db, "payout.transfer_states", "payout.holds"):
        ((drifted, due),) = engine.db.execute(
            "update payout.transfer_states as s set state = 'paid', stripe_transfer_id = 'tr_9', "
            "next_attempt_at = null from payout.transfer_states as f "
            "where f.payout_transfer_id = s.payout_transfer_id and s.payout_transfer_id = ("
            "select min(payout_transfer_id) from payout.transfer_states where hold_id = %s) "
            "returning s.payout_transfer_id, f.next_attempt_at",
            [held],
        ).fetchall()
        engine.db.execute(f"update payout.holds {until}".encode())
    engine.sweep()
    assert len(engine.claim()) == 50
    with unguarded(engine.db, "payout.transfer_states"):
        engine.db.execute(
            "update payout.transfer_states set state = 'scheduled', stripe_transfer_id = null, "
            "next_attempt_at = %s where payout_transfer_id = %s",
            [due, drifted],
        )


@mutant(
    "a claim forgets the other holds of a marked transfer",
    "lock_due_transfers",
    "h.scope <> 'engine' and h.awaits is null and h.released_at is null))",
    "false))",
)
def test_a_transfer_on_several_holds_waits_for_the_last(engine: Engine) -> None:
    (transfer,) = engine.settle()
    holds = [
        engine.hold("payee", "seller_1"),
        engine.hold("settlement", "set_1"),
        engine.hold("transfer", str(transfer)),
    ]
    engine.let_pass("1 minute")
    for hold_id in holds:
        engine.sweep()
        assert marks(engine.db) == [hold_id]
        engine.operator.execute(RELEASE, [hold_id])
        assert marks(engine.db) == [None]
        assert len(engine.claim()) == (hold_id == holds[-1])


@mutant(
    "a moved transfer stays out of the index",
    "tg_transfer_states__move",
    "new.hold_id := null;",
    "null;",
)
def test_a_transfer_that_is_paid_under_a_hold_does_not_stop_the_release(engine: Engine) -> None:
    """Its answer came late; a paid row does not change any more."""
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    hold_id = engine.hold("payee", "seller_1")
    engine.let_pass("1 minute")
    engine.sweep()  # it closes the lease
    engine.sweep()
    assert marks(engine.db) == [hold_id]
    engine.report(success(claim))
    engine.operator.execute(RELEASE, [hold_id])
    assert marks(engine.db) == [None]
    assert engine.progress(transfer).state == "paid"


@mutant(
    "a release that does not see the marks",
    "end_holds",
    "perform payout.refuse_old_snapshot('no hold is released');",
    "",
)
def test_a_hold_is_not_released_by_an_old_snapshot(shared_engine: Engine) -> None:
    """It would not show the transfers that were marked since."""
    hold_id = shared_engine.hold("engine")
    shared_engine.operator.execute("set default_transaction_isolation = 'repeatable read'")
    assert refusal(shared_engine.operator, RELEASE, [hold_id]) == Refusal(
        "SP401", "no hold is released in a transaction that is repeatable read"
    )


@mutant(
    "a mark set beside the release",
    "mark_held_transfers",
    "and h.released_at is null\n            for share skip locked",
    "and h.released_at is null",
)
def test_a_release_waits_for_the_sweep_that_marks_its_transfers(
    shared_engine: Engine, background: ThreadPoolExecutor
) -> None:
    engine = shared_engine
    engine.settle()
    hold_id = engine.hold("payee", "seller_1")
    engine.let_pass("1 minute")
    engine.worker.execute("begin")
    engine.sweep()
    releasing = background.submit(engine.operator.execute, RELEASE, [hold_id])
    with suppress(AssertionError):
        wait_until_blocked(engine.db, engine.operator, by=releasing)
    engine.worker.execute("commit")
    releasing.result()
    assert marks(engine.db) == [None]
    assert len(engine.claim()) == 1


def test_a_sweep_does_not_wait_for_a_release_and_marks_nothing_under_it(
    shared_engine: Engine,
) -> None:
    engine = shared_engine
    engine.settle()
    hold_id = engine.hold("payee", "seller_1")
    engine.let_pass("1 minute")
    engine.worker.execute("set lock_timeout = '5s'")
    with engine.operator.transaction():
        engine.operator.execute(RELEASE, [hold_id])
        engine.sweep()
        assert engine.claim() == []
    assert marks(engine.db) == [None]
    assert len(engine.claim()) == 1
