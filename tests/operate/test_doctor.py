"""The doctor finds a healthy installation healthy, before and after money has moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from tests.audit.sealing import seal_everything
from tests.conftest import Connection
from tests.engine import Engine, no_answer, no_such_account, rate_limited, success
from tests.mutants import mutant
from tests.operate.checks import DOCTOR, examine
from tests.schema.refusals import Refusal, refusal

VERIFY: Final = "select * from payout_api.verify_books()"


def test_a_new_installation_is_healthy(engine: Engine) -> None:
    engine.worker.execute("select payout_api.heartbeat('worker_1', '1.0.0')")
    assert [check for check in examine(engine.db) if check.status == "failure"] == []


def test_an_installation_at_work_is_healthy(engine: Engine) -> None:
    engine.settle(*(f"seller_{number}" for number in range(6)), settlement_id="set_1")
    engine.settle(settlement_id="set_2", currency="jpy", pay_after="2100-01-01")
    paid, declined, unknown, waiting, *_ = engine.claim()
    engine.report(
        success(paid), no_such_account(declined), no_answer(unknown), rate_limited(waiting)
    )
    engine.let_pass("20 seconds")
    engine.sweep()
    engine.worker.execute("select payout_api.heartbeat('worker_1', '1.0.0')")
    assert [check for check in examine(engine.db) if check.status == "failure"] == []


def test_every_check_has_a_name_of_its_own_and_says_what_it_saw_and_what_to_do(
    engine: Engine,
) -> None:
    checks = examine(engine.db)
    assert len({check.check_name for check in checks}) == len(checks) >= 15
    for check in checks:
        assert check.detail
        assert check.hint


@pytest.mark.parametrize("role", ["payout_worker", "payout_operator", "payout_auditor"])
def test_who_looks_after_the_engine_may_call_the_doctor(
    visit: Callable[..., Connection], role: str
) -> None:
    assert visit(role).execute(DOCTOR).rowcount >= 15


def test_the_application_may_not(visit: Callable[..., Connection]) -> None:
    assert refusal(visit("payout_app"), DOCTOR) == Refusal(
        "42501", "permission denied for function doctor"
    )


@pytest.mark.parametrize("role", ["payout_operator", "payout_auditor"])
def test_operators_and_auditors_may_verify_the_books(
    visit: Callable[..., Connection], role: str
) -> None:
    assert visit(role).execute(VERIFY).fetchall() == []


@pytest.mark.parametrize("role", ["payout_app", "payout_worker"])
def test_nobody_else_may_verify_the_books(visit: Callable[..., Connection], role: str) -> None:
    assert refusal(visit(role), VERIFY) == Refusal(
        "42501", "permission denied for function verify_books"
    )


@mutant(
    "a doctor that reads all settlements",
    "doctor",
    "select * from payout.check_holds()",
    "select * from payout.check_holds() union all "
    "select 'lines', false, sum(l.amount_minor)::text, '' from payout.settlement_lines as l",
)
def test_the_doctor_reads_no_more_of_history_however_long_it_is(shared_engine: Engine) -> None:
    """All but the open transfers of the trial balance, for which all states are looked through."""
    db = shared_engine.db
    # Tables of a few rows would be read as a whole.
    db.execute("set enable_seqscan = off")

    def rows_read() -> int:
        db.execute("select pg_stat_force_next_flush()")
        ((count,),) = db.execute(
            "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) from pg_stat_user_tables "
            "where schemaname = 'payout' and relname in ('settlements', 'settlement_lines', "
            "'payout_jobs', 'transfer_observations', 'ledger_entries', 'operator_actions')"
        ).fetchall()
        return int(count)

    def settle(round_: int) -> None:
        payees = [f"seller_{number}" for number in range(25)]
        for number in range(10):
            shared_engine.settle(*payees, settlement_id=f"set_{round_}_{number}")
            shared_engine.report(
                *(
                    success(claim, stripe_transfer_id=f"tr_{claim.payout_transfer_id}")
                    for claim in shared_engine.claim()
                )
            )
        seal_everything(db)
        db.execute("analyze payout.settlements, payout.settlement_lines, payout.payout_jobs")

    read = []
    for round_ in range(3):
        settle(round_)
        before = rows_read()
        db.execute(DOCTOR)
        read.append(rows_read() - before)
    assert read[2] <= read[1] + 100
