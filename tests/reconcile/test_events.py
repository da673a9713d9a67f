"""Stripe's events are read from where they were last read to the end, and each counts once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import Connection
from tests.engine import Engine, unguarded
from tests.reconcile.listing import (
    Discrepancy,
    Read,
    Taken,
    carry,
    claim,
    discrepancies,
    event,
    listed,
    ours,
    pay,
    reconcile,
    refusal_by,
)
from tests.reconcile.listing import begin as begin_comparison
from tests.reconcile.listing import report as report_list
from tests.schema.refusals import refusal_of, wait_until_blocked

pytestmark = pytest.mark.usefixtures("names_account")

CREATED = 1_700_000_000


def begin(engine: Engine) -> Read:
    """Begin to read events, or go on."""
    (read,) = claim(engine.worker, "events")
    assert read.path == "/v1/events"
    assert read.parameters["types"] == ["transfer.reversed"]
    return read


def report(
    engine: Engine,
    read: Read,
    *events: object,
    after: str | None = None,
    has_more: bool = False,
) -> int:
    """Report a page of events; return how many the read has found so far."""
    _, _, found, *_ = carry(engine.worker, read, *events, after=after, has_more=has_more)
    return found


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
    assert report(engine, begin(engine), event(1, ours(engine.db, amount_reversed=500))) == 1
    assert reversed_minor(engine) == {"tr_1": 500}
    assert discrepancies(engine) == []


def test_the_same_page_twice_and_older_events_tell_nothing_new(engine: Engine) -> None:
    pay(engine, "seller_1")
    read, there = begin(engine), ours(engine.db, amount_reversed=500)
    assert report(engine, read, event(1, there)) == 1
    assert report(engine, read, event(1, there)) == 1  # the answer of before
    again = begin(engine)
    assert report(engine, again, event(1, there), event(2, {**there, "amount_reversed": 400})) == 0
    assert reversed_minor(engine) == {"tr_1": 500}


def test_of_several_events_of_a_transfer_the_furthest_counts(engine: Engine) -> None:
    pay(engine, "seller_1")
    there = ours(engine.db)
    events = [event(n, {**there, "amount_reversed": amount}) for n, amount in [(2, 900), (1, 500)]]
    assert report(engine, begin(engine), *events) == 1
    assert reversed_minor(engine) == {"tr_1": 900}


def test_the_next_read_begins_a_day_before_the_newest_event_of_the_last(engine: Engine) -> None:
    """Stripe keeps events for 30 days: without a former read, all of them are read."""
    first = begin(engine)
    assert first.gte is None
    there = ours(engine.db, amount_reversed=1)
    report(engine, first, event(1, there, created=CREATED), has_more=True)
    going_on = begin(engine)
    assert (going_on.read_id, going_on.gte) == (first.read_id, None)
    report(engine, first, after="evt_1")
    assert begin(engine).gte == CREATED - 86400


def test_a_wrong_clock_of_ours_hides_no_event(engine: Engine) -> None:
    report(engine, begin(engine), event(1, listed(), created=CREATED))
    with unguarded(engine.db, "payout.stripe_reads"):
        engine.db.execute("update payout.stripe_reads set begun_at = begun_at - interval '1 year'")
    assert begin(engine).gte == CREATED - 86400


def test_a_page_of_events_and_one_of_the_list_wait_for_each_other(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    """They take rows of transfers and of reversals in the same order."""
    db, other = shared_engine.db, connect("payout_worker")

    def page(**changes: object) -> list[dict[str, Any]]:
        return [
            ours(db, f"tr_{number}", payee_id=f"seller_{number}", **changes) for number in (1, 2)
        ]

    reconcile(db, *page(amount=7))
    first, _ = shared_engine.settle("seller_1", "seller_2")
    taken_back = page(amount=7, amount_reversed=1)
    read, run = begin(shared_engine), begin_comparison(db)
    row = "select from payout.transfer_states where payout_transfer_id = %s for update"
    events = [event(number, transfer) for number, transfer in enumerate(taken_back)]
    with ThreadPoolExecutor(2) as pool:
        with db.transaction():
            db.execute(row, [first])
            telling = pool.submit(report, shared_engine, read, *events)
            wait_until_blocked(db, shared_engine.worker)
            listed_last = pool.submit(report_list, other, run, taken_back[1], has_more=True)
            wait_until_it_ends_or_waits(db, other, listed_last)
        assert listed_last.result().objects_seen == 1
        assert telling.result() in (1, 2)


def test_an_event_about_a_transfer_that_is_not_known_is_a_discrepancy(engine: Engine) -> None:
    unknown, by_hand = ours(engine.db, amount_reversed=1), listed("tr_9", amount_reversed=1)
    report(engine, begin(engine), event(1, unknown), event(2, by_hand))
    assert discrepancies(engine) == [
        Discrepancy("unknown_transfer_at_stripe", "tr_1", None),
        Discrepancy("transfer_without_payout_ref", "tr_9", None),
    ]


def test_a_page_of_events_out_of_order_is_refused(engine: Engine) -> None:
    read = begin(engine)
    first = json.dumps({"types": ["transfer.reversed"]})
    late = json.dumps({"types": ["transfer.reversed"], "starting_after": "evt_5"})
    assert refusal_of(engine.db, lambda: report(engine, read, after="evt_5")) == refusal_by(
        read, f"the page of {first} comes next, not that of {late}"
    )


@pytest.mark.parametrize(
    "strange",
    [event(7, {"id": "ch_1", "created": 1}), event(7, listed()) | {"data": None}, 7, {}],
    ids=repr,
)
def test_an_event_that_cannot_be_read_is_set_aside_and_stops_no_other(
    engine: Engine, strange: object
) -> None:
    pay(engine, "seller_1")
    there = event(1, ours(engine.db, amount_reversed=500))
    assert report(engine, begin(engine), strange, there) == 1
    assert [finding.kind for finding in discrepancies(engine)] == ["unreadable_at_stripe"]
