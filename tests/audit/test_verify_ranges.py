"""A function that verifies everything takes a range, says how far it is, and goes on from there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from tests.conftest import ROOT, Connection
from tests.engine import Engine, success, unguarded
from tests.mutants import mutant
from tests.schema.refusals import Refusal, refusal

Rows = list[tuple[Any, ...]]
SETTLEMENTS: Final = tuple(f"set_{number}" for number in range(1, 7))
BROKEN: Final = 3
DAMAGE: Final = {
    "verify_settlements": (
        "payout.settlement_lines",
        "update payout.settlement_lines set amount_minor = 9 where settlement_id = 'set_3'",
    ),
    "verify_books": (
        "payout.ledger_entries",
        "update payout.ledger_entries set generation = 2 where kind = 'obligation' "
        "and payout_transfer_id = {transfer}",
    ),
    "verify_projection": (
        "payout.transfer_states",
        "update payout.transfer_states set tries = 7 where payout_transfer_id = {transfer}",
    ),
}
TABLES: Final = tuple(
    f"payout.{name}"
    for name in (
        "settlements",
        "settlement_lines",
        "transfer_states",
        "ledger_entries",
        "outcomes",
    )
)
# Steps of two, so that few rows make several.
SHORT_STEPS: Final = {
    "verify_settlements": (
        "verify_settlements(text,text)",
        "payout_api",
        "offset 9999",
        "offset 1",
    ),
    "verify_books": ("end_of_step(bigint,bigint)", "payout", "offset 50000", "offset 2"),
    "verify_projection": ("end_of_step(bigint,bigint)", "payout", "offset 50000", "offset 2"),
}


@pytest.fixture
def transfers(engine: Engine) -> list[int]:
    """Six transfers of six settlements, of which four are paid."""
    made = [engine.settle(settlement_id=name)[0] for name in SETTLEMENTS]
    engine.report(
        *(
            success(claim, stripe_transfer_id=f"tr_{claim.payout_transfer_id}")
            for claim in engine.claim(4)
        )
    )
    # A table is not altered while its foreign keys are still to be checked.
    engine.db.execute("set constraints all immediate")
    return made


def verified(db: Connection, function: str, *bounds: object) -> Rows:
    """Return what a function finds, of all or between two bounds."""
    arguments = "p_from => %s, p_to => %s" if bounds else ""
    return db.execute(
        f"select * from payout_api.{function}({arguments})", bounds or None
    ).fetchall()


def bounds_of(function: str, transfers: list[int]) -> list[Any]:
    """Return the ids that are verified, in their order."""
    return list(SETTLEMENTS) if function == "verify_settlements" else transfers


@contextmanager
def damaged(db: Connection, function: str, transfers: list[int]) -> Iterator[None]:
    """Break the third of those that are verified."""
    table, change = DAMAGE[function]
    with db.transaction(force_rollback=True):
        with unguarded(db, table):
            db.execute(change.format(transfer=transfers[BROKEN - 1]).encode())
        yield


@contextmanager
def told(db: Connection) -> Iterator[list[str]]:
    """Collect the notices of a session."""
    notices: list[str] = []
    handler = lambda diagnostic: notices.append(diagnostic.message_primary)  # noqa: E731
    db.add_notice_handler(handler)
    yield notices
    db.remove_notice_handler(handler)


def make_steps_short(db: Connection, function: str) -> None:
    """Let a function say how far it is after each two."""
    signature, schema, old, new = SHORT_STEPS[function]
    ((text,),) = db.execute(
        "select pg_get_functiondef(%s::regprocedure)", [f"{schema}.{signature}"]
    ).fetchall()
    assert text.count(old) == 1
    db.execute(text.replace(old, new).encode())


@mutant(
    "transfers of other settlements are compared",
    "check_settlements",
    "where t.settlement_id between p_from and p_to\n",
    "where true\n",
    at="verify_settlements",
)
@mutant(
    "entries of other transfers are checked",
    "check_entries",
    "where e.payout_transfer_id between p_from and p_to\n            and (",
    "where (",
    at="verify_books",
)
@mutant(
    "progress of other transfers is compared",
    "check_projection",
    "where s.payout_transfer_id between p_from and p_to\n    ) as s",
    "    ) as s",
    at="verify_projection",
)
@pytest.mark.parametrize("function", DAMAGE)
def test_a_range_names_the_fault_within_it_and_none_outside(
    engine: Engine, transfers: list[int], function: str
) -> None:
    db, ids = engine.db, bounds_of(function, transfers)
    assert verified(db, function) == []
    with damaged(db, function, transfers):
        everything = verified(db, function)
        assert everything != []
        for first, last in ((1, 6), (3, 3), (1, 3), (3, 6)):
            assert verified(db, function, ids[first - 1], ids[last - 1]) == everything
        assert verified(db, function, ids[2], None) == everything
        assert verified(db, function, None, ids[2]) == everything
        for first, last in ((1, 2), (4, 6), (5, 1)):
            assert verified(db, function, ids[first - 1], ids[last - 1]) == []
        assert verified(db, function, ids[3], None) == []
        assert verified(db, function, None, ids[1]) == []


@mutant(
    "a step that leaves out the first of the next",
    "verify_projection",
    "v_from := v_to + 1",
    "v_from := v_to + 2",
    at="verify_projection",
)
@pytest.mark.parametrize("function", DAMAGE)
def test_all_ranges_together_say_what_the_whole_says(
    engine: Engine, transfers: list[int], function: str
) -> None:
    """With rows without an origin between, below and above all others."""
    db, ids = engine.db, bounds_of(function, transfers)
    with db.transaction(force_rollback=True), unguarded(db, *TABLES):
        db.execute("set local session_replication_role = replica")
        for name, number in (("set_0", -5), ("set_4a", 10**9), ("z", 2**62)):
            db.execute(
                "insert into payout.settlement_lines (settlement_id, line_id, payee_id, "
                "amount_minor) values (%s, '1', 'seller_1', 5)",
                [name],
            )
            db.execute(
                "insert into payout.transfer_states (payout_transfer_id, next_attempt_at) "
                "values (%s, now())",
                [number],
            )
            db.execute(
                "insert into payout.outcomes (payout_transfer_id, status) values (%s, 'paid')",
                [number + 1],
            )
        db.execute("update payout.settlements set total_minor = total_minor + 1")
        db.execute("update payout.transfer_states set tries = tries + 1")
        db.execute("update payout.ledger_entries set amount_minor = -amount_minor")
        whole = verified(db, function)
        assert len(whole) >= 9
        parts = verified(db, function, None, ids[0])
        for former, last in zip(ids, [*ids[1:], None], strict=True):
            after = former + "!" if isinstance(former, str) else former + 1
            parts += verified(db, function, after, last)
        assert sorted(map(str, parts)) == sorted(map(str, whole))
        make_steps_short(db, function)
        with told(db) as notices:
            assert sorted(map(str, verified(db, function))) == sorted(map(str, whole))
        assert len(notices) >= 2


@mutant(
    "progress that is not told",
    "verify_books",
    "raise notice",
    "raise debug",
    at="verify_books",
)
@pytest.mark.parametrize("function", DAMAGE)
def test_it_says_how_far_it_is_and_what_it_has_found_and_goes_on_from_there(
    engine: Engine, transfers: list[int], function: str
) -> None:
    db, ids = engine.db, bounds_of(function, transfers)
    make_steps_short(db, function)
    rows = "settlements" if function == "verify_settlements" else "transfers"
    with damaged(db, function, transfers), told(db) as notices:
        found = len(verified(db, function))
        assert notices == [
            f"{rows} up to {ids[1]} are verified, of {ids[5]}; 0 found",
            f"{rows} up to {ids[3]} are verified, of {ids[5]}; {found} found",
        ]
        assert len(verified(db, function, ids[1], None)) == found
        assert verified(db, function, ids[3], None) == []


def test_the_calls_of_the_runbook_run(engine: Engine, transfers: list[int]) -> None:
    page = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
    section = page.partition("\n## Verify the history\n")[2].partition("\n## ")[0]
    calls = re.findall(r"^select .*?;", section, re.MULTILINE)
    assert {found[1] for call in calls if (found := re.search(r"payout_api\.(\w+)", call))} == {
        *DAMAGE,
        "verify_seals",
    }
    for call in calls:
        assert engine.operator.execute(call.encode()).fetchall() == []


@pytest.mark.parametrize("function", DAMAGE)
def test_operators_and_auditors_may_verify_and_nobody_else(
    visit: Callable[..., Connection], function: str
) -> None:
    for role in ("payout_operator", "payout_auditor"):
        assert verified(visit(role), function) == []
    for role in ("payout_app", "payout_worker"):
        assert refusal(visit(role), f"select * from payout_api.{function}()") == Refusal(
            "42501", f"permission denied for function {function}"
        )
