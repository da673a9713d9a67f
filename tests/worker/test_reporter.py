"""Every outcome reaches the database: with others, again after a failure, plain if need be."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import psycopg
import pytest
from psycopg import errors as sqlstates

from payout_engine import reporter as reporter_module
from payout_engine.reporter import Reporter, describe, log_reported
from payout_engine.rows import Outcome, Report
from tests.worker.fakes import FakeDatabase


def make_outcome(number: int, **changes: Any) -> Outcome:
    outcome: Any = {
        "payout_transfer_id": number,
        "generation": 1,
        "attempt": 1,
        "idempotency_key": f"payout_{number}:1",
        "claim_token": f"token_{number}",
        "signal": "response",
        "http_status": 200,
        "body": {"id": f"tr_{number}"},
    }
    return outcome | changes  # type: ignore[no-any-return]


def report(database: FakeDatabase, outcomes: list[Outcome]) -> Reporter:
    """Report these outcomes, and return when nothing is left to report."""

    async def main() -> Reporter:
        reporter = Reporter(database=database)
        for outcome in outcomes:
            reporter.add(outcome)
        await reporter.flush()
        return reporter

    return asyncio.run(main())


def refuse(error: Exception, *, times: int = 10**9, numbers: set[int] | None = None) -> Any:
    """Return an `on_report` that raises for calls with one of these transfers."""
    left = times

    async def on_report(outcomes: list[Outcome]) -> None:
        nonlocal left
        met = {outcome["payout_transfer_id"] for outcome in outcomes}
        if left and (numbers is None or met & numbers):
            left -= 1
            raise error

    return on_report


def test_outcomes_that_come_together_share_one_call() -> None:
    database = FakeDatabase()
    reporter = report(database, [make_outcome(number) for number in range(40)])
    assert [len(outcomes) for outcomes in database.reports] == [40]
    assert reporter.unreported == 0


def test_outcomes_that_come_during_a_report_share_the_next() -> None:
    async def main() -> None:
        database = FakeDatabase()
        entered, leave = asyncio.Event(), asyncio.Event()

        async def on_report(outcomes: list[Outcome]) -> None:
            entered.set()
            await leave.wait()

        database.on_report = on_report
        reporter = Reporter(database=database)
        reporter.add(make_outcome(1))
        await entered.wait()
        for number in (2, 3, 4):
            reporter.add(make_outcome(number))
        assert reporter.unreported == 4
        leave.set()
        await reporter.flush()
        assert [len(outcomes) for outcomes in database.reports] == [1, 3]

    asyncio.run(main())


def test_many_outcomes_are_reported_in_bounded_calls() -> None:
    database = FakeDatabase()
    report(database, [make_outcome(number) for number in range(1201)])
    assert [len(outcomes) for outcomes in database.reports] == [500, 500, 201]


@pytest.mark.parametrize(
    "error",
    [sqlstates.UntranslatableCharacter("x"), sqlstates.CheckViolation("x"), TypeError("x")],
)
def test_a_refused_outcome_is_reported_plainly_and_delays_no_other(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    database = FakeDatabase()

    async def on_report(outcomes: list[Outcome]) -> None:
        if any(outcome.get("body") == {"id": "tr_2"} for outcome in outcomes):
            raise error

    database.on_report = on_report
    reporter = report(database, [make_outcome(number) for number in (1, 2, 3)])
    assert database.reports == [
        [make_outcome(1)],
        [
            {
                "payout_transfer_id": 2,
                "generation": 1,
                "attempt": 1,
                "idempotency_key": "payout_2:1",
                "claim_token": "token_2",
                "signal": "unreadable",
                "http_status": 200,
            }
        ],
        [make_outcome(3)],
    ]
    assert reporter.unreported == 0
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "transfer 2 (generation 1, attempt 1)" in record.message


@pytest.mark.parametrize("signal", ["not_sent", "no_response"])
def test_the_plain_form_claims_no_answer_where_there_was_none(signal: str) -> None:
    database = FakeDatabase()
    database.on_report = refuse(psycopg.DataError("NUL"), times=1)
    outcome: Outcome = {
        "payout_transfer_id": 1,
        "generation": 1,
        "attempt": 1,
        "idempotency_key": "payout_1:1",
        "claim_token": "token_1",
        "signal": signal,
        "detail": "\0",
    }
    report(database, [outcome])
    del outcome["detail"]
    assert database.reported == [outcome]


def test_an_outcome_that_is_refused_even_plainly_is_given_up_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = FakeDatabase()
    database.on_report = refuse(psycopg.DataError("no"), numbers={2})
    reporter = report(database, [make_outcome(1), make_outcome(2)])
    assert [outcome["payout_transfer_id"] for outcome in database.reported] == [1]
    assert reporter.unreported == 0
    assert "given up" in caplog.text


def test_an_outcome_refused_for_another_reason_is_kept_and_reported_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reporter_module, "FIRST_PAUSE_SECONDS", 0.01)

    async def main() -> None:
        database = FakeDatabase()
        database.on_report = refuse(sqlstates.InsufficientPrivilege("no"), times=2, numbers={1})
        reporter = Reporter(database=database)
        database._open = 1
        reporter.add(make_outcome(1))
        await database.is_quiet.wait()
        assert database.reported == [make_outcome(1)]

    asyncio.run(main())


@pytest.mark.parametrize("error", [sqlstates.LockNotAvailable("x"), sqlstates.QueryCanceled("x")])
def test_an_outcome_that_meets_a_lock_is_reported_again_soon_and_delays_no_other(
    error: psycopg.Error,
) -> None:
    async def main() -> None:
        database, waits, is_passed = FakeDatabase(), asyncio.Event(), asyncio.Event()

        async def on_report(outcomes: list[Outcome]) -> None:
            if outcomes[0]["payout_transfer_id"] == 3:
                is_passed.set()
            if outcomes[0]["payout_transfer_id"] == 1 and not waits.is_set():
                if database.reports:
                    waits.set()
                    await is_passed.wait()  # at the lock, once more
                raise error

        database.on_report = on_report
        reporter = Reporter(database=database)
        database._open = 3
        reporter.add(make_outcome(1))
        reporter.add(make_outcome(2))
        async with asyncio.timeout(5):
            await waits.wait()
            reporter.add(make_outcome(3))
            await database.is_quiet.wait()
        assert [outcome["payout_transfer_id"] for outcome in database.reported] == [2, 3, 1]

    asyncio.run(main())


def test_closing_gives_up_after_its_time_and_says_how_many_are_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        database = FakeDatabase()

        async def on_report(outcomes: list[Outcome]) -> None:
            await asyncio.Event().wait()

        database.on_report = on_report
        reporter = Reporter(database=database)
        reporter.add(make_outcome(1))
        await reporter.close(seconds=0.1)

    asyncio.run(main())
    assert "1 outcomes could not be reported" in caplog.text


def test_a_callback_that_fails_loses_no_outcome() -> None:
    async def main() -> None:
        def on_reported(outcome: Outcome, report: Report) -> None:
            raise BrokenPipeError

        database = FakeDatabase()
        reporter = Reporter(database=database, on_reported=on_reported)
        for number in range(600):
            reporter.add(make_outcome(number))
        await reporter.flush()
        assert len(database.reported) == 600
        assert reporter.unreported == 0

    asyncio.run(main())


def test_an_outcome_that_the_database_does_not_answer_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Silent(FakeDatabase):
        async def _report(self, outcomes: list[Outcome]) -> list[Report]:
            return (await super()._report(outcomes))[1:]

    reporter = report(Silent(), [make_outcome(1), make_outcome(2)])
    assert reporter.unreported == 0
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        f"no answer of the database to {describe(make_outcome(1))}"
    ]


def test_an_alarm_is_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> None:
    alarm: Report = {
        "payout_transfer_id": 7,
        "generation": 1,
        "attempt": 1,
        "verdict": "alarm",
        "state": "parked",
    }
    log_reported(make_outcome(7), alarm)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.message == (
        "transfer 7 (generation 1, attempt 1): response 200 tr_7 -> alarm, parked"
    )


def test_a_logged_outcome_has_no_line_breaks() -> None:
    assert "\n" not in describe(make_outcome(1, detail="a\nb", body={"id": "tr\n1"}))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"error": {"code": "account_closed"}, "id": "tr_1"}, "account_closed"),
        ({"error": {"code": None}}, ""),
        ({"error": "gone", "id": {"id": "tr_1"}}, ""),
        ({"id": "x" * 9999}, "x" * 255),
        ({}, ""),
    ],
)
def test_a_logged_outcome_names_the_code_or_the_transfer(body: dict[str, Any], told: str) -> None:
    assert describe(make_outcome(1, body=body)) == (
        f"transfer 1 (generation 1, attempt 1): response 200 {told}".rstrip()
    )
