"""A program that maps rows to objects writes every column, those with a default among them.

It inserts the values that it holds, updates all columns of a row although one has changed, and
deletes a draft with its lines in the order that it has chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from psycopg.types.json import Jsonb

from tests.acting import Session
from tests.schema.refusals import Refusal
from tests.settle.marketplace import (
    complete,
    insert_settlement,
    jobs,
    line,
    refused,
    register,
    transfers,
    writes_nothing,
)

LINES: Final = [line("1", "seller_1", 700), line("2", "seller_2", 800)]
TABLES: Final = {"settlements": "settlement_id", "settlement_lines": "line_id"}


@pytest.fixture
def app(act: Callable[[str], Session]) -> Session:
    app = act("payout_app")
    register(app, "seller_1", "seller_2")
    return app


def load(app: Session, table: str) -> list[dict[str, Any]]:
    """Read rows as a model does that was made by inspecting the table."""
    cursor = app.execute(f"select * from payout.{table} order by {TABLES[table]}".encode())
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, map(adapt, row), strict=True)) for row in cursor]


def adapt(value: object) -> object:
    return Jsonb(value) if isinstance(value, dict) else value


def insert(app: Session, table: str, row: dict[str, Any]) -> None:
    values = ", ".join(f"%({name})s" for name in row)
    app.execute(f"insert into payout.{table} ({', '.join(row)}) values ({values})".encode(), row)


def save(app: Session, table: str, row: dict[str, Any]) -> None:
    changes = ", ".join(f"{name} = %({name})s" for name in row)
    key = TABLES[table]
    app.execute(f"update payout.{table} set {changes} where {key} = %({key})s".encode(), row)


@pytest.fixture
def rows(app: Session) -> dict[str, list[dict[str, Any]]]:
    """The columns and defaults of a settlement and its lines, as the tables give them."""
    with app.transaction(force_rollback=True):
        insert_settlement(app, "set_1", LINES)
        return {table: load(app, table) for table in TABLES}


def test_rows_of_all_columns_are_paid(
    rows: dict[str, list[dict[str, Any]]], app: Session, db: Session
) -> None:
    with app.transaction():
        for table, contents in rows.items():
            for row in contents:
                insert(app, table, row)

    assert transfers(db) == [("seller_1", None, 700), ("seller_2", None, 800)]


@pytest.mark.parametrize("state", ["pending", "complete"])
def test_a_draft_that_is_saved_with_all_columns_is_paid_once(
    state: str, app: Session, db: Session
) -> None:
    insert_settlement(app, "set_1", LINES, state="pending")

    for _ in range(2):
        (settlement,) = load(app, "settlements")
        with app.transaction():
            save(app, "settlements", settlement | {"state": state})
            if state == "pending":
                for row in load(app, "settlement_lines"):
                    save(app, "settlement_lines", row)

    assert jobs(db) == ["set_1"] * (state == "complete")


def test_a_settlement_that_a_call_completed_is_saved_unchanged(app: Session, db: Session) -> None:
    complete(app, "set_1", LINES)

    with writes_nothing(db):
        (settlement,) = load(app, "settlements")
        save(app, "settlements", settlement)
        assert refused(save, app, "settlements", settlement | {"total_minor": 1}) == Refusal(
            "SP102", "settlement set_1 is complete and cannot be changed"
        )


@pytest.mark.parametrize("column", ["state", "metadata", "created_at"])
def test_null_for_a_column_with_a_default_names_the_column(
    column: str, rows: dict[str, list[dict[str, Any]]], app: Session, db: Session
) -> None:
    with writes_nothing(db):
        row = rows["settlements"][0] | {column: None}
        assert refused(insert, app, "settlements", row) == Refusal(
            "23502",
            f'null value in column "{column}" of relation "settlements" '
            "violates not-null constraint",
        )


def test_no_column_makes_the_engine_pass_a_settlement_by(app: Session, db: Session) -> None:
    """An application writes every column, so none may decide whether the trigger schedules."""
    found = db.execute(
        "select attname::text from pg_attribute where attrelid = 'payout.settlements'::regclass "
        "and attnum > 0 and not attisdropped"
    )
    assert {name for (name,) in found} == {
        "settlement_id", "currency", "total_minor", "state", "pay_after", "metadata", "created_at",
    }  # fmt: skip
