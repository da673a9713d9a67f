"""A server goes back in time under the same identity, and pays no transfer twice.

Nothing inside such a database tells it from the one before: only Stripe remembers. The tests count
the transfers there; a day has passed, so that Stripe has forgotten every key. docs/restore.md has
the steps.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Final

import psycopg
import pytest
from psycopg import sql

from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from payout_engine_sandbox.stripe_double import StripeDouble
from tests.conftest import install, login_name
from tests.crash.story import Story
from tests.crash.workers import OURS, RECONCILE, Worker, wait_until
from tests.engine import Engine

# With a server of its own.
pytestmark = pytest.mark.proof

WORKER: Final = "till"
LOGINS: Final = {WORKER: "payout_worker", login_name("payout_approver"): "payout_approver"}
# The background writer would save a part of the changes that a crash is to lose.
SETTINGS: Final = {"bgwriter_lru_maxpages": "0"}
STOPPED: Final = (
    "nothing is claimed now: no transfer is handed out: this database is not the one that was "
    "adopted. Claims were stopped: Stripe has transfers of this installation that this database "
    "never sent"
)


class Shop:
    """One marketplace, on a server that a test stops and changes."""

    def __init__(
        self, *, server: EmbeddedPostgres, double: StripeDouble, launch: Callable[..., Worker]
    ) -> None:
        self.server = server
        self.double = double
        self._launch = launch
        self._database = f"payout_{secrets.token_hex(4)}"
        names = map(sql.Identifier, (self._database, "template"))
        with psycopg.connect(server.uri(), autocommit=True) as superuser:
            superuser.execute(sql.SQL("create database {} template {}").format(*names))
        self.story = self._open()
        self.story.engine.operator.execute("select payout_api.adopt_database('a new shop', true)")
        self.story.engine.approve()

    def _open(self) -> Story:
        db = psycopg.connect(self.server.uri(self._database), autocommit=True)
        return Story(engine=Engine(db), double=self.double)

    def close(self) -> None:
        """Leave the server."""
        self.story.db.close()

    def move(self, server: EmbeddedPostgres) -> None:
        """Go on with another server, or with the same one that was restarted."""
        self.close()
        self.server = server
        self.story = self._open()

    def run(self, command: tuple[str, ...] = OURS) -> Worker:
        """Run a command of the engine, or a worker."""
        url = self.server.uri(self._database, user=WORKER)
        return self._launch(command, database_url=url, stripe=self.double.url)

    def pay(self, payees: int, **changes: str) -> None:
        """Settle, and let a worker pay all that is due."""
        self.story.settle(payees, **changes)
        worker = self.run()
        wait_until(lambda: self.story.states().keys() == {"paid"}, tell=self.story.states)
        worker.stop()

    def settle_and_forget(self) -> None:
        """Two that this database will know as settled and never sent, and one not at all."""
        self.pay(1, settlement_id="before")
        self.story.settle(2, settlement_id="known")

    def pay_what_is_forgotten(self) -> None:
        """Pay them, in the time that will be lost."""
        self.pay(1, settlement_id="forgotten")
        assert len(self.double.sends) == 4

    def go_on(self) -> None:
        """A day later the application repeats its settlement, and a worker starts."""
        story = self.story
        assert story.states() == {"paid": 1, "scheduled": 2}
        self.double.advance(hours=25)
        story.settle(1, settlement_id="forgotten")
        worker = self.run()
        worker.wait_for_log(STOPPED)
        # Those that Stripe listed are paid, and no other.
        story.wait_until_states(paid=4)
        assert len(self.double.sends) == 4

        compared = self.run(RECONCILE)
        assert compared.wait() == 0, compared.log()
        story.engine.operator.execute("select payout_api.adopt_database('an old copy; compared')")
        story.engine.approve()
        story.settle(1, settlement_id="new")
        story.wait_until_states(paid=5)
        worker.stop()
        assert len(self.double.sends) == 5
        story.check_each_transfer_is_paid_once()


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres.start(settings=SETTINGS) as server:
        with psycopg.connect(server.uri(), autocommit=True) as superuser:
            superuser.execute("create database template")
            install(server.uri("template"))
            for login, role in LOGINS.items():
                superuser.execute(f"create role {login} login in role {role}".encode())
        yield server


@pytest.fixture
def shop(server: EmbeddedPostgres, launch: Callable[..., Worker]) -> Iterator[Shop]:
    with StripeDouble.in_thread() as double:
        shop = Shop(server=server, double=double, launch=launch)
        yield shop
        shop.close()


def test_a_data_directory_that_was_put_back_pays_nothing_again(
    shop: Shop, server: EmbeddedPostgres
) -> None:
    shop.settle_and_forget()
    server.stop_fast()
    kept = server.keep_data()
    server.restart()
    shop.move(server)
    shop.pay_what_is_forgotten()
    server.stop_fast()
    server.put_back(kept)
    server.restart()
    shop.move(server)
    shop.go_on()


def test_a_lagging_standby_that_is_started_by_hand_pays_nothing_again(
    shop: Shop, server: EmbeddedPostgres
) -> None:
    """Without `standby.signal` it is not promoted: its timeline stays the same."""
    shop.settle_and_forget()
    with EmbeddedPostgres.start(primary=server) as standby:
        standby.stop_fast()
        shop.pay_what_is_forgotten()
        (standby.data_directory / "standby.signal").unlink()
        standby.restart()
        shop.move(standby)
        shop.go_on()
        shop.close()


def test_a_server_whose_log_was_thrown_away_pays_nothing_again(
    shop: Shop, server: EmbeddedPostgres
) -> None:
    """`pg_resetwal -f`, after a crash: all that no checkpoint has saved is gone."""
    shop.settle_and_forget()
    server.restart()
    shop.move(server)
    shop.pay_what_is_forgotten()
    server.kill_immediately()
    server.reset_wal()
    server.restart()
    shop.move(server)
    shop.go_on()
