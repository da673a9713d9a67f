"""A row refers only to rows that exist.

The rows that a settlement makes have no foreign keys: guards and the doctor look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import pytest

from tests.acting import Session
from tests.conftest import Connection
from tests.schema import rows
from tests.schema.refusals import Refusal, refusal, refusal_of

# For each foreign key: its table and the changes that make a good row refer to nothing.
ORPHANS: Final[Mapping[str, tuple[str, Mapping[str, object]]]] = {
    "account_waits_payout_transfer_id_fkey": ("account_waits", {"payout_transfer_id": 0}),
    "discrepancies_payout_transfer_id_fkey": ("discrepancies", {"payout_transfer_id": 0}),
    "discrepancies_resolved_by_rule_id_fkey": (
        "discrepancies",
        {
            **{"found_by_read_id": 1, "stripe_transfer_id": "tr_1", "resolved_by_rule_id": 0},
            **{"resolved_at": "2030-01-01Z", "resolved_by": "engine", "resolution": "a test"},
        },
    ),
    "caps_currency_fkey": ("caps", {"currency": "xxx"}),
    "holds_discrepancy_id_fkey": (
        "holds",
        {"scope": "transfer", "subject": "1", "discrepancy_id": 0},
    ),
    "operator_actions_proposal_id_fkey": (
        "operator_actions",
        {"action": "approve", "proposal_id": 1_000_000},
    ),
    "transfer_requests_evidence_observation_id_fkey": (
        "transfer_requests",
        {"evidence_observation_id": 0},
    ),
    "transfer_requests_second_evidence_observation_id_fkey": (
        "transfer_requests",
        {"second_evidence_observation_id": 1_000_000},
    ),
    "transfer_requests_payout_transfer_id_fkey": ("transfer_requests", {"payout_transfer_id": 0}),
    "payee_accounts_payee_id_fkey": ("payee_accounts", {"payee_id": "nobody"}),
    "seal_subtotals_seal_id_fkey": ("seal_subtotals", {"seal_id": 9}),
    "state_edges_from_state_fkey": ("state_edges", {"from_state": "lost"}),
    "state_edges_to_state_fkey": ("state_edges", {"to_state": "lost"}),
    "transfer_attempts_payout_transfer_id_fkey": ("transfer_attempts", {"payout_transfer_id": 0}),
    "stripe_read_pages_read_id_fkey": ("stripe_read_pages", {"read_id": 0}),
    "stripe_reads_payout_transfer_id_fkey": (
        "stripe_reads",
        {"kind": "lookup", "payout_transfer_id": 0},
    ),
    "transfer_observations_payout_transfer_id_fkey": (
        "transfer_observations",
        {"payout_transfer_id": 0},
    ),
}

NO_SETTLEMENT: Final = Refusal("SP310", "settlement set_1 does not exist")
# Deferred, so that the guard of lines is asked first.
OF_LINES: Final = "settlement_lines_settlement_id_fkey"


def orphan(db: Connection, table: str, changes: Mapping[str, object]) -> rows.Row:
    payout_transfer_id = rows.add_transfer(db)
    return {**rows.valid_row(db, table, payout_transfer_id), **changes}


def test_every_foreign_key_of_the_schema_is_tried(db: Connection) -> None:
    found = db.execute(
        "select conname::text from pg_constraint "
        "where connamespace = 'payout'::regnamespace and contype = 'f'"
    )
    assert {name for (name,) in found} == ORPHANS.keys() | {OF_LINES}


def test_a_row_refers_only_to_rows_that_exist(db: Connection) -> None:
    def add(table: str, changes: Mapping[str, object]) -> None:
        rows.insert(db, table, orphan(db, table, changes))

    assert {
        constraint: refusal_of(db, partial(add, table, changes))
        for constraint, (table, changes) in ORPHANS.items()
    } == {
        constraint: Refusal(
            "23503",
            f'insert or update on table "{table}" violates foreign key constraint "{constraint}"',
            constraint,
        )
        for constraint, (table, _) in ORPHANS.items()
    }


def test_a_line_comes_after_its_settlement_or_with_it(db: Connection) -> None:
    line = {"settlement_id": "set_1", "line_id": "1", "payee_id": "seller_1", "amount_minor": 1}
    assert refusal_of(db, lambda: rows.insert(db, "settlement_lines", line)) == NO_SETTLEMENT

    db.execute(
        "with line as (insert into payout.settlement_lines "
        "(settlement_id, line_id, payee_id, amount_minor) values ('set_1', '1', 'seller_1', 1)) "
        "insert into payout.settlements (settlement_id, currency, total_minor) "
        "values ('set_1', 'usd', 1)"
    )
    assert db.execute("select count(*) from payout.settlement_lines").fetchone() == (1,)


def test_a_line_is_not_moved_to_a_settlement_that_does_not_exist(db: Connection) -> None:
    rows.add_settlement(db, "set_2", state="pending")

    move = "update payout.settlement_lines set settlement_id = 'set_1'"
    assert refusal(db, move) == NO_SETTLEMENT


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    "statement",
    [
        "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
        "values ('set_9', '1', 'seller_1', 1)",
        "update payout.settlement_lines set settlement_id = 'set_9'",
    ],
    ids=["inserted", "moved"],
)
def test_a_line_has_its_settlement_even_where_its_guards_are_off(
    statement: str, db: Connection
) -> None:
    rows.add_settlement(db, state="pending")

    def add() -> None:
        db.execute("alter table payout.settlement_lines disable trigger user")
        db.execute(statement.encode())
        db.execute("set constraints all immediate")

    assert refusal_of(db, add) == Refusal(
        "23503",
        'insert or update on table "settlement_lines" violates foreign key constraint '
        f'"{OF_LINES}"',
        OF_LINES,
    )


@pytest.mark.parametrize(
    "statements",
    [
        ["delete from payout.settlements"],
        ["delete from payout.settlements", "delete from payout.settlement_lines"],
        ["delete from payout.settlement_lines", "delete from payout.settlements"],
    ],
    ids=["alone", "before its lines", "after its lines"],
)
def test_the_application_deletes_a_pending_settlement(
    statements: list[str], db: Connection, act: Callable[[str], Session]
) -> None:
    rows.add_settlement(db, state="pending")
    app = act("payout_app")

    with app.transaction():
        for statement in statements:
            app.execute(statement)

    left = "select from payout.settlements union all select from payout.settlement_lines"
    assert db.execute(left).rowcount == 0


def test_a_deleted_settlement_may_be_written_anew_at_once(
    db: Connection, act: Callable[[str], Session]
) -> None:
    rows.add_settlement(db, state="pending")
    app = act("payout_app")

    with app.transaction():
        app.execute("delete from payout.settlements")
        rows.insert(
            app, "settlements", {"settlement_id": "set_1", "currency": "usd", "total_minor": 1}
        )
        line = {"settlement_id": "set_1", "line_id": "1", "payee_id": "a", "amount_minor": 1}
        rows.insert(app, "settlement_lines", line)

    assert db.execute("select total_minor from payout.settlements").fetchall() == [(1,)]
    assert db.execute("select amount_minor from payout.settlement_lines").fetchall() == [(1,)]
