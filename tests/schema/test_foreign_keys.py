"""A row refers only to rows that exist.

The rows of a settlement and those that it makes have no foreign keys: guards and the doctor look.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import pytest

from tests.conftest import Connection
from tests.schema import rows
from tests.schema.refusals import Refusal, refusal, refusal_of

# For each foreign key: its table and the changes that make a good row refer to nothing.
ORPHANS: Final[Mapping[str, tuple[str, Mapping[str, object]]]] = {
    "discrepancies_payout_transfer_id_fkey": ("discrepancies", {"payout_transfer_id": 0}),
    "holds_discrepancy_id_fkey": (
        "holds",
        {"scope": "transfer", "subject": "1", "discrepancy_id": 0},
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


def orphan(db: Connection, table: str, changes: Mapping[str, object]) -> rows.Row:
    payout_transfer_id = rows.add_transfer(db)
    return {**rows.valid_row(db, table, payout_transfer_id), **changes}


def test_every_foreign_key_of_the_schema_is_tried(db: Connection) -> None:
    found = db.execute(
        "select conname::text from pg_constraint "
        "where connamespace = 'payout'::regnamespace and contype = 'f'"
    )
    assert {name for (name,) in found} == ORPHANS.keys()


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


def test_a_line_may_come_before_its_settlement_within_a_transaction(db: Connection) -> None:
    line = {"settlement_id": "set_1", "line_id": "1", "payee_id": "seller_1", "amount_minor": 1}
    settlement = {"settlement_id": "set_1", "currency": "usd", "total_minor": 1}

    with db.transaction():
        rows.insert(db, "settlement_lines", line)
        rows.insert(db, "settlements", settlement)

    assert db.execute("select count(*) from payout.settlement_lines").fetchone() == (1,)


@pytest.mark.parametrize("id_", ["set_9", "set_2"])
def test_a_line_needs_its_settlement_at_commit(db: Connection, id_: str) -> None:
    """An insert and an update are both refused."""
    rows.add_settlement(db, "set_1", state="pending")

    def add_and_check() -> None:
        if id_ == "set_9":
            line = {"settlement_id": id_, "line_id": "2", "payee_id": "a", "amount_minor": 1}
            rows.insert(db, "settlement_lines", line)
        else:
            db.execute("update payout.settlement_lines set settlement_id = %s", [id_])
        db.execute("set constraints all immediate")

    assert refusal_of(db, add_and_check) == Refusal("SP310", f"settlement {id_} does not exist")


def test_a_pending_settlement_with_lines_is_not_deleted(db: Connection) -> None:
    rows.add_settlement(db, "set_1", state="pending")

    delete = "delete from payout.settlements"
    assert refusal(db, delete) == Refusal(
        "SP102", "settlement set_1 has lines and cannot be deleted"
    )
    with db.transaction(force_rollback=True):
        db.execute("delete from payout.settlement_lines")
        assert refusal(db, delete) is None
