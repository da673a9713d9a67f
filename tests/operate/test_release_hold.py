"""Stopped transfers go on after a release."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.conftest import Connection, login_name
from tests.engine import Engine, outcome
from tests.schema.refusals import Refusal, refusal, wait_until_blocked

RELEASE = "select payout_api.release_hold(p_hold_id => %s, p_reason => %s)"


def test_what_is_released_is_claimed_again(engine: Engine) -> None:
    engine.settle()
    hold_id = engine.hold("engine")
    assert engine.claim() == []
    engine.db.execute(RELEASE, [hold_id, "looked"])
    assert len(engine.claim()) == 1


def test_the_engine_goes_on_after_a_key_was_refused_and_replaced(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2", "seller_3")
    engine.report(*(outcome(claim, "response", http_status=401) for claim in engine.claim()))
    engine.make_due()
    assert engine.claim() == []
    engine.release_holds()
    assert len(engine.claim()) == 3


def test_a_release_is_noted_with_who_and_why(acted_engine: Engine) -> None:
    hold_id = acted_engine.hold("currency", "usd")
    acted_engine.release_holds()
    operator = login_name("payout_operator")
    assert acted_engine.db.execute(
        "select released_by, release_reason, released_at is not null from payout.holds"
    ).fetchall() == [(operator, "looked", True)]
    assert acted_engine.db.execute(
        "select subject, reason, (details ->> 'hold_id')::bigint, acted_by "
        "from payout.operator_actions where action = 'release'"
    ).fetchall() == [("currency usd", "looked", hold_id, operator)]


def test_releasing_again_changes_nothing(engine: Engine) -> None:
    hold_id = engine.hold("engine")
    engine.db.execute(RELEASE, [hold_id, "looked"])
    engine.db.execute(RELEASE, [hold_id, "looked twice"])
    rows = engine.db.execute(
        "select h.release_reason, (select count(*) from payout.operator_actions as a "
        "where a.action = 'release') from payout.holds as h"
    ).fetchall()
    assert rows == [("looked", 1)]


def test_of_two_releases_at_once_one_counts(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    hold_id = shared_engine.hold("engine")
    other = connect("payout_operator", member=2)
    with ThreadPoolExecutor(1) as pool:
        with shared_engine.operator.transaction():
            shared_engine.operator.execute(RELEASE, [hold_id, "first"])
            second = pool.submit(other.execute, RELEASE, [hold_id, "second"])
            wait_until_blocked(shared_engine.db, other)
        second.result()
    assert shared_engine.db.execute("select release_reason from payout.holds").fetchall() == [
        ("first",)
    ]


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_a_release_without_a_reason_is_refused(engine: Engine, reason: str | None) -> None:
    hold_id = engine.hold("engine")
    assert refusal(engine.db, RELEASE, [hold_id, reason]) == Refusal(
        "SP313", f"cannot release hold {hold_id} without a reason"
    )
    assert len(engine.open_holds()) == 1


def test_releasing_what_was_never_held_is_refused(engine: Engine) -> None:
    assert refusal(engine.db, RELEASE, [10**9, "why"]) == Refusal(
        "SP310", "hold 1000000000 does not exist"
    )


@pytest.mark.parametrize("role", ["payout_app", "payout_worker", "payout_auditor"])
def test_only_an_operator_may_release(visit: Callable[..., Connection], role: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        visit(role).execute(RELEASE, [1, "why"])
    assert caught.value.diag.message_primary == "permission denied for function release_hold"
