"""The doctor notices wake-up jobs that cannot be queued, and that no worker fetches them."""

from __future__ import annotations

from typing import Final

import pytest

from tests.engine import Engine, no_answer, refusal_by_stripe, unfunded, unguarded
from tests.mutants import mutant
from tests.operate.checks import complaints

CAN_RING: Final = "wake-up jobs can be queued"
SWEEPS: Final = "leases that ran out are closed"
CLAIMS: Final = "due transfers are claimed"
HELD: Final = "nothing is on hold"


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        ("drop schema procrastinate cascade", 'schema "procrastinate" does not exist'),
        (
            "drop function procrastinate.procrastinate_defer_jobs_v1",
            "function procrastinate.procrastinate_defer_jobs_v1(procrastinate_job_to_defer_v1[]) "
            "does not exist",
        ),
        (
            "revoke usage on schema procrastinate from payout_owner",
            "permission denied for schema procrastinate",
        ),
        (
            "revoke insert on procrastinate.procrastinate_jobs from payout_owner",
            "permission denied for table procrastinate_jobs",
        ),
        (
            "revoke execute on all functions in schema procrastinate from payout_owner",
            "permission denied for function procrastinate_defer_jobs_v1",
        ),
    ],
)
def test_a_queue_that_is_gone_or_closed_to_the_engine_is_noticed(
    engine: Engine, loss: str, told: str
) -> None:
    engine.db.execute(loss)
    assert complaints(engine.db) == {CAN_RING: told}


def test_a_transfer_that_waits_for_a_released_hold_is_noticed(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.hold("payee", "seller_1")
    engine.let_pass("1 minute")
    engine.sweep()
    for tries in (-1, 0):
        with unguarded(engine.db, "payout.transfer_states"):
            engine.db.execute("update payout.transfer_states set tries = %s", [tries])
        engine.release_holds()
    assert complaints(engine.db) == {"no transfer waits for a released hold": "1 do"}
    assert engine.progress(transfer).state == "scheduled"


def test_leases_that_nobody_closes_are_counted(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    engine.claim()
    engine.let_pass("1 minute 10 seconds")
    assert complaints(engine.db) == {}
    engine.let_pass("21 seconds")
    assert complaints(engine.db) == {SWEEPS: "2 leases ran out over a minute ago"}
    engine.sweep()
    assert complaints(engine.db) == {}


def test_transfers_that_nobody_claims_are_counted(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2", "seller_3")
    engine.report(no_answer(engine.claim(1)[0]))
    engine.make_due()
    engine.let_pass("4 minutes 40 seconds")
    assert complaints(engine.db) == {}
    engine.let_pass("21 seconds")
    assert complaints(engine.db) == {CLAIMS: "3 transfers have been due for over five minutes"}
    engine.claim()
    assert complaints(engine.db) == {}


def test_what_is_on_hold_is_named_with_its_reason(engine: Engine) -> None:
    engine.settle()
    engine.hold("engine")
    engine.hold("payee", "seller_1")
    (told,) = complaints(engine.db).items()
    assert told[0] == HELD
    assert set(told[1].split(", ")) == {"engine (to look)", "payee seller_1 (to look)"}
    engine.release_holds()
    assert complaints(engine.db) == {}


@mutant(
    "a backlog at its pace needs another worker",
    "check_queue",
    "as c) > clock_timestamp()",
    "as c) > 'infinity'",
)
def test_a_backlog_that_flows_at_its_pace_is_claimed(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    engine.let_pass("1 hour")
    assert CLAIMS in complaints(engine.db)
    engine.claim(1)
    assert CLAIMS not in complaints(engine.db)


def test_a_currency_that_waits_for_funds_is_told_of_and_is_no_hold_of_a_person(
    engine: Engine,
) -> None:
    engine.settle("seller_1")
    engine.report(unfunded(engine.claim_one()))
    found = complaints(engine.db)
    assert list(found) == ["no currency waits for funds"]
    assert found["no currency waits for funds"].startswith("usd since ")


def test_a_failed_transfer_whose_look_counts_later_is_not_late(engine: Engine) -> None:
    engine.settle("seller_1")
    engine.report(refusal_by_stripe(engine.claim_one(), 400, "account_invalid"))
    engine.end_waits()
    engine.look_up()
    engine.let_pass("10 minutes")
    assert CLAIMS not in complaints(engine.db)
