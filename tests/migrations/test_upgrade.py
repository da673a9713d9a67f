"""What a migration does with the rows that it finds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.conftest import ROOT, Server
from tests.procedures.engine import Engine, rate_limited
from tests.procedures.epoch.places import epochs, gate_problem
from tests.procedures.reconcile.listing import begin
from tests.schema import rows
from tools import migrate
from worker.database import apply_queue_grants, apply_queue_schema


def install_before(migration: str, uri: str, path: Path, server: Server) -> None:
    """Apply the migrations that come before one, from a copy below `path`."""
    apply_queue_schema(uri)
    (path / "migrations").mkdir()
    for script in sorted((ROOT / "migrations").glob("*.sql")):
        if migration in script.name:
            break
        shutil.copy(script, path / "migrations" / script.name, follow_symlinks=True)
    with server.migrating():
        migrate.apply_all(uri, path)
    apply_queue_grants(uri)


@pytest.mark.parametrize("has_transfer", [True, False])
def test_only_a_database_without_transfers_adopts_itself(
    server: Server, empty_database: Callable[[], str], tmp_path: Path, has_transfer: bool
) -> None:
    """One with transfers may be a copy already, and whoever upgrades it knows."""
    uri = empty_database()
    install_before("-gate.", uri, tmp_path, server)
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


def test_an_installation_that_has_claimed_goes_on_claiming(
    server: Server, empty_database: Callable[[], str], tmp_path: Path
) -> None:
    uri = empty_database()
    install_before("-compare-anew.", uri, tmp_path, server)
    with psycopg.connect(uri, autocommit=True) as db:
        engine = Engine(db)
        engine.settle()
        engine.report(rate_limited(engine.claim_one()))
        before = len(epochs(db))
        with server.migrating():
            migrate.apply_all(uri, ROOT)
        assert len(epochs(db)) == before + 1
        engine.make_due()
        assert engine.claim_one().attempt == 2


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_run_goes_on_unless_the_gate_was_closed_since(
    server: Server, empty_database: Callable[[], str], tmp_path: Path, is_closed: bool
) -> None:
    uri = empty_database()
    install_before("-run-and-query.", uri, tmp_path, server)
    with psycopg.connect(uri, autocommit=True) as db:
        begun = begin(db).reconcile_run_id
        if is_closed:
            db.execute("insert into payout.epochs (reason) values ('closed')")
        with server.migrating():
            migrate.apply_all(uri, ROOT)
        assert (begin(db).reconcile_run_id != begun) == is_closed
