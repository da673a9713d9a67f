"""The database goes away under the workers and comes back; they need no help and lose nothing."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Final

import psycopg
import pytest
from psycopg import sql

from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from payout_engine_sandbox.stripe_double import Latch, StripeDouble
from tests.conftest import Connection, adopt, install
from tests.crash.conftest import StartWorker
from tests.crash.story import Story
from tests.crash.workers import Worker, wait_until
from tests.engine import Engine

# With a server of its own.
pytestmark = pytest.mark.proof

# A minute, say, shows nothing else and takes a minute.
OUTAGE_SECONDS: Final = float(os.environ.get("PAYOUT_CRASH_OUTAGE_SECONDS", "4"))
HELD: Final = 4
LOST: Final = "WARNING payout_engine.database: connection lost: "
AGAIN: Final = "WARNING payout_engine.database: connected again, after "


class Outage:
    """A story on a server that comes and goes; a later question is asked on a new connection."""

    def __init__(self, *, server: EmbeddedPostgres, database: str, double: StripeDouble) -> None:
        self.server = server
        self.double = double
        self.database_url = server.uri(database, user="till")
        self._superuser = server.uri(database)
        self._connection: Connection | None = None

    def story(self) -> Story:
        """Return the story over a connection that works."""
        self.close()
        self._connection = psycopg.connect(self._superuser, autocommit=True)
        return Story(engine=Engine(self._connection), double=self.double)

    def close(self) -> None:
        """Leave the server."""
        if self._connection is not None:
            self._connection.close()

    def begin(self, worker: Worker) -> None:
        """Kill the server while answers are on their way, and let them arrive."""
        latch = Latch()
        self.double.inject("answer_delayed", times=HELD, hold_after=latch)
        story = self.story()
        seen = len(self.double.sends)
        story.settle(HELD, settlement_id=f"set_{seen}")
        story.wait_for_requests(seen + HELD)
        losses = worker.log().count(LOST)
        self.server.kill_immediately()
        latch.open()
        wait_until(lambda: worker.log().count(LOST) > losses)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres.start() as server:
        with psycopg.connect(server.uri(), autocommit=True) as connection:
            connection.execute("create database template")
            install(server.uri("template"))
            connection.execute("create role till login")
            connection.execute("grant payout_worker to till")
        yield server


@pytest.fixture
def outage(server: EmbeddedPostgres) -> Iterator[Outage]:
    database = f"payout_{secrets.token_hex(4)}"
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        name = sql.Identifier(database)
        connection.execute(sql.SQL("create database {} template template").format(name))
    with psycopg.connect(server.uri(database)) as connection:
        adopt(connection)
    with StripeDouble.in_thread() as double:
        outage = Outage(server=server, database=database, double=double)
        yield outage
        outage.close()


@pytest.fixture
def start(launch: Callable[..., Worker]) -> StartWorker:
    """Run a worker on a server that may be gone."""

    def start_one(outage: Outage) -> Worker:
        return launch(database_url=outage.database_url, stripe=outage.double.url)

    return start_one


@pytest.mark.long
def test_an_answer_received_while_the_database_was_down_is_reported_when_it_is_back(
    outage: Outage, start: StartWorker
) -> None:
    worker = start(outage)
    outage.story().wait_for_sessions(worker)
    outage.begin(worker)
    time.sleep(OUTAGE_SECONDS)
    outage.server.restart()
    story = outage.story()
    story.wait_until_states(paid=HELD)
    story.settle(3, settlement_id="afterwards")
    story.wait_until_states(paid=HELD + 3)
    assert len(outage.double.sends) == HELD + 3
    worker.stop()
    assert (worker.log().count(LOST), worker.log().count(AGAIN)) == (1, 1)
    assert " ERROR " not in worker.log()
    story.check_each_transfer_is_paid_once()


@pytest.mark.long
def test_a_worker_outlives_repeated_outages_and_a_frozen_server(
    outage: Outage, start: StartWorker
) -> None:
    server = outage.server
    worker = start(outage)
    outage.story().wait_for_sessions(worker)
    for paid in (HELD, 2 * HELD):
        outage.begin(worker)
        server.restart()
        outage.story().wait_until_states(paid=paid, seconds=15)
    story = outage.story()
    latch = Latch()
    outage.double.inject("answer_delayed", times=None, hold_after=latch)
    story.settle(HELD, settlement_id="frozen")
    story.wait_for_requests(3 * HELD)
    server.freeze()
    latch.open()
    time.sleep(2)
    server.thaw()
    story.wait_until_states(paid=3 * HELD)
    assert len(outage.double.sends) == 3 * HELD
    worker.stop()
    story.check_each_transfer_is_paid_once()


def test_a_worker_that_is_started_before_its_database_pays_when_that_comes(
    outage: Outage, start: StartWorker
) -> None:
    outage.story().settle(2)
    outage.close()
    outage.server.kill_immediately()
    worker = start(outage)
    worker.wait_for_log("error connecting")
    outage.server.restart()
    story = outage.story()
    story.wait_until_states(paid=2)
    worker.stop()
    story.check_each_transfer_is_paid_once()


def test_a_claim_whose_answer_is_lost_with_the_server_is_resumed_after_its_lease(
    outage: Outage, start: StartWorker
) -> None:
    """The claim is committed when the server dies, and the worker never hears of it."""
    story = outage.story()
    story.settle(2)
    with story.locked("lock table payout.transfer_attempts in share mode"):
        worker = start(outage)
        story.wait_until_blocked(worker)
        worker.freeze()
    story.wait_until_states(in_flight=2)
    outage.close()
    outage.server.kill_immediately()
    worker.thaw()
    outage.server.restart()
    story = outage.story()
    story.let_leases_run_out()
    story.wait_until_states(paid=2)
    worker.stop()
    story.check_each_transfer_is_paid_once()
