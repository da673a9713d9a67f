"""What a migration does with the rows that it finds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.conftest import ROOT, Server
from tests.procedures.epoch.places import gate_problem
from tests.schema import rows
from tools import migrate
from worker.database import apply_queue_schema


@pytest.mark.parametrize("has_transfer", [True, False])
def test_only_a_database_without_transfers_adopts_itself(
    server: Server, empty_database: Callable[[], str], tmp_path: Path, has_transfer: bool
) -> None:
    """One with transfers may be a copy already, and whoever upgrades it knows."""
    uri = empty_database()
    apply_queue_schema(uri)
    (tmp_path / "migrations").mkdir()
    for script in sorted((ROOT / "migrations").glob("*.sql")):
        if "-gate." in script.name:
            break
        shutil.copy(script, tmp_path / "migrations" / script.name, follow_symlinks=True)
    with server.migrating():
        migrate.apply_all(uri, tmp_path)
    with psycopg.connect(uri, autocommit=True) as db:
        if has_transfer:
            rows.add_transfer(db)
        with server.migrating():
            migrate.apply_all(uri, ROOT)
        assert gate_problem(db) == (
            "It was never adopted, and it had transfers when the gate was built."
            if has_transfer
            else None
        )
