"""The protocol is explored whole, and each unsafe variant of it is caught.

PAYOUT_MODEL=long explores three attempts in place of two.
"""

from __future__ import annotations

import os
from typing import Any, Final

import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Connection
from tests.engine import Engine, outcome
from tests.model.explore import explore
from tests.model.protocol import (
    ANSWERS,
    DEFINITE,
    EDGES,
    FALSE_FAILURE,
    FORGOTTEN_KEY,
    REACTIONS,
    STUCK,
    TWO_EFFECTS,
    Rules,
)

IS_LONG: Final = os.environ.get("PAYOUT_MODEL") == "long"

NO_ANSWERS: Final[dict[str, Any]] = {"answers": frozenset()}
ONE_WORKER: Final[dict[str, Any]] = {"workers": 1}
ONE_TRY: Final[dict[str, Any]] = {"workers": 1, "max_tries": 1}

# variant, the property it must break, and the smallest exploration that shows it. A state of
# a smaller world exists in the whole one too, which has every move of it and more.
CONTROLS: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("a key per attempt", TWO_EFFECTS, ONE_WORKER),
    ("no 24-hour limit", FORGOTTEN_KEY, ONE_TRY),
    ("no 24-hour limit", TWO_EFFECTS, NO_ANSWERS | ONE_WORKER),
    ("a non-saved 4xx is final", FALSE_FAILURE, ONE_WORKER | {"answers": frozenset({"refused"})}),
    (
        "a new key after a 4xx",
        TWO_EFFECTS,
        {"answers": frozenset({"refused"}), "attempts": 3, "workers": 1, "max_tries": 2},
    ),
    ("absence at once", TWO_EFFECTS, NO_ANSWERS | ONE_TRY),
    ("absence before the attempts drained", TWO_EFFECTS, NO_ANSWERS | ONE_TRY),
    (
        "absence 15 minutes after a 500",
        TWO_EFFECTS,
        ONE_TRY | {"answers": frozenset({"failed_500"})},
    ),
    (
        "absence a day after a reported answer only",
        TWO_EFFECTS,
        ONE_TRY | {"answers": frozenset({"failed_500"})},
    ),
    ("one scan is enough", TWO_EFFECTS, NO_ANSWERS | ONE_TRY),
    ("scans without an hour between", TWO_EFFECTS, NO_ANSWERS | ONE_TRY),
    ("no fence", FALSE_FAILURE, {"answers": frozenset({"unfunded"}), "max_tries": 1}),
    ("no check before the send", TWO_EFFECTS, NO_ANSWERS | ONE_TRY),
    ("a new key after a 500", TWO_EFFECTS, ONE_TRY | {"answers": frozenset({"failed_500"})}),
    ("parked can be claimed", TWO_EFFECTS, NO_ANSWERS | ONE_WORKER),
    ("unknown is forgotten", FALSE_FAILURE, ONE_WORKER | {"answers": frozenset({"refused"})}),
    ("the drain is too short", TWO_EFFECTS, NO_ANSWERS | ONE_WORKER),
    ("the window reaches Stripe's memory", FORGOTTEN_KEY, NO_ANSWERS | ONE_TRY),
    ("parked is not looked up", STUCK, NO_ANSWERS | ONE_TRY),
)

SAVED: Final = {"should_retry": "false"}
# An answer of each class, as a worker reports it.
ANSWERS_OF_STRIPE: Final[dict[str, dict[str, Any]]] = {
    "not_sent": {"signal": "not_sent"},
    "no_response": {"signal": "no_response"},
    "rate_limited": {"http_status": 429, "rate_limited_reason": "global-rate"},
    "unauthorized": {"http_status": 401},
    "key_in_use": {"http_status": 409, "error_code": "idempotency_key_in_use"},
    "refused": {"http_status": 404, "error_code": "resource_missing"},
    "unfunded": SAVED | {"http_status": 400, "error_code": "balance_insufficient"},
    "declined": SAVED | {"http_status": 400, "error_code": "transfers_not_allowed"},
    "failed_500": {"http_status": 500},
    "replayed_500": {"http_status": 500, "is_replayed": True},
    "may_execute_later": {"http_status": 400, "error_code": "approval_required"},
}


def rules_of(connection: Connection) -> dict[str, Any]:
    """Return the moves and reactions of a database, for the model to run by."""
    edges = connection.execute("select from_state, to_state from payout.state_edges")
    reactions = {
        name: connection.execute(
            "select (payout.match_error_rule(jsonb_populate_record(null::payout.outcome, %s)))"
            ".reaction",
            [Jsonb({"signal": "response"} | answer)],
        ).fetchall()[0][0]
        for name, answer in ANSWERS_OF_STRIPE.items()
    }
    return {"edges": frozenset(edges.fetchall()), "reactions": reactions}


@pytest.mark.long
@pytest.mark.timeout(3600 if IS_LONG else 300)
def test_the_rules_of_the_database_are_safe_in_every_state(workbench: Connection) -> None:
    found = explore(Rules(attempts=3 if IS_LONG else 2, **rules_of(workbench)))
    print(f"{found.states} states, {found.steps} steps")
    assert found.counterexample is None, f"\n{found.counterexample}"
    assert found.states >= 200_000


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("variant", "broken", "bounds"), CONTROLS)
def test_an_unsafe_variant_is_caught(variant: str, broken: str, bounds: dict[str, Any]) -> None:
    found = explore(Rules(unsafe=frozenset({variant}), **({"attempts": 2} | bounds)), only=broken)
    print(f"{variant}: {found.counterexample}")
    assert found.counterexample is not None
    assert found.counterexample.broken == broken


def test_the_model_knows_every_reaction(workbench: Connection) -> None:
    used = workbench.execute(
        "select distinct reaction from payout.stripe_error_rules where signal <> 'looked_up'"
    )
    assert {reaction for (reaction,) in used} == set(REACTIONS.values())


def test_the_model_reacts_as_the_database_does(workbench: Connection) -> None:
    assert rules_of(workbench)["reactions"] == REACTIONS
    assert set(ANSWERS) <= set(REACTIONS)


def test_the_model_makes_the_moves_of_the_database_but_cancelling(workbench: Connection) -> None:
    assert rules_of(workbench)["edges"] == EDGES | {("scheduled", "cancelled")}


def test_the_times_of_the_database_are_in_the_order_that_the_model_takes_for_granted(
    workbench: Connection,
) -> None:
    in_order = workbench.execute(
        "select http_deadline_for < lease_for, http_deadline_for <= attempt_drain_for, "
        "lease_for + attempt_drain_for < interval '1 hour', "
        "send_window_for + lease_for + attempt_drain_for < interval '24 hours', "
        "indeterminate_for >= interval '24 hours', scans_apart_for >= interval '1 hour' "
        "from payout.engine_settings"
    )
    assert in_order.fetchall() == [(True, True, True, True, True, True)]


def test_the_model_takes_the_same_declines_for_definite_as_the_database(
    workbench: Connection,
) -> None:
    definite = set()
    with workbench.transaction(force_rollback=True):
        engine = Engine(workbench)
        names = list(ANSWERS_OF_STRIPE)
        engine.settle(*(f"seller_{number}" for number in range(len(names))))
        for name, claim in zip(names, engine.claim(), strict=True):
            answer = {"signal": "response"} | ANSWERS_OF_STRIPE[name]
            engine.report(outcome(claim, **answer))
            is_definite = workbench.execute(
                "select payout.is_definite(a) from payout.transfer_attempts as a "
                "where payout_transfer_id = %s",
                [claim.payout_transfer_id],
            )
            if is_definite.fetchall() == [(True,)]:
                definite.add(name)
    assert definite == DEFINITE - {"success"}
