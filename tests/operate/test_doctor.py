"""The doctor finds a healthy installation healthy, before and after money has moved."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Connection
from tests.engine import Engine, no_answer, no_such_account, rate_limited, success
from tests.operate.checks import DOCTOR, examine
from tests.schema.refusals import Refusal, refusal


def test_a_new_installation_is_healthy(engine: Engine) -> None:
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
