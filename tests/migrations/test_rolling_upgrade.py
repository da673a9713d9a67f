"""Workers of two neighbouring releases run side by side while the schema is upgraded.

The later release is made up: a copy of this checkout that says so of itself, with a migration.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psycopg
import pytest

from payout_engine_sandbox.stripe_double import StripeDouble
from tests.conftest import PASSWORD, ROOT, Server, login_name
from tests.crash.workers import OURS, Worker, wait_until
from tests.engine import Engine
from tests.migrations.test_upgrade import MADE_UP, Upgrade, upgrade

pytestmark = pytest.mark.proof

__all__ = ["upgrade"]

MIGRATE: Final = ("-m", "payout_engine", "migrate")
SEEN: Final = "select from payout_api.workers where release = %s and last_seen_at > %s"
ALIVE: Final = "select release from payout_api.workers where is_alive order by release"


@pytest.fixture
def later(upgrade: Upgrade) -> dict[str, str]:
    """The setting that runs the package of the later release, which has its own migrations."""
    path = upgrade.checkout / "worker"
    shutil.copytree(
        ROOT / "worker" / "payout_engine",
        path / "payout_engine",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    information = path / "payout_engine-1.1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: payout-engine\nVersion: 1.1.0\n", encoding="utf-8"
    )
    return {"PYTHONPATH": f"{path}{os.pathsep}{ROOT}"}


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("upgrade", [MADE_UP], indirect=True)
def test_workers_of_neighbouring_releases_pay_before_and_after_the_schema_is_upgraded(
    server: Server,
    upgrade: Upgrade,
    later: dict[str, str],
    launch: Callable[..., Worker],
    tmp_path: Path,
) -> None:
    with (
        psycopg.connect(upgrade.uri, autocommit=True) as db,
        StripeDouble.in_thread() as double,
    ):
        login = server.uri(db.info.dbname, user=login_name("payout_worker"), password=PASSWORD)
        engine = Engine(db)

        def start(**changes: str) -> Worker:
            return launch(OURS, is_fresh=True, database_url=login, stripe=double.url, **changes)

        def pays(worker: Worker, settlement_id: str, total: int) -> None:
            engine.settle("seller_1", "seller_2", "seller_3", settlement_id=settlement_id)
            wait_until(lambda: len(double.transfers()) == total, tell=worker.log)
            wait_until(lambda: states(db) == {("paid", total)}, tell=worker.log)

        old, new = start(), start(**later)
        wait_until(
            lambda: db.execute(ALIVE).fetchall() == [("1.0.0.dev0",), ("1.1.0",)],
            tell=lambda: old.log() + new.log(),
        )
        # Another release is installed over the one that runs, as an upgrade in place does.
        [metadata] = upgrade.checkout.glob("worker/*.dist-info/METADATA")
        text = metadata.read_text(encoding="utf-8")
        metadata.write_text(text.replace("Version: 1.1.0", "Version: 1.9.0"), encoding="utf-8")
        [(installed_at,)] = db.execute("select clock_timestamp()").fetchall()
        wait_until(
            lambda: db.execute(SEEN, ["1.1.0", installed_at]).rowcount,
            tell=lambda: (db.execute(ALIVE).fetchall(), new.log()),
        )
        metadata.write_text(text, encoding="utf-8")

        new.freeze()
        pays(old, "set_1", 3)
        new.thaw()
        old.freeze()
        pays(new, "set_2", 6)
        old.thaw()

        migrating = launch(
            MIGRATE, is_fresh=True, database_url=upgrade.uri, stripe=double.url, **later
        )
        wait_until(lambda: not migrating.is_alive, seconds=120, tell=migrating.log)
        assert migrating.wait() == 0, migrating.log()
        assert f"migration: {upgrade.name} applied" in migrating.log()
        assert db.execute("select payout_api.release()").fetchone() == ("1.1",)

        new.freeze()
        pays(old, "set_3", 9)
        new.thaw()
        old.freeze()
        pays(new, "set_4", 12)
        old.thaw()
        assert engine.differences_in_the_books() == []
        assert all(len(found) == 1 for found in double.effects_by_payout_ref().values())

        # The release after that leaves the old worker behind, and no other.
        db.execute(
            "create or replace function payout_api.release() returns text language sql immutable "
            "set search_path = pg_catalog, pg_temp as $$ select '1.2' $$"
        )
        assert old.wait(seconds=60) == 2
        assert "the worker is of release 1.0.0.dev0, and the database of 1.2" in old.log()
        assert new.is_alive
        pays(new, "set_5", 15)
        new.stop()
        assert start().wait(seconds=60) == 2


def states(db: psycopg.Connection[tuple[object, ...]]) -> set[tuple[object, ...]]:
    return set(db.execute("select state, count(*) from payout.transfer_states group by 1"))
