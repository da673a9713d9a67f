"""A transfer moves only as the diagram of states says, under every role."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import permutations
from typing import Final

import pytest

from tests.conftest import Connection
from tests.mutants import mutant
from tests.schema import rows
from tests.schema.refusals import Refusal, domain_refusal, refusal_of

STATES: Final = frozenset(
    {
        "scheduled",
        "in_flight",
        "retry_wait",
        "unknown",
        "parked",
        "failed",
        "paid",
        "cancelled",
        "settled_outside",
    }
)
FINAL: Final = frozenset({"paid", "cancelled", "settled_outside"})
# The legal moves, restated and on purpose not read from the database.
LEGAL: Final = frozenset(
    {
        ("scheduled", "in_flight"),
        ("retry_wait", "in_flight"),
        ("unknown", "in_flight"),
        ("in_flight", "paid"),
        ("retry_wait", "paid"),
        ("unknown", "paid"),
        ("parked", "paid"),
        ("in_flight", "failed"),
        ("in_flight", "retry_wait"),
        ("in_flight", "unknown"),
        ("in_flight", "parked"),
        ("retry_wait", "parked"),
        ("unknown", "parked"),
        ("unknown", "failed"),
        ("parked", "failed"),
        ("failed", "scheduled"),
        ("scheduled", "cancelled"),
        ("scheduled", "settled_outside"),
        ("failed", "cancelled"),
        ("failed", "settled_outside"),
        ("scheduled", "parked"),
        ("scheduled", "paid"),
    }
)
# A way from scheduled, where every transfer starts, to each state.
WAYS: Final[dict[str, Sequence[str]]] = {
    "scheduled": [],
    "cancelled": ["cancelled"],
    "settled_outside": ["settled_outside"],
    "in_flight": ["in_flight"],
    **{
        state: ["in_flight", state]
        for state in ("retry_wait", "unknown", "parked", "failed", "paid")
    },
}


def move(db: Connection, payout_transfer_id: int, state: str) -> None:
    """Move a transfer, with everything else as the new state wants it."""
    row = db.execute(
        "select attempt, generation, state from payout.transfer_states "
        "where payout_transfer_id = %s",
        [payout_transfer_id],
    ).fetchone()
    assert row is not None
    attempt, generation, former = row
    if state == "in_flight":
        attempt += 1
    if former == "failed" and state == "scheduled":
        generation += 1
        rows.add_new_key(db, payout_transfer_id, generation)
    changes = {
        "state": state,
        "attempt": attempt,
        "generation": generation,
        "lease_until": None,
        "next_attempt_at": None,
        "stripe_transfer_id": None,
        **rows.COMPANIONS[state],
    }
    if state == "paid":
        changes["stripe_transfer_id"] = f"tr_{payout_transfer_id}"
    rows.update_state(db, payout_transfer_id, changes)


def add_one_in_each_state(db: Connection) -> dict[str, int]:
    transfers = {state: rows.add_transfer(db, f"set_{state}") for state in sorted(STATES)}
    for state, way in WAYS.items():
        for step in way:
            move(db, transfers[state], step)
    return transfers


def test_the_states_and_moves_are_these_and_no_others(db: Connection) -> None:
    assert set(db.execute("select from_state, to_state from payout.state_edges")) == LEGAL
    states = db.execute("select state, is_final from payout.states").fetchall()
    assert dict(states) == {state: state in FINAL for state in STATES}


def test_a_state_is_final_exactly_when_no_move_leads_out_of_it() -> None:
    assert {state for state in STATES if state not in {start for start, _ in LEGAL}} == FINAL


@mutant(
    "an edge from parked to in flight",
    sql=("insert into payout.state_edges values ('parked', 'in_flight', 'why not')"),
    at="as_usual",
)
@mutant(
    "enable trigger _500_move on transfer_states",
    sql=("alter table payout.transfer_states enable trigger _500_move"),
    at="posing_as_a_replica",
)
@mutant(
    "disable trigger _500_move on transfer_states",
    sql=("alter table payout.transfer_states disable trigger _500_move"),
    at="as_usual",
)
@pytest.mark.parametrize("is_replica", [False, True], ids=["as_usual", "posing_as_a_replica"])
def test_only_the_legal_moves_pass_of_all_pairs_of_states(db: Connection, is_replica: bool) -> None:
    transfers = add_one_in_each_state(db)
    if is_replica:
        db.execute("set session_replication_role = replica")
    pairs = list(permutations(sorted(STATES), 2))

    outcomes = {
        (start, end): refusal_of(db, partial(move, db, transfers[start], end))
        for start, end in pairs
    }

    assert outcomes == {
        (start, end): None
        if (start, end) in LEGAL
        else Refusal("SP201", f"transfer cannot move from {start} to {end}")
        for start, end in pairs
    }


def test_a_transfer_moves_to_no_state_that_is_not_listed(db: Connection) -> None:
    payout_transfer_id = rows.add_transfer(db)

    for state in ("sent", "PAID", ""):
        attempt = partial(rows.update_state, db, payout_transfer_id, {"state": state})
        assert refusal_of(db, attempt) == domain_refusal("transfer_state", "state_is_known")


def test_staying_in_a_state_is_no_move(db: Connection) -> None:
    transfers = add_one_in_each_state(db)
    del transfers["paid"]  # does not change at all, see test_progress.py

    for state, payout_transfer_id in transfers.items():
        rows.update_state(db, payout_transfer_id, {"state": state, "reason": "looked_at_again"})


def test_many_rows_in_one_statement_are_each_held_to_the_moves(db: Connection) -> None:
    add_one_in_each_state(db)

    cancel_all = (
        "update payout.transfer_states set state = 'cancelled', next_attempt_at = null "
        "where state in ('scheduled', 'unknown')"
    )
    assert refusal_of(db, lambda: db.execute(cancel_all)) == Refusal(
        "SP201", "transfer cannot move from unknown to cancelled"
    )
