"""Holds stop sending; `test_claim_transfers.py` shows that nothing held is sent."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.conftest import Connection, login_name
from tests.engine import Engine, success
from tests.mutants import mutant
from tests.schema.refusals import Refusal, refusal

HOLD = "select payout_api.hold(p_scope => %s, p_reason => %s, p_subject => %s)"
UNTIL = (
    "select payout_api.hold(s.scope, 'to look', s.subject, "
    "case when s.until = 'infinity' then 'infinity' else payout.clock() + s.until::interval end) "
    "from (values (%s::text, %s::text, %s::text)) as s (scope, subject, until)"
)


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        ("engine", None),
        ("currency", "usd"),
        ("payee", "seller_1"),
        ("settlement", "set_1"),
        ("transfer", "its id"),
    ],
)
def test_a_hold_is_placed_and_noted_with_who_and_why(
    acted_engine: Engine, scope: str, subject: str | None
) -> None:
    (transfer,) = acted_engine.settle()
    subject = str(transfer) if scope == "transfer" else subject
    hold_id = acted_engine.hold(scope, subject)
    operator = login_name("payout_operator")
    assert acted_engine.db.execute(
        "select hold_id, scope, subject, reason, placed_by, released_at from payout.holds"
    ).fetchall() == [(hold_id, scope, subject, "to look", operator, None)]
    assert acted_engine.db.execute(
        "select action, subject, reason, (details ->> 'hold_id')::bigint, acted_by "
        "from payout.operator_actions where action = 'hold'"
    ).fetchall() == [
        ("hold", " ".join(filter(None, [scope, subject])), "to look", hold_id, operator)
    ]


def test_what_is_on_hold_stays_on_hold_once(engine: Engine) -> None:
    engine.settle()
    first = engine.hold("payee", "seller_1")
    assert engine.hold("payee", "seller_1") == first
    assert len(engine.open_holds()) == 1
    actions = engine.db.execute("select from payout.operator_actions where action = 'hold'")
    assert actions.rowcount == 1


@mutant(
    "a hold that ends sooner stays in place of a longer one",
    "place_hold",
    "and h.expires_at < coalesce(p_until, 'infinity')",
    "and false",
)
@pytest.mark.parametrize("until", [None, "infinity", "2 days"])
def test_a_hold_that_would_end_sooner_gives_way(engine: Engine, until: str | None) -> None:
    """The attack: 'until noon', then for good; at noon the payee was paid."""
    engine.settle()
    sooner = engine.operator.execute(UNTIL, ["payee", "seller_1", "1 hour"]).fetchone()
    engine.sweep()

    later = engine.operator.execute(UNTIL, ["payee", "seller_1", until]).fetchone()

    assert later != sooner
    assert engine.db.execute(
        "select release_reason, expires_at > payout.clock() + interval '1 day' "
        "from payout.holds order by hold_id"
    ).fetchall() == [("a longer hold takes its place", False), (None, until and True)]
    engine.sweep()
    assert engine.claim() == []
    marked = engine.db.execute("select hold_id from payout.transfer_states").fetchall()
    assert marked == [later]


def test_a_hold_that_would_last_longer_stays(engine: Engine) -> None:
    engine.settle()
    first = engine.operator.execute(UNTIL, ["payee", "seller_1", "1 hour"]).fetchone()
    second = engine.operator.execute(UNTIL, ["payee", "seller_1", "30 minutes"]).fetchone()
    assert second == first


def test_who_holds_for_another_reason_is_told_that_it_is_not_kept(engine: Engine) -> None:
    """The attack: held for fraud, on top of a check of papers, and released with the papers."""
    engine.settle()
    said: list[str] = []
    engine.operator.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    (first,) = engine.operator.execute(HOLD, ["payee", "papers", "seller_1"]).fetchone() or (0,)
    engine.operator.execute(HOLD, ["payee", "papers", "seller_1"])
    assert said == []

    engine.operator.execute(HOLD, ["payee", "fraud", "seller_1"])

    assert said == [f"hold {first} is there already, for reason 'papers', which stays"]


def test_an_engine_that_stops_itself_stays_stopped_after_a_hold_of_minutes(
    engine: Engine,
) -> None:
    """A person stopped it for five minutes; what the engine finds meanwhile ends with no time."""
    engine.operator.execute(UNTIL, ["engine", None, "5 minutes"])

    engine.db.execute("select payout.place_hold('engine', null, 'stripe_permission_refused')")

    assert engine.db.execute(
        "select reason, expires_at from payout.holds where released_at is null"
    ).fetchall() == [("stripe_permission_refused", None)]


def test_what_was_released_can_be_held_again(engine: Engine) -> None:
    engine.settle()
    first = engine.hold("settlement", "set_1")
    engine.release_holds()
    assert engine.hold("settlement", "set_1") != first


def test_what_a_worker_holds_already_is_still_taken_when_it_reports(engine: Engine) -> None:
    engine.settle()
    claim = engine.claim_one()
    engine.hold("engine")
    assert engine.report_one(success(claim)) == ("ok", "paid")


@pytest.mark.parametrize(
    ("scope", "reason", "subject", "message"),
    [
        ("galaxy", "why", "x", "cannot hold galaxy x for reason 'why'"),
        (None, "why", "x", "cannot hold null x for reason 'why'"),
        ("engine", "why", "x", "cannot hold engine x for reason 'why'"),
        ("payee", "why", None, "cannot hold payee without subject for reason 'why'"),
        ("engine", " ", None, "cannot hold engine without subject for reason ' '"),
        ("engine", None, None, "cannot hold engine without subject for reason null"),
    ],
)
def test_a_hold_without_what_it_needs_is_refused(
    engine: Engine, scope: str | None, reason: str | None, subject: str | None, message: str
) -> None:
    assert refusal(engine.db, HOLD, [scope, reason, subject]) == Refusal("SP313", message)


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        ("currency", "USD"),
        ("currency", "xxx"),
        ("payee", "seller_9"),
        ("settlement", "set_9"),
        ("transfer", "0"),
        ("transfer", "set_1"),
        ("transfer", "9" * 30),
    ],
)
def test_a_hold_that_would_hold_nothing_is_refused(
    engine: Engine, scope: str, subject: str
) -> None:
    """An operator who mistypes a name must not believe that something has stopped."""
    engine.settle()
    assert refusal(engine.db, HOLD, [scope, "why", subject]) == Refusal(
        "SP310", f"there is no {scope} {subject} to hold"
    )


@pytest.mark.parametrize("role", ["payout_app", "payout_worker", "payout_auditor"])
def test_only_an_operator_may_hold(visit: Callable[..., Connection], role: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        visit(role).execute(HOLD, ["engine", "why", None])
    assert caught.value.diag.message_primary == "permission denied for function hold"
