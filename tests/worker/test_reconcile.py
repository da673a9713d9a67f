"""The reconciler reads every page once, one after the other, and repeats transient failures."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from payout_engine import reconcile
from payout_engine.errors import BadArgument
from payout_engine.reconcile import Reconciler
from payout_engine.rows import ReconcileReport, ReconcileRun
from payout_engine.stripe_payout_adapter import Page, Refused, StripePayoutAdapter, Unreadable
from tests.worker.fakes import CANARY, FakeListings, RecordingDatabase, bad_argument

FIRST = Page([{"id": "tr_3"}, {"id": "tr_2"}], has_more=True)
LAST = Page([{"id": "tr_1"}], has_more=False)
EMPTY = Page([], has_more=False)
ACCOUNT = {"p_stripe_account_id": "acct_platform", "p_is_livemode": False}
INCOMPLETE = {"is_complete": False, "verdict": None, "state": None}
BEGUN = {"reconcile_run_id": 3, "query": {"created": {"gte": 1}}, "starting_after": None}
GOING = {"transfers_seen": 2, "discrepancies_found": 0, "is_finished": False}
FINISHED = {"transfers_seen": 3, "discrepancies_found": 0, "is_finished": True}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "FIRST_PAUSE_SECONDS", 0.0)


def make(database: RecordingDatabase, adapter: StripePayoutAdapter, **changes: float) -> Reconciler:
    return Reconciler(
        database=database,
        adapter=adapter,
        worker="test",
        is_livemode=False,
        **{"reads_per_second": 1e6, **changes},
    )


def lookup(number: int, *queries: dict[str, Any]) -> dict[str, Any]:
    return {"lookup_id": number, "payout_transfer_id": 10 * number, "queries": list(queries)}


# Look-ups.


def test_a_look_up_pages_every_query_to_its_end() -> None:
    queries: list[dict[str, Any]] = [
        {"transfer_group": "payout_1"},
        {"destination": "acct_1", "created": {"gte": 1}},
    ]
    database = RecordingDatabase(
        claim_lookups=[[lookup(7, *queries)]], report_lookup_page=[[INCOMPLETE]]
    )
    adapter = FakeListings(FIRST, LAST, LAST)
    asyncio.run(make(database, adapter).look_up())
    assert adapter.asked == [
        ("/v1/transfers", queries[0]),
        ("/v1/transfers", {**queries[0], "starting_after": "tr_2"}),
        ("/v1/transfers", queries[1]),
    ]
    assert database.arguments("claim_lookups") == [ACCOUNT | {"p_worker": "test", "p_limit": 3}]
    first, second, third = database.arguments("report_lookup_page")
    assert first == {
        "p_lookup_id": 7,
        "p_query_number": 0,
        "p_query": queries[0],
        "p_starting_after": None,
        "p_transfers": FIRST.data,
        "p_has_more": True,
    }
    assert (second["p_starting_after"], second["p_has_more"]) == ("tr_2", False)
    assert (third["p_query_number"], third["p_query"]) == (1, queries[1])
    assert third["p_starting_after"] is None


def test_look_ups_are_claimed_until_fewer_are_due_than_were_asked_for() -> None:
    database = RecordingDatabase(
        claim_lookups=[[lookup(n, {}) for n in (1, 2, 3)], [lookup(4, {})]],
        report_lookup_page=[[INCOMPLETE]],
    )
    asyncio.run(make(database, FakeListings(*[LAST] * 4)).look_up())
    assert len(database.arguments("claim_lookups")) == 2
    assert len(database.arguments("report_lookup_page")) == 4


def test_no_due_look_up_means_one_call_and_no_request() -> None:
    database = RecordingDatabase(claim_lookups=[[]])
    adapter = FakeListings()
    asyncio.run(make(database, adapter).look_up())
    assert (len(database.calls), adapter.asked) == (1, [])


@pytest.mark.parametrize(("verdict", "level"), [("ok", "INFO"), ("alarm", "ERROR")])
def test_the_verdict_of_a_look_up_is_logged_and_an_alarm_at_error(
    caplog: pytest.LogCaptureFixture, verdict: str, level: str
) -> None:
    caplog.set_level("INFO")
    decided = {"is_complete": True, "verdict": verdict, "state": "parked"}
    database = RecordingDatabase(claim_lookups=[[lookup(7, {})]], report_lookup_page=[[decided]])
    asyncio.run(make(database, FakeListings(LAST)).look_up())
    [record] = caplog.records
    assert record.levelname == level
    assert record.getMessage() == f"looked for transfer 70 -> {verdict}, parked"


def test_a_look_up_that_fails_delays_no_other(caplog: pytest.LogCaptureFixture) -> None:
    database = RecordingDatabase(
        claim_lookups=[[lookup(1, {}), lookup(2, {})]], report_lookup_page=[[INCOMPLETE]]
    )
    adapter = FakeListings(Refused(404, f"No such thing {CANARY}"), LAST)
    asyncio.run(make(database, adapter).look_up())
    assert len(database.arguments("report_lookup_page")) == 1
    assert "a reading failed, and comes up again: Refused('HTTP status 404" in caplog.text
    assert CANARY not in caplog.text


def test_a_failure_of_all_look_ups_is_raised_and_no_more_are_claimed() -> None:
    database = RecordingDatabase(claim_lookups=[[lookup(n, {}) for n in (1, 2, 3)]])
    adapter = FakeListings(*[Refused(401, "Invalid API Key")] * 3)
    with pytest.raises(Refused, match="HTTP status 401"):
        asyncio.run(make(database, adapter).look_up())
    assert len(database.arguments("claim_lookups")) == 1


# Events.


def test_events_are_reported_page_by_page_with_the_query_as_it_was_given_out() -> None:
    query = {"types": ["transfer.reversed"], "created": {"gte": 1}}
    database = RecordingDatabase(
        next_events_query=[[{"query": query}]], report_events_page=[[{"events_new": 2}]]
    )
    adapter = FakeListings(FIRST, LAST)
    asyncio.run(make(database, adapter).read_events())
    assert adapter.asked[0] == ("/v1/events", query)
    assert database.arguments("next_events_query") == [ACCOUNT]
    assert database.arguments("report_events_page") == [
        {
            "p_query": query,
            "p_starting_after": None,
            "p_events": FIRST.data,
            "p_has_more": True,
        },
        {
            "p_query": query,
            "p_starting_after": "tr_2",
            "p_events": LAST.data,
            "p_has_more": False,
        },
    ]


# Reversals.


def test_all_reversals_of_a_transfer_are_reported_at_once() -> None:
    database = RecordingDatabase(
        claim_reversal_lookups=[[{"stripe_transfer_id": "tr_5"}], []],
        report_reversals=[[{"reversals_booked": 3, "is_complete": True}]],
    )
    adapter = FakeListings(FIRST, LAST)
    asyncio.run(make(database, adapter).book_reversals())
    assert {path for path, _ in adapter.asked} == {"/v1/transfers/tr_5/reversals"}
    assert database.arguments("claim_reversal_lookups")[0] == ACCOUNT | {
        "p_worker": "test",
        "p_limit": 3,
    }
    [report] = database.arguments("report_reversals")
    assert report == {"p_stripe_transfer_id": "tr_5", "p_reversals": FIRST.data + LAST.data}


def test_reversals_that_do_not_add_up_are_left_to_the_next_time() -> None:
    database = RecordingDatabase(
        claim_reversal_lookups=[[{"stripe_transfer_id": "tr_5"}]],  # again and again
        report_reversals=[[{"reversals_booked": 0, "is_complete": False}]],
    )
    adapter = FakeListings(EMPTY)
    asyncio.run(make(database, adapter).book_reversals())
    assert len(adapter.asked) == 1


# Runs.


def test_a_run_goes_on_after_its_last_page_and_shows_its_progress() -> None:
    begun = BEGUN | {"starting_after": "tr_9"}
    database = RecordingDatabase(begin_reconcile=[[begun]], report_reconcile_page=[[FINISHED]])
    adapter = FakeListings(LAST)
    seen: list[ReconcileRun | ReconcileReport] = []
    assert asyncio.run(make(database, adapter).reconcile(seen.append)) == FINISHED
    assert seen == [begun, FINISHED]
    assert adapter.asked == [("/v1/transfers", {"created": {"gte": 1}, "starting_after": "tr_9"})]
    assert database.arguments("begin_reconcile") == [ACCOUNT | {"p_worker": "test"}]
    assert database.arguments("report_reconcile_page") == [
        {
            "p_reconcile_run_id": 3,
            "p_query": {"created": {"gte": 1}},
            "p_starting_after": "tr_9",
            "p_transfers": LAST.data,
            "p_has_more": False,
        }
    ]


@pytest.mark.parametrize(("found", "level"), [(0, "INFO"), (2, "WARNING")])
def test_the_end_of_a_run_is_logged_and_at_warning_with_discrepancies(
    caplog: pytest.LogCaptureFixture, found: int, level: str
) -> None:
    caplog.set_level("INFO")
    database = RecordingDatabase(
        begin_reconcile=[[BEGUN]],
        report_reconcile_page=[[FINISHED | {"discrepancies_found": found}]],
    )
    asyncio.run(make(database, FakeListings(LAST)).reconcile())
    [record] = caplog.records
    assert record.levelname == level
    assert record.getMessage() == f"compared 3 transfers of Stripe's: {found} discrepancies"


def test_a_process_that_falls_behind_another_goes_on_where_that_one_is() -> None:
    database = RecordingDatabase(
        begin_reconcile=[[BEGUN], [BEGUN | {"starting_after": "tr_2"}]],
        report_reconcile_page=[bad_argument("the cursor expected is tr_2"), [FINISHED]],
    )
    adapter = FakeListings(FIRST, LAST)
    assert asyncio.run(make(database, adapter).reconcile()) == FINISHED
    assert adapter.asked[1][1]["starting_after"] == "tr_2"


def test_a_process_goes_on_after_a_restore_with_the_run_that_has_the_number_now() -> None:
    whole = BEGUN | {"query": {"created": {"gte": 0}}}
    database = RecordingDatabase(
        begin_reconcile=[[BEGUN], [whole]],
        report_reconcile_page=[
            bad_argument("another query than this database gave out"),
            [FINISHED],
        ],
    )
    adapter = FakeListings(LAST, LAST)
    assert asyncio.run(make(database, adapter).reconcile()) == FINISHED
    assert adapter.asked[1] == ("/v1/transfers", whole["query"])


def test_a_page_that_is_refused_for_another_reason_is_raised() -> None:
    database = RecordingDatabase(
        begin_reconcile=[[BEGUN]], report_reconcile_page=[bad_argument("no page")]
    )
    with pytest.raises(BadArgument, match="no page"):
        asyncio.run(make(database, FakeListings(FIRST)).reconcile())


def everything(**answers: list[Any]) -> RecordingDatabase:
    """Return a database with something to read of each kind; keyword arguments change an answer."""
    return RecordingDatabase(
        **{
            "claim_lookups": [[lookup(1, {})]],
            "report_lookup_page": [[INCOMPLETE]],
            "next_events_query": [[{"query": {}}]],
            "report_events_page": [[{"events_new": 2}]],
            "begin_reconcile": [[BEGUN]],
            "report_reconcile_page": [[FINISHED]],
            "claim_reversal_lookups": [[{"stripe_transfer_id": "tr_5"}], []],
            "report_reversals": [[{"reversals_booked": 4, "is_complete": True}]],
            **answers,
        }
    )


def test_everything_is_read_and_reversals_last() -> None:
    database = everything()
    found = asyncio.run(make(database, FakeListings(LAST, FIRST, LAST, LAST, LAST)).run())
    assert found == {
        "look-ups": 1,
        "new events": 4,
        "reversals booked": 4,
        "transfers compared": 3,
        "discrepancies found": 0,
    }
    assert [function for function, _ in database.calls] == [
        "claim_lookups",
        "report_lookup_page",
        "next_events_query",
        "report_events_page",
        "report_events_page",
        "begin_reconcile",
        "report_reconcile_page",
        "claim_reversal_lookups",
        "report_reversals",
        "claim_reversal_lookups",
    ]


def test_a_key_that_may_read_no_events_compares_transfers_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    adapter = FakeListings(LAST, Refused(403, "no permission"), LAST, LAST)
    found = asyncio.run(make(everything(), adapter).run())
    assert (found["new events"], found["transfers compared"]) == (None, 3)
    assert "reading events failed, and comes up again: Refused('HTTP status 403" in caplog.text


def test_a_comparison_that_fails_is_raised() -> None:
    adapter = FakeListings(LAST, LAST, Refused(403, "no permission"))
    with pytest.raises(Refused, match="no permission"):
        asyncio.run(make(everything(), adapter).run())


# Pages that fail.


@pytest.mark.parametrize(
    "failure",
    [
        Refused(429, "slow down"),
        Refused(500, "no"),
        aiohttp.ClientError(),
        TimeoutError(),
        Unreadable("half a page"),
    ],
)
def test_a_page_with_a_transient_failure_is_read_again(failure: Exception) -> None:
    database = RecordingDatabase(
        next_events_query=[[{"query": {}}]], report_events_page=[[{"events_new": 0}]]
    )
    adapter = FakeListings(failure, failure, LAST)
    asyncio.run(make(database, adapter).read_events())
    assert len(adapter.asked) == 3
    assert len(database.arguments("report_events_page")) == 1


def test_a_page_that_keeps_failing_is_given_up() -> None:
    database = RecordingDatabase(next_events_query=[[{"query": {}}]])
    adapter = FakeListings(*[Refused(503, "down")] * 10)
    with pytest.raises(Refused, match="HTTP status 503: down"):
        asyncio.run(make(database, adapter).read_events())
    assert len(adapter.asked) == reconcile.TRIES


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
def test_a_page_that_is_refused_for_good_is_not_read_again(status: int) -> None:
    adapter = FakeListings(Refused(status, "no"))
    database = RecordingDatabase(next_events_query=[[{"query": {}}]])
    with pytest.raises(Refused, match=f"HTTP status {status}"):
        asyncio.run(make(database, adapter).read_events())
    assert len(adapter.asked) == 1


def test_reads_keep_their_distance() -> None:
    database = RecordingDatabase(
        next_events_query=[[{"query": {}}]], report_events_page=[[{"events_new": 0}]]
    )
    adapter = FakeListings(*[FIRST] * 5, LAST)
    began = time.monotonic()
    asyncio.run(make(database, adapter, reads_per_second=50).read_events())
    assert time.monotonic() - began >= 5 / 50
