"""The restore drill: an older dump runs in a new cluster, and pays no transfer twice.

The tests count the transfers at Stripe. docs/restore.md has the same steps.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import sql

from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from tests.conftest import ROOT
from tests.crash.conftest import StartWorker
from tests.crash.dumps import dump, restore
from tests.crash.story import Story, key_is_committed
from tests.crash.workers import OURS, RECONCILE, TALKATIVE, Worker, wait_until
from tests.engine import Engine
from tests.schema.refusals import refusal

# Of each half the dump knows the settlements, but not that they were paid, or nothing at all. A
# comparison of both reads more than one page.
HALF: Final = 50
WORKER: Final = "till"


@dataclass(frozen=True, kw_only=True)
class Drill:
    """A new cluster with an old dump, beside a Stripe that remembers everything."""

    story: Story
    """The story, read from the restored database."""
    run: Callable[..., Worker]
    """Runs a command of the engine against the restored database, or a worker."""

    def start_worker(self) -> Worker:
        """Start a worker on the restored database."""
        return self.run()


@pytest.fixture(scope="module")
def new_cluster() -> Iterator[EmbeddedPostgres]:
    """A cluster with the engine's roles, and a login that may work, and no database yet."""
    with EmbeddedPostgres.start() as server:
        with psycopg.connect(server.uri(), autocommit=True) as superuser:
            superuser.execute((ROOT / "sql" / "roles.sql").read_bytes())
            superuser.execute(f"create role {WORKER} login in role payout_worker".encode())
        yield server


@pytest.fixture
def drill(
    new_cluster: EmbeddedPostgres,
    story: Story,
    run_worker: StartWorker,
    launch: Callable[..., Worker],
    dsn: Callable[..., str],
    tmp_path: Path,
) -> Iterator[Drill]:
    """Pay ten, dump, pay 100 more, lose the database, and restore the dump elsewhere."""
    worker = run_worker()
    story.settle(10, settlement_id="before")
    story.wait_until_states(paid=10)
    worker.stop()
    story.settle(HALF, settlement_id="known")
    path = dump(dsn(), tmp_path / "dump.sql")
    story.settle(HALF, settlement_id="forgotten")
    worker = run_worker()
    story.wait_until_states(paid=10 + 2 * HALF)
    worker.stop()
    name = f"restored_{secrets.token_hex(4)}"
    with psycopg.connect(new_cluster.uri(), autocommit=True) as superuser:
        superuser.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    restore(path, new_cluster.uri(name))

    def start(command: tuple[str, ...] = OURS) -> Worker:
        url = new_cluster.uri(name, user=WORKER)
        return launch(command, database_url=url, stripe=story.double.url)

    with (
        psycopg.connect(new_cluster.uri(name), autocommit=True) as db,
        psycopg.connect(new_cluster.uri(name), autocommit=True) as witness,
    ):
        story.double.on_request = key_is_committed(witness)
        yield Drill(story=Story(engine=Engine(db), double=story.double), run=start)


@pytest.mark.long
def test_a_restored_database_sends_nothing_until_it_is_adopted(drill: Drill) -> None:
    story, sent = drill.story, len(drill.story.double.sends)
    assert story.states() == {"paid": 10, "scheduled": HALF}
    worker = drill.run(TALKATIVE)
    refusal = "nothing is claimed now: no transfer is handed out: this database is not the"
    wait_until(lambda: worker.log().count(refusal) > 1, tell=worker.log)
    story.settle(HALF, settlement_id="forgotten")
    story.make_due()
    seen = worker.log().count(refusal)
    wait_until(lambda: worker.log().count(refusal) > seen + 1, tell=worker.log)
    worker.stop()
    assert len(story.double.sends) == sent == 10 + 2 * HALF
    assert story.states() == {"paid": 10, "scheduled": 2 * HALF}


def open_discrepancies_by_kind(story: Story) -> dict[str, int]:
    """Return how many discrepancies of each kind are open."""
    rows = story.db.execute(
        "select kind, count(*) from payout.discrepancies where resolved_at is null group by kind"
    )
    return dict(rows.fetchall())


def test_a_hasty_adoption_within_a_day_pays_no_transfer_twice_because_the_keys_are_the_same(
    drill: Drill,
) -> None:
    """Without reconcile: Stripe knows each key of the restored database and replays its answer."""
    story = drill.story
    story.settle(HALF, settlement_id="forgotten")
    story.db.execute("select payout.adopt('in haste', true)")
    worker = drill.start_worker()
    story.wait_until_states(paid=10 + 2 * HALF)
    worker.stop()
    story.check_each_transfer_is_paid_once()


def test_the_procedure_pays_each_transfer_once_though_stripe_has_forgotten_every_key(
    drill: Drill,
) -> None:
    """docs/restore.md: compare, adopt the database, and let the application record again."""
    story, sent = drill.story, len(drill.story.double.sends)
    story.double.advance(hours=25)
    worker = drill.start_worker()
    refused = refusal(story.db, "select payout_api.adopt_database('restored')")
    assert refused is not None
    assert refused.sqlstate == "SP410"
    compared = drill.run(RECONCILE)
    assert compared.wait() == 1, compared.log()
    # Transfers in the dump are paid as Stripe says; the others become discrepancies.
    assert open_discrepancies_by_kind(story) == {"unknown_transfer_at_stripe": HALF}
    assert story.states() == {"paid": 10 + HALF}
    story.engine.operator.execute("select payout_api.adopt_database('restored, and compared')")
    story.db.execute("create role second_person in role payout_approver")
    story.db.execute("set session authorization second_person")
    story.db.execute(
        "select payout_api.approve(action_id, 'I looked too') from payout_api.proposals"
    )
    story.db.execute("reset session authorization")
    story.settle(HALF, settlement_id="forgotten")
    story.settle(5, settlement_id="new")
    story.wait_until_states(paid=10 + 2 * HALF + 5)
    worker.stop()
    assert len(story.double.sends) == sent + 5
    story.check_each_transfer_is_paid_once()
    assert open_discrepancies_by_kind(story) == {}
