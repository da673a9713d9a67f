"""Claims, reports, sweeps and holds that commit between two statements of another session.

Every pause is made by a lock that another session holds for a moment, as maintenance or an
operator's open transaction does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from payout_engine.database import Database
from payout_engine.reporter import Reporter
from tests.conftest import Connection
from tests.engine import Engine, no_answer, rate_limited, success, unfunded
from tests.mutants import mutant
from tests.schema.refusals import Refusal, wait_until_blocked
from tests.settle.marketplace import refused

RELEASE = "select payout_api.release_hold(%s, 'looked')"
HOLD = "select payout_api.hold(%s, 'to look', %s)"


def lock(db: Connection, table: str) -> None:
    db.execute("begin")
    db.execute(f"lock table {table} in access exclusive mode")


def test_a_transfer_that_is_first_sent_during_a_sweep_is_not_taken_for_one_of_the_future(
    shared_engine: Engine, connect: Callable[..., Connection], background: ThreadPoolExecutor
) -> None:
    """The sweep reads the time, seals, and only then looks for keys that were sent later."""
    engine, sweeper = shared_engine, connect("payout_worker", member=2)
    (transfer,) = engine.settle()
    lock(engine.db, "payout.seal_marks")
    sweeping = background.submit(engine.sweep, connection=sweeper)
    wait_until_blocked(engine.db, sweeper, by=sweeping)
    engine.report_one(rate_limited(engine.claim_one()))
    engine.db.execute("commit")
    sweep = sweeping.result()

    assert (engine.progress(transfer).state, sweep.transfers_parked) == ("retry_wait", 0)


def test_a_lease_given_during_a_sweep_that_waited_is_not_one_of_the_future(
    shared_engine: Engine, connect: Callable[..., Connection], background: ThreadPoolExecutor
) -> None:
    """A sweep in psql has no statement_timeout; the leases are short in place of a long wait."""
    engine, sweeper = shared_engine, connect("payout_operator")
    engine.set(http_deadline_for="500 ms", lease_for="1 s")
    (transfer,) = engine.settle()
    lock(engine.db, "payout.seal_marks")
    sweeping = background.submit(engine.sweep, connection=sweeper)
    wait_until_blocked(engine.db, sweeper, by=sweeping)
    time.sleep(1.2)  # no lock can be awaited for this: the sweeper's own clock has to go on
    engine.claim_one()
    engine.db.execute("commit")
    sweeping.result()

    assert engine.progress(transfer).state == "in_flight"


def test_leases_that_were_given_under_a_longer_setting_are_not_of_the_future(
    shared_engine: Engine,
) -> None:
    engine = shared_engine
    (transfer,) = engine.settle()
    engine.claim_one()
    engine.set(http_deadline_for="8 s", lease_for="12 s")
    engine.sweep()
    assert engine.progress(transfer).state == "in_flight"


def test_an_outcome_of_a_transfer_that_appears_between_two_looks_is_stored(
    shared_engine: Engine, connect: Callable[..., Connection], background: ThreadPoolExecutor
) -> None:
    """A restored database gives the number of a lost transfer to another one.

    The report locks nothing, judges nothing, waits, and then finds that the transfer is known.
    """
    engine, reporter = shared_engine, connect("payout_worker", member=2)
    outcome = {
        "payout_transfer_id": 1,
        "generation": 1,
        "attempt": 1,
        "idempotency_key": "of_the_lost_database:1",
        "claim_token": "of_the_lost_database",
        "signal": "response",
        "http_status": 200,
        "body": {"id": "tr_lost"},
    }
    lock(engine.db, "payout.discrepancies")
    reporting = background.submit(engine.report, outcome, connection=reporter)
    wait_until_blocked(engine.db, reporter, by=reporting)
    assert engine.settle() == [1]
    engine.db.execute("commit")
    reports = reporting.result()

    stored = engine.db.execute(
        "select stripe_transfer_id from payout.discrepancies "
        "union all select stripe_transfer_id from payout.transfer_observations"
    ).fetchall()
    assert stored == [("tr_lost",)]
    assert [report.verdict for report in reports] == ["alarm"]


def test_a_transfer_always_under_one_hold_or_another_is_not_handed_out(
    shared_engine: Engine, connect: Callable[..., Connection], background: ThreadPoolExecutor
) -> None:
    """The claim looks for a hold on the engine, waits, and looks for the other holds."""
    engine, worker = shared_engine, connect("payout_worker", member=2)
    engine.settle()
    hold_id = engine.hold("settlement", "set_1")
    lock(engine.db, "payout.payout_transfers")
    claiming = background.submit(engine.claim, connection=worker)
    wait_until_blocked(engine.db, worker, by=claiming)
    other = connect()
    with other.transaction():
        other.execute(HOLD, ["engine", None])
        other.execute("select payout.end_holds(array[%s], 'operator', 'looked')", [hold_id])
    engine.db.execute("commit")

    assert claiming.result() == []


def test_a_claim_that_has_chosen_nothing_when_the_engine_is_held_hands_out_nothing(
    shared_engine: Engine, connect: Callable[..., Connection], background: ThreadPoolExecutor
) -> None:
    engine, worker = shared_engine, connect("payout_worker", member=2)
    engine.settle()
    lock(engine.db, "payout.transfer_states")
    claiming = background.submit(engine.claim, connection=worker)
    wait_until_blocked(engine.db, worker, by=claiming)
    engine.hold("engine")
    engine.db.execute("commit")

    assert claiming.result() == []


def test_a_repeated_hold_does_not_commit_behind_the_release(
    shared_engine: Engine, connect: Callable[..., Connection], background: ThreadPoolExecutor
) -> None:
    """The release waits for the repeated hold to commit."""
    engine, second = shared_engine, connect("payout_operator", member=2)
    engine.settle()
    hold_id = engine.hold("payee", "seller_1")
    second.execute("begin")
    second.execute(HOLD, ["payee", "seller_1"])
    releasing = background.submit(engine.operator.execute, RELEASE, [hold_id])
    wait_until_blocked(engine.db, engine.operator, by=releasing)
    assert [hold[:2] for hold in engine.open_holds()] == [("payee", "seller_1")]
    second.execute("commit")
    releasing.result()
    assert engine.open_holds() == []


@mutant(
    "a release over an alarm that came while it waited",
    "release_hold",
    "elsif v_known <> payout.known_of('release_hold', v_ids) then",
    "elsif false then",
)
def test_a_release_does_not_undo_the_hold_of_an_alarm_not_yet_committed(
    shared_engine: Engine, background: ThreadPoolExecutor
) -> None:
    """The alarm finds its transfer on hold; before it commits, that hold is released."""
    engine = shared_engine
    engine.settle("seller_1", "seller_2")
    first, other = engine.claim()
    engine.report(success(first, amount_minor=1))
    ((hold_id,),) = engine.db.execute("select hold_id from payout.holds").fetchall()
    engine.db.execute("begin")
    engine.db.execute("lock table payout.operator_actions in share mode")
    reporting = background.submit(
        engine.report,
        success(first, amount_minor=1, stripe_transfer_id="tr_2"),
        success(other, amount_minor=1, stripe_transfer_id="tr_3"),
    )
    wait_until_blocked(engine.db, engine.worker, by=reporting)
    releasing = background.submit(refused, engine.operator.execute, RELEASE, [hold_id])
    wait_until_blocked(engine.db, engine.operator, by=releasing)
    engine.db.execute("commit")
    assert [report.verdict for report in reporting.result()] == ["alarm", "alarm"]
    assert releasing.result() == Refusal("SP402", f"hold {hold_id}: another alarm came meanwhile")


@mutant(
    "an approval that does not wait for the alarm that relies on the hold",
    "do_proposed",
    "and h.released_at is null\n            for update);",
    "and h.released_at is null);",
)
def test_an_approved_release_waits_for_an_alarm_not_yet_committed(
    shared_engine: Engine, connect: Callable[..., Connection], background: ThreadPoolExecutor
) -> None:
    engine, late = shared_engine, connect()
    (transfer,) = engine.settle()
    engine.report(success(engine.claim_one(), amount_minor=1))
    ((hold_id,),) = engine.db.execute("select hold_id from payout.holds").fetchall()
    engine.operator.execute(RELEASE, [hold_id])
    ((proposal,),) = engine.db.execute("select action_id from payout_api.proposals").fetchall()
    with late.transaction():
        late.execute(
            "with alarm as (insert into payout.discrepancies (kind, payout_transfer_id, advice) "
            "values ('missing_at_stripe', %s, 'Look it up.') returning discrepancy_id) "
            "select payout.place_hold('transfer', %s, 'missing', discrepancy_id) from alarm",
            [transfer, str(transfer)],
        )
        approving = background.submit(
            refused,
            engine.approver.execute,
            "select payout_api.approve(%s, 'looked too')",
            [proposal],
        )
        wait_until_blocked(engine.db, engine.approver, by=approving)
    assert approving.result() == Refusal(
        "SP402", f"proposal {proposal}: another send, alarm or stop came meanwhile"
    )
    assert len(engine.open_holds()) == 1


def test_one_outcome_that_waits_for_a_lock_does_not_hold_up_the_others(
    shared_engine: Engine, connect: Callable[..., Connection], dsn: Callable[..., str]
) -> None:
    """An operator's open transaction has released the hold that an alarm wants to rely on.

    The call ends by its statement_timeout, and is made again as it was, with all its outcomes.
    """
    engine, second = shared_engine, connect("payout_operator", member=2)
    engine.settle("seller_1", settlement_id="set_1")
    (paid,) = engine.settle("seller_2", settlement_id="set_2")
    first, other = engine.claim()
    engine.report(success(first, amount_minor=1))
    ((hold_id,),) = engine.db.execute("select hold_id from payout.holds").fetchall()
    second.execute("begin")
    second.execute(RELEASE, [hold_id])

    async def report() -> None:
        url = make_conninfo(dsn("payout_worker"), options="-c statement_timeout=500ms")
        async with Database(url) as database:
            reporter = Reporter(database=database)
            reporter.add(success(first, amount_minor=1, stripe_transfer_id="tr_3"))
            reporter.add(success(other, stripe_transfer_id="tr_2"))
            await reporter.flush(seconds=5)
            await reporter.close(seconds=0)

    asyncio.run(report())
    state = engine.progress(paid).state
    second.execute("rollback")
    assert state == "paid"


def test_a_hold_released_by_another_operator_is_made_anew(
    shared_engine: Engine, connect: Callable[..., Connection], background: ThreadPoolExecutor
) -> None:
    engine, second = shared_engine, connect("payout_operator", member=2)
    engine.settle()
    released_id = engine.hold("payee", "seller_1")
    second.execute("begin")
    second.execute(RELEASE, [released_id])
    holding = background.submit(engine.hold, "payee", "seller_1")
    wait_until_blocked(engine.db, engine.operator, by=holding)
    second.execute("commit")
    assert holding.result() > released_id
    assert [hold[:2] for hold in engine.open_holds()] == [("payee", "seller_1")]


def test_two_successes_with_the_same_stripe_id_get_different_verdicts(
    shared_engine: Engine,
) -> None:
    """Both are judged by the transfers that were paid before either."""
    engine = shared_engine
    engine.settle("seller_1", "seller_2")
    first, second = engine.claim()
    reports = engine.report(success(first), success(second))
    assert [report.verdict for report in reports] == ["ok", "alarm"]


SELLERS = ("seller_1", "seller_2")


def claimed(engine: Engine) -> int:
    return len(engine.claim())


def closed(engine: Engine) -> int:
    return engine.sweep().leases_expired


def parked(engine: Engine) -> int:
    return engine.sweep().transfers_parked


def reopened(engine: Engine) -> int:
    return engine.sweep().transfers_reopened


def looked_up(engine: Engine) -> int:
    return len(engine.claim_lookups())


def prepare(engine: Engine, step: Callable[[Engine], int]) -> list[int]:
    """Bring two transfers to where the step has to do with both."""
    transfers = engine.settle(*SELLERS)
    if step is claimed:
        return transfers
    claims = engine.claim()
    if step is closed:
        engine.let_pass("1 minute")
    elif step is reopened:
        engine.report(*(unfunded(claim) for claim in claims))
        engine.make_due()
    else:
        engine.report(*(no_answer(claim) for claim in claims))
        engine.let_pass("21 hours")
    if step is looked_up:
        engine.sweep()
        engine.make_lookups_due()
    return transfers


@mutant(
    "a claim that waits for a locked transfer",
    "lock_due_transfers",
    "\n    for key share of t skip locked",
    "",
    at="claimed",
)
@mutant(
    "a sweep that waits for a locked transfer to close its lease",
    "expire_leases",
    "\n        for key share of t skip locked",
    "",
    at="closed",
)
@mutant(
    "a sweep that waits for a locked transfer to park it",
    "park_expired_keys",
    "\n        for key share of t skip locked",
    "",
    at="parked",
)
@mutant(
    "a sweep that waits for a locked transfer to open its key",
    "reopen_failed",
    "\n        for key share of t skip locked",
    "",
    at="reopened",
)
@mutant(
    "look-ups that wait for a locked transfer",
    "begin_due_reads",
    "\n            for key share of t skip locked",
    "",
    at="looked_up",
)
@pytest.mark.parametrize(
    "step", [claimed, closed, parked, reopened, looked_up], ids=lambda step: step.__name__
)
def test_a_transfer_that_somebody_has_locked_holds_up_no_other(
    shared_engine: Engine, connect: Callable[..., Connection], step: Callable[[Engine], int]
) -> None:
    """Attempts, observations and reads refer to its row, and a foreign key waits for that."""
    engine, superuser = shared_engine, connect()
    locked, _ = prepare(engine, step)
    engine.worker.execute("set statement_timeout = '2s'")
    superuser.execute("begin")
    superuser.execute(
        "select from payout.payout_transfers where payout_transfer_id = %s for update", [locked]
    )
    others = 0
    with suppress(psycopg.errors.QueryCanceled):
        others = step(engine)
    superuser.execute("rollback")
    assert others == 1
    assert step(engine) == 1
