"""The doctor notices rows whose origin is gone; for speed no foreign key holds them."""

from __future__ import annotations

import pytest

from tests.engine import Engine
from tests.operate.checks import complaints
from tests.settle.marketplace import complete, line

REFERENCES = "every reference has its row"


@pytest.mark.parametrize(
    ("table", "orphans"),
    [
        ("settlements", "payout_jobs, settlement_lines"),
        ("payout_jobs", "payout_transfers"),
        ("payout_transfers", "account_waits, ledger_entries, transfer_states"),
        ("transfer_states", "payout_transfers"),
    ],
)
def test_rows_whose_origin_was_removed_behind_the_guards_are_named(
    engine: Engine, table: str, orphans: str
) -> None:
    engine.settle()
    engine.app.execute("select payout_api.register_payee('newcomer')")
    complete(engine.app, "set_2", [line("1", "newcomer", 5)])
    with engine.db.transaction(force_rollback=True):
        engine.db.execute("set constraints all immediate")
        engine.db.execute("set local session_replication_role = replica")
        engine.db.execute(f"alter table payout.{table} disable trigger user")
        engine.db.execute(f"delete from payout.{table}")
        named = complaints(engine.db)[REFERENCES].split(", ")
        assert ", ".join(sorted({name.split()[0] for name in named})) == orphans
    assert complaints(engine.db) == {}
