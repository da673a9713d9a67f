"""Stripe's events are read from where they were last read to the end, and each counts once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Connection
from tests.procedures.engine import Engine
from tests.procedures.reconcile.listing import ACCOUNT, Finding, event, findings, listed, ours, pay
from tests.schema.refusals import Refusal, refusal

NEXT = "select query from payout_api.next_events_query(%s, %s)"
REPORT = "select events_new from payout_api.report_events_page(%s, %s, %s, %s)"


def next_query(engine: Engine) -> dict[str, Any]:
    ((query,),) = engine.worker.execute(NEXT, [ACCOUNT, False]).fetchall()
    assert query["types"] == ["transfer.reversed"]
    return dict(query)


def report(
    engine: Engine,
    query: object,
    *events: object,
    after: str | None = None,
    has_more: bool = False,
) -> int:
    """Report a page of events; return how many told something new."""
    parameters = [Jsonb(query), after, Jsonb(list(events)), has_more]
    ((new,),) = engine.worker.execute(REPORT, parameters).fetchall()
    return int(new)


def reversed_minor(engine: Engine) -> dict[str, int]:
    rows = engine.db.execute(
        "select stripe_transfer_id, amount_reversed_minor from payout.reversed_transfers"
    )
    return dict(rows.fetchall())


def test_an_event_tells_that_something_was_taken_back(engine: Engine) -> None:
    pay(engine, "seller_1")
    assert report(engine, next_query(engine), event(1, ours(engine.db, amount_reversed=500))) == 1
    assert reversed_minor(engine) == {"tr_1": 500}
    assert findings(engine) == []


def test_the_same_page_twice_and_older_events_tell_nothing_new(engine: Engine) -> None:
    pay(engine, "seller_1")
    query, there = next_query(engine), ours(engine.db, amount_reversed=500)
    assert report(engine, query, event(1, there)) == 1
    assert report(engine, query, event(1, there)) == 0
    again = {**query, "created": {**query["created"], "lt": query["created"]["lt"] + 1}}
    assert report(engine, again, event(1, there), event(2, {**there, "amount_reversed": 400})) == 0
    assert reversed_minor(engine) == {"tr_1": 500}


def test_of_several_events_of_a_transfer_the_furthest_counts(engine: Engine) -> None:
    pay(engine, "seller_1")
    there = ours(engine.db)
    events = [event(n, {**there, "amount_reversed": amount}) for n, amount in [(2, 900), (1, 500)]]
    assert report(engine, next_query(engine), *events) == 1
    assert reversed_minor(engine) == {"tr_1": 900}


def test_the_next_query_begins_an_hour_before_the_last_one_that_was_read_to_its_end(
    engine: Engine,
) -> None:
    first = next_query(engine)
    assert first["created"]["lt"] - first["created"]["gte"] in range(30 * 86400, 30 * 86400 + 4200)
    report(engine, first, event(1, ours(engine.db, amount_reversed=1)), has_more=True)
    assert abs(next_query(engine)["created"]["gte"] - first["created"]["gte"]) <= 5
    report(engine, first, after="evt_1")
    assert next_query(engine)["created"]["gte"] == first["created"]["lt"] - 3600


def test_an_event_about_a_transfer_that_is_not_known_is_a_discrepancy(engine: Engine) -> None:
    unknown, by_hand = ours(engine.db, amount_reversed=1), listed("tr_9", amount_reversed=1)
    report(engine, next_query(engine), event(1, unknown), event(2, by_hand))
    assert findings(engine) == [
        Finding("unknown_transfer_at_stripe", "tr_1", None),
        Finding("transfer_without_payout_ref", "tr_9", None),
    ]


def test_a_page_of_events_out_of_order_is_refused_and_names_the_one_that_is_next(
    engine: Engine,
) -> None:
    query = next_query(engine)
    statement = [Jsonb(query), "evt_5", Jsonb([]), False]
    assert refusal(engine.db, REPORT, statement) == Refusal(
        "SP341", "events: the page after nothing comes next, not that after evt_5"
    )
    report(engine, query, event(1, ours(engine.db, amount_reversed=1)), has_more=True)
    assert refusal(engine.db, REPORT, statement) == Refusal(
        "SP341", "events: the page after evt_1 comes next, not that after evt_5"
    )


@pytest.mark.parametrize(
    ("events", "has_more", "problem"),
    [
        (None, False, "the page is not an array"),
        ({}, False, "the page is not an array"),
        ([{}], False, "the page holds something without an id"),
        (
            [event(1, {"id": "ch_1", "created": 1})],
            False,
            "the page holds an event that is not about a transfer",
        ),
        (
            [{**event(1, listed()), "id": "tr_1"}],
            False,
            "the page holds something of another kind, or without a time",
        ),
        ([event(1, listed()), event(1, listed())], False, "the page names an object twice"),
        ([], True, "the page is empty, but more are said to follow"),
        ([], None, "nobody says whether more pages follow"),
    ],
)
def test_a_page_of_events_that_is_none_is_refused(
    engine: Engine, events: object, has_more: bool | None, problem: str
) -> None:
    page = events if events is None else Jsonb(events)
    parameters = [Jsonb(next_query(engine)), None, page, has_more]
    assert refusal(engine.db, REPORT, parameters) == Refusal("SP341", f"events: {problem}")


@pytest.mark.parametrize(
    "query",
    [
        None,
        {},
        {"types": ["transfer.reversed"]},
        {"types": ["transfer.created"], "created": {"gte": 0, "lt": 1}},
        {"types": ["transfer.reversed"], "created": {"gte": 0, "lt": 99_999_999_999}},
        {"types": ["transfer.reversed"], "created": {"gte": "x", "lt": 1}},
        # It would leave a gap.
        {"types": ["transfer.reversed"], "created": {"gte": 4_000_000_000, "lt": 1}},
    ],
)
def test_an_answer_to_another_query_is_refused(engine: Engine, query: object) -> None:
    parameters = [query if query is None else Jsonb(query), None, Jsonb([]), False]
    assert refusal(engine.db, REPORT, parameters) == Refusal(
        "SP341", "events: the query was not given out by next_events_query"
    )


def test_another_account_is_not_asked(engine: Engine) -> None:
    next_query(engine)
    assert refusal(engine.db, NEXT, ["acct_2", False]) == Refusal(
        "SP404", "this database does not pay from acct_2 in test mode"
    )


@pytest.mark.parametrize("role", ["payout_app", "payout_operator", "payout_auditor"])
def test_nobody_but_a_worker_reads_events(visit: Callable[..., Connection], role: str) -> None:
    connection = visit(role)
    assert refusal(connection, NEXT, [ACCOUNT, False]) == Refusal(
        "42501", "permission denied for function next_events_query"
    )
    assert refusal(connection, REPORT, [Jsonb({}), None, Jsonb([]), False]) == Refusal(
        "42501", "permission denied for function report_events_page"
    )
