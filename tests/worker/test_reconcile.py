"""The reconciler reads every page once, one after the other, and repeats transient failures."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from payout_engine import reconcile
from payout_engine.database import worker_name
from payout_engine.errors import PayoutError
from payout_engine.reconcile import Reconciler
from payout_engine.stripe_payout_adapter import Page, Refused, StripePayoutAdapter, Unreadable
from tests.worker.fakes import CANARY, STRIPE_NOW, FakeListings, RecordingDatabase, bad_argument

FIRST = Page([{"id": "tr_3"}, {"id": "tr_2"}], has_more=True)
LAST = Page([{"id": "tr_1"}], has_more=False)
EMPTY = Page([], has_more=False)
AFTER_FIRST = {"starting_after": "tr_2"}


def reading(number: int, kind: str = "lookup", path: str = "/v1/transfers") -> dict[str, Any]:
    """Return a row of `claim_reads`."""
    return {
        "read_id": number,
        "kind": kind,
        "token": f"ct_{number}",
        "path": path,
        "parameters": {"a": number},
        "objects_seen": 0,
        "objects_expected": 0,
        "read_in_seconds": 0.0,
    }


def told(next_parameters: dict[str, Any] | None = None, **changes: object) -> list[dict[str, Any]]:
    """Return the row of `report_page`; without parameters the last one of a read."""
    row = {
        "next_parameters": next_parameters,
        "objects_seen": 2,
        "objects_found": 0,
        "result": None if next_parameters else "it is read",
        "is_alarm": False,
        "read_in_seconds": 0.0,
    }
    return [row | changes]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "FIRST_PAUSE_SECONDS", 0.0)


def make(database: RecordingDatabase, adapter: StripePayoutAdapter) -> Reconciler:
    return Reconciler(database=database, adapter=adapter)


def test_a_read_goes_on_with_the_parameters_that_the_database_tells() -> None:
    other = {"destination": "acct_1"}
    database = RecordingDatabase(
        claim_reads=[[reading(7)]], report_page=[told(AFTER_FIRST), told(other), told()]
    )
    adapter = FakeListings(FIRST, LAST, LAST)
    reports = asyncio.run(make(database, adapter).read("lookup"))
    assert reports == told()
    assert adapter.asked == [
        ("/v1/transfers", {"a": 7}),
        ("/v1/transfers", AFTER_FIRST),
        ("/v1/transfers", other),
    ]
    assert database.arguments("claim_reads") == [
        {
            "p_worker": worker_name(),
            "p_limit": 3,
            "p_stripe_account_id": "acct_platform",
            "p_is_livemode": False,
            "p_kind": "lookup",
            "p_stripe_now": STRIPE_NOW,
        }
    ]
    first, *_, last = database.arguments("report_page")
    assert first == {
        "p_read_id": 7,
        "p_token": "ct_7",
        "p_parameters": {"a": 7},
        "p_objects": FIRST.data,
        "p_has_more": True,
        "p_is_rate_limited": False,
    }
    assert (last["p_parameters"], last["p_has_more"]) == (other, False)


def test_reads_are_claimed_until_fewer_are_due_than_were_asked_for() -> None:
    database = RecordingDatabase(
        claim_reads=[[reading(n) for n in (1, 2, 3)], [reading(4)]], report_page=[told()]
    )
    reports = asyncio.run(make(database, FakeListings(*[LAST] * 4)).read("lookup"))
    assert len(reports) == 4
    assert len(database.arguments("claim_reads")) == 2


def test_nothing_due_means_one_call_and_no_request() -> None:
    database = RecordingDatabase(claim_reads=[[]])
    adapter = FakeListings()
    assert asyncio.run(make(database, adapter).read("lookup")) == []
    assert (len(database.calls), adapter.asked) == (1, [])


@pytest.mark.parametrize(("is_alarm", "level"), [(False, "INFO"), (True, "ERROR")])
def test_the_result_of_a_read_is_logged_and_an_alarm_at_error(
    caplog: pytest.LogCaptureFixture, is_alarm: bool, level: str
) -> None:
    caplog.set_level("INFO")
    database = RecordingDatabase(claim_reads=[[reading(7)]], report_page=[told(is_alarm=is_alarm)])
    asyncio.run(make(database, FakeListings(LAST)).read("lookup"))
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == (level, "it is read")


def test_a_read_that_fails_delays_no_other(caplog: pytest.LogCaptureFixture) -> None:
    database = RecordingDatabase(claim_reads=[[reading(1), reading(2)]], report_page=[told()])
    adapter = FakeListings(Refused(404, f"No such thing {CANARY}"), LAST)
    assert len(asyncio.run(make(database, adapter).read("lookup"))) == 1
    assert "a read failed, and comes up again: Refused('HTTP status 404" in caplog.text
    assert CANARY not in caplog.text


def test_a_failure_of_all_reads_is_raised_and_no_more_are_claimed() -> None:
    database = RecordingDatabase(claim_reads=[[reading(n) for n in (1, 2, 3)]])
    adapter = FakeListings(*[Refused(401, "Invalid API Key")] * 3)
    with pytest.raises(Refused, match="HTTP status 401"):
        asyncio.run(make(database, adapter).read("lookup"))
    assert len(database.arguments("claim_reads")) == 1


def test_a_read_shows_its_progress() -> None:
    read = reading(3, "comparison") | {"objects_expected": 9}
    database = RecordingDatabase(claim_reads=[[read]], report_page=[told(AFTER_FIRST), told()])
    shown: list[tuple[int, int]] = []
    listings = FakeListings(FIRST, LAST)
    asyncio.run(make(database, listings).read("comparison", lambda *counts: shown.append(counts)))
    assert shown == [(0, 9), (2, 9), (2, 9)]


def test_a_page_that_is_refused_is_raised() -> None:
    database = RecordingDatabase(
        claim_reads=[[reading(3)]], report_page=[bad_argument("no such read")]
    )
    with pytest.raises(PayoutError, match="no such read"):
        asyncio.run(make(database, FakeListings(FIRST)).read("comparison"))


def everything() -> RecordingDatabase:
    """Return a database with one read of each kind."""
    kinds = ("lookup", "events", "comparison", "reversals")
    return RecordingDatabase(
        claim_reads=[[reading(n, kind)] for n, kind in enumerate(kinds)],
        report_page=[told(objects_found=n) for n in (1, 2, 3, 4)],
    )


def test_everything_is_read_and_reversals_last() -> None:
    database = everything()
    found = asyncio.run(make(database, FakeListings(*[LAST] * 4)).run())
    assert found == {
        "look-ups": 1,
        "new events": 2,
        "reversals booked": 4,
        "transfers compared": 2,
        "discrepancies found": 3,
    }
    assert [claim["p_kind"] for claim in database.arguments("claim_reads")] == [
        "lookup",
        "events",
        "comparison",
        "reversals",
    ]


def test_a_key_that_may_read_no_events_compares_transfers_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    adapter = FakeListings(LAST, Refused(403, "no permission"), LAST, LAST)
    found = asyncio.run(make(everything(), adapter).run())
    assert (found["new events"], found["transfers compared"]) == (None, 2)
    assert "reading events failed, and comes up again: Refused('HTTP status 403" in caplog.text


def test_a_comparison_that_fails_is_raised() -> None:
    adapter = FakeListings(LAST, LAST, Refused(403, "no permission"))
    with pytest.raises(Refused, match="no permission"):
        asyncio.run(make(everything(), adapter).run())


# Pages that fail.


@pytest.mark.parametrize(
    "failure",
    [
        Refused(500, "no"),
        aiohttp.ClientError(),
        TimeoutError(),
        Unreadable("half a page"),
    ],
)
def test_a_page_with_a_transient_failure_is_read_again(failure: Exception) -> None:
    database = RecordingDatabase(claim_reads=[[reading(1)]], report_page=[told()])
    adapter = FakeListings(failure, failure, LAST)
    asyncio.run(make(database, adapter).read("events"))
    assert len(adapter.asked) == 3
    assert len(database.arguments("report_page")) == 1


def test_a_page_that_keeps_failing_is_given_up() -> None:
    database = RecordingDatabase(claim_reads=[[reading(1)]])
    adapter = FakeListings(*[Refused(503, "down")] * 10)
    with pytest.raises(Refused, match="HTTP status 503: down"):
        asyncio.run(make(database, adapter).read("events"))
    assert len(adapter.asked) == reconcile.TRIES


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
def test_a_page_that_is_refused_for_good_is_not_read_again(status: int) -> None:
    adapter = FakeListings(Refused(status, "no"))
    database = RecordingDatabase(claim_reads=[[reading(1)]])
    with pytest.raises(Refused, match=f"HTTP status {status}"):
        asyncio.run(make(database, adapter).read("events"))
    assert len(adapter.asked) == 1


def test_each_page_waits_for_the_turn_that_the_database_tells() -> None:
    database = RecordingDatabase(
        claim_reads=[[reading(1) | {"read_in_seconds": 0.04}]],
        report_page=[*[told(AFTER_FIRST, read_in_seconds=0.02)] * 3, told()],
    )
    adapter = FakeListings(*[FIRST] * 3, LAST)
    began = time.monotonic()
    asyncio.run(make(database, adapter).read("events"))
    assert time.monotonic() - began >= 0.1


def test_a_page_that_is_refused_for_its_rate_is_told_of_and_waits_for_another_turn() -> None:
    """The database lowers the pace of all workers."""
    database = RecordingDatabase(
        claim_reads=[[reading(1)]],
        report_page=[told({"a": 1}, read_in_seconds=0.05), told()],
    )
    adapter = FakeListings(Refused(429, "too many"), LAST)
    began = time.monotonic()
    asyncio.run(make(database, adapter).read("events"))
    assert time.monotonic() - began >= 0.05
    refused, taken = database.arguments("report_page")
    assert (refused["p_is_rate_limited"], refused["p_objects"]) == (True, None)
    assert (taken["p_is_rate_limited"], taken["p_objects"]) == (False, LAST.data)
