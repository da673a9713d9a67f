"""Stripe's events are read from where they were last read to the end, and each counts once."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Connection
from tests.engine import Engine, unguarded
from tests.mutants import mutant
from tests.reconcile.listing import (
    ACCOUNT,
    Discrepancy,
    Taken,
    begin,
    discrepancies,
    event,
    listed,
    ours,
    pay,
    reconcile,
)
from tests.reconcile.listing import report as report_list
from tests.schema.refusals import Refusal, refusal, wait_until_blocked

pytestmark = pytest.mark.usefixtures("names_account")

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


def wait_until_it_ends_or_waits(db: Connection, other: Connection, act: Future[Taken]) -> None:
    """Wait until the other connection has acted, or waits for somebody."""
    blockers = "select cardinality(pg_blocking_pids(%s))"
    while not act.done() and db.execute(blockers, [other.info.backend_pid]).fetchall() == [(0,)]:
        time.sleep(0.01)


def test_an_event_tells_that_something_was_taken_back(engine: Engine) -> None:
    pay(engine, "seller_1")
    assert report(engine, next_query(engine), event(1, ours(engine.db, amount_reversed=500))) == 1
    assert reversed_minor(engine) == {"tr_1": 500}
    assert discrepancies(engine) == []


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


@mutant(
    "a watermark that moves before the last page",
    "events_read_until",
    "where not p.has_more",
    "where true",
)
def test_the_next_query_begins_a_day_before_the_last_one_that_was_read_to_its_end(
    engine: Engine,
) -> None:
    first = next_query(engine)
    assert first["created"]["lt"] - first["created"]["gte"] in range(31 * 86400, 31 * 86400 + 600)
    report(engine, first, event(1, ours(engine.db, amount_reversed=1)), has_more=True)
    assert abs(next_query(engine)["created"]["gte"] - first["created"]["gte"]) <= 5
    report(engine, first, after="evt_1")
    assert next_query(engine)["created"]["gte"] == first["created"]["lt"] - 86400


@mutant(
    "a watermark ahead of the clock",
    "events_read_until",
    "p.created_until < payout.clock() + interval '10 minutes'",
    "true",
)
def test_what_was_read_by_a_clock_that_has_since_been_set_back_is_read_again(
    engine: Engine,
) -> None:
    """Else a day of events would be left out once the clock has caught up."""
    first = next_query(engine)
    report(engine, first)
    with unguarded(engine.db, "payout.event_pages"):
        engine.db.execute(
            "update payout.event_pages set created_until = created_until + interval '1 day'"
        )
    again = next_query(engine)
    assert again["created"]["gte"] - first["created"]["gte"] <= 5
    again["created"]["lt"] += 1
    assert report(engine, again, event(1, ours(engine.db, amount_reversed=1))) == 1


def test_a_page_of_events_and_one_of_the_list_wait_for_each_other(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    """They take rows of transfers and of reversals in the same order."""
    first, _ = shared_engine.settle("seller_1", "seller_2")
    shared_engine.claim()
    db, other = shared_engine.db, connect("payout_worker")

    def page(**changes: object) -> list[dict[str, Any]]:
        return [
            ours(db, f"tr_{number}", payee_id=f"seller_{number}", **changes) for number in (1, 2)
        ]

    reconcile(db, *page(amount=7))
    taken_back = page(amount=7, amount_reversed=1)
    query, run = next_query(shared_engine), begin(db)
    row = "select from payout.transfer_states where payout_transfer_id = %s for update"
    events = [event(number, transfer) for number, transfer in enumerate(taken_back)]
    with ThreadPoolExecutor(2) as pool:
        with db.transaction():
            db.execute(row, [first])
            read = pool.submit(report, shared_engine, query, *events)
            wait_until_blocked(db, shared_engine.worker)
            listed_last = pool.submit(report_list, other, run, taken_back[1])
            wait_until_it_ends_or_waits(db, other, listed_last)
        assert listed_last.result().is_finished
        assert read.result() in (1, 2)


def test_an_event_about_a_transfer_that_is_not_known_is_a_discrepancy(engine: Engine) -> None:
    unknown, by_hand = ours(engine.db, amount_reversed=1), listed("tr_9", amount_reversed=1)
    report(engine, next_query(engine), event(1, unknown), event(2, by_hand))
    assert discrepancies(engine) == [
        Discrepancy("unknown_transfer_at_stripe", "tr_1", None),
        Discrepancy("transfer_without_payout_ref", "tr_9", None),
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
        ([], None, "the page does not say whether more pages follow"),
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
