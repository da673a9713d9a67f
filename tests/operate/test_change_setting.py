"""Operators change the engine's numbers with a reason, and no sum of them breaks a rule."""

from __future__ import annotations

import pytest

from tests.conftest import login_name
from tests.engine import Engine
from tests.schema.refusals import Refusal, refusal

CHANGE = "select payout_api.change_setting(%s, %s, %s)"
# Those of the installation, and of the Stripe account, which has a verb of its own.
FIXED = {"is_single_row", "installation_id", "stripe_account_id", "is_livemode"}


def test_a_setting_is_changed_with_who_and_why(acted_engine: Engine) -> None:
    db = acted_engine.db
    assert acted_engine.operator.execute(CHANGE, ["max_tries", "7", "fewer"]).fetchone() == ("7",)
    assert db.execute("select max_tries from payout.engine_settings").fetchone() == (7,)
    assert db.execute(
        "select action, subject, reason, details, acted_by from payout.operator_actions "
        "where action = 'change_setting'"
    ).fetchall() == [
        (
            "change_setting",
            "max_tries",
            "fewer",
            {"old": 50, "new": 7},
            login_name("payout_operator"),
        )
    ]


def test_the_same_value_again_changes_nothing(engine: Engine) -> None:
    engine.operator.execute(CHANGE, ["max_tries", "50", "why"])
    acts = engine.db.execute("select from payout.operator_actions where action = 'change_setting'")
    assert acts.rowcount == 0


def test_each_number_can_be_changed(engine: Engine) -> None:
    """A setting that is added is changed like the others."""
    rows = engine.db.execute(
        "select n.key, n.value #>> '{}' from payout.engine_settings as e, jsonb_each(to_jsonb(e)) n"
    ).fetchall()
    for name, value in rows:
        if name not in FIXED:
            told = {"interval": "25 hours"}.get(name, value)
            engine.operator.execute(CHANGE, [name, told, "why"])
    changed = engine.db.execute(
        "select pg_get_functiondef('payout_api.change_setting(text, text, text)'::regprocedure)"
    ).fetchone()
    assert changed is not None
    assert {name for name, _ in rows} - FIXED == {
        name for name, _ in rows if f"v_settings.{name}" in changed[0]
    }


def test_a_pace_may_be_taken_away_and_no_other_number(engine: Engine) -> None:
    engine.set(sends_per_second=20)
    engine.operator.execute(CHANGE, ["sends_per_second", None, "as fast as Stripe takes it"])
    assert engine.db.execute("select sends_per_second from payout.engine_settings").fetchall() == [
        (None,)
    ]
    assert refusal(engine.operator, CHANGE, ["max_tries", None, "why"]) == Refusal(
        "SP314", "cannot set max_tries to null for reason 'why'"
    )


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("send_window_for", "24 hours", "last_send_ends_before_stripe_forgets_the_key"),
        ("attempt_drain_for", "20 seconds", "attempts_drain_for_a_quarter_of_an_hour"),
        ("http_deadline_for", "40 seconds", "lease_outlasts_the_http_deadline"),
        ("indeterminate_for", "1 hour", "stripe_settles_within_a_day"),
    ],
)
def test_a_value_that_breaks_a_rule_of_safety_is_refused(
    engine: Engine, name: str, value: str, rule: str
) -> None:
    refused = refusal(engine.db, CHANGE, [name, value, "why"])
    assert refused is not None
    assert refused.sqlstate == "23514"
    assert rule in refused.message


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("max_trys", "7", "why"),
        (None, "7", "why"),
        ("max_tries", None, "why"),
        ("max_tries", "7", " "),
        ("max_tries", "many", "why"),
        ("lease_for", "long", "why"),
        *((name, "1", "why") for name in sorted(FIXED)),
    ],
)
def test_a_change_without_what_it_needs_is_refused(
    engine: Engine, name: str | None, value: str | None, reason: str
) -> None:
    refused = refusal(engine.db, CHANGE, [name, value, reason])
    assert refused is not None
    assert refused.sqlstate == "SP314"
