"""The doctor notices a guard that is gone or asleep, and a right that somebody was given."""

from __future__ import annotations

from typing import Final

import pytest

from tests.engine import Engine
from tests.operate.checks import complaints

GUARD: Final = "_500_refuse_change on payout.ledger_entries"
SCHEDULING: Final = "settlements schedule their payouts"
ALWAYS: Final = "guards are enabled always"
OWNED: Final = "everything belongs to payout_owner"
WHOLE: Final = "no table is part of another"
PRIVATE: Final = "functions are pinned and private"


@pytest.mark.parametrize(
    "change",
    [
        "disable trigger _500_refuse_change",
        "enable trigger _500_refuse_change",
        "enable replica trigger _500_refuse_change",
    ],
)
def test_a_guard_that_does_not_fire_always_is_named(engine: Engine, change: str) -> None:
    engine.db.execute(f"alter table payout.ledger_entries {change}")
    found = complaints(engine.db)
    assert found.keys() == {ALWAYS}
    assert GUARD in found[ALWAYS]


def test_guards_that_a_restore_has_downgraded_are_named(engine: Engine) -> None:
    """As `pg_restore --disable-triggers` does it."""
    engine.db.execute("alter table payout.ledger_entries disable trigger all")
    engine.db.execute("alter table payout.ledger_entries enable trigger all")
    found = complaints(engine.db)
    assert found.keys() == {ALWAYS}
    assert GUARD in found[ALWAYS]
    assert "_500_refuse_truncate on payout.ledger_entries" in found[ALWAYS]


@pytest.mark.parametrize(
    "change", ["drop trigger {0} on {1}", "alter table {1} disable trigger {0}"]
)
def test_no_guard_can_be_taken_away_unnoticed(engine: Engine, change: str) -> None:
    guards = engine.db.execute(
        "select t.tgname::text, t.tgrelid::regclass::text from pg_trigger as t "
        "join pg_class as c on c.oid = t.tgrelid "
        "where c.relnamespace = 'payout'::regnamespace and not t.tgisinternal"
    ).fetchall()
    assert len(guards) > 40
    unnoticed = []
    for guard, table in guards:
        with engine.db.transaction(force_rollback=True):
            engine.db.execute(change.format(guard, table))
            if not complaints(engine.db):
                unnoticed.append(f"{guard} on {table}")
    assert unnoticed == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("drop trigger _900_schedule_payout_job on payout.settlements", "missing"),
        ("alter table payout.settlements disable trigger _900_schedule_payout_job", "D"),
        ("alter table payout.settlements enable always trigger _900_schedule_payout_job", "A"),
        ("alter table payout.settlements enable replica trigger _900_schedule_payout_job", "R"),
    ],
)
def test_settlements_that_would_not_be_paid_or_paid_by_a_restore_are_noticed(
    engine: Engine, change: str, told: str
) -> None:
    engine.db.execute(change)
    found = complaints(engine.db)
    assert found.keys() == {SCHEDULING}
    assert found[SCHEDULING] == told


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("table", "payout.states"),
        ("view", "payout_api.overview"),
        ("function", "payout.clock()"),
    ],
)
def test_what_belongs_to_somebody_else_is_named(engine: Engine, kind: str, name: str) -> None:
    engine.db.execute(f"alter {kind} {name} owner to current_user")
    assert complaints(engine.db) == {OWNED: name}


@pytest.mark.parametrize(
    "change",
    [
        "reset search_path",
        "set search_path = public",
        "set search_path = ''",
        "set search_path = pg_catalog",
        "set search_path = pg_temp, pg_catalog",
    ],
)
def test_a_function_whose_search_path_is_not_pinned_is_named(engine: Engine, change: str) -> None:
    engine.db.execute(f"alter function payout_api.sweep(integer) {change}")
    assert complaints(engine.db) == {PRIVATE: "payout_api.sweep(integer)"}


def test_a_table_whose_rows_no_guard_sees_is_named(engine: Engine) -> None:
    engine.db.execute("set role payout_owner")
    engine.db.execute("create table payout.more () inherits (payout.ledger_entries)")
    engine.db.execute("reset role")
    assert complaints(engine.db) == {WHOLE: "payout.more"}


def test_a_function_that_everybody_may_call_is_named(engine: Engine) -> None:
    engine.db.execute(
        "grant execute on function payout.place_hold(text, text, text, bigint) to public"
    )
    assert complaints(engine.db) == {PRIVATE: "payout.place_hold(text,text,text,bigint)"}
