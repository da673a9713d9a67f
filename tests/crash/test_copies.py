"""A copy of the true database sends nothing, nor does a worker with a key of another account.

The tests count the requests that arrive at Stripe.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import sql

from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from payout_engine_sandbox.stripe_double import Fault, StripeDouble
from tests.audit.sealing import seal_everything, verify
from tests.conftest import RUN, Connection, Server, install
from tests.crash.dumps import dump, restore
from tests.crash.story import Story
from tests.crash.workers import TALKATIVE, Worker, wait_until
from tests.engine import Engine, rate_limited, success, unguarded
from tests.identity.identities import identity_problem, refused_claim
from tests.mutants import mutant
from tests.reconcile.listing import NO_SUCH_READ, begin, reconcile, report
from tests.schema.refusals import Refusal, refusal, refusal_of

# With a server of its own.
pytestmark = pytest.mark.proof

NOTHING_IS_CLAIMED: Final = "nothing is claimed now: "
OF_ANOTHER: Final = Fault(
    method="GET", path="/v1/account", changes={"id": "acct_another"}, times=None
)
# Tables that every installation has filled already; a data-only dump leaves them out.
LISTS: Final = (
    "currencies",
    "states",
    "state_edges",
    "ledger_accounts",
    "situations",
    "stripe_error_rules",
    "discrepancy_kinds",
    "engine_settings",
    "paces",
    "adoptions",
    "catalogues",
    "seals",
    "seal_subtotals",
    "seal_marks",
)

BY_HAND: Final = {
    "payout.adoptions": "not is_installation",
    "payout.stripe_reads": "true",
    "payout.operator_actions": "action = 'adopt_database'",
}

StartWith = Callable[..., Worker]


@pytest.fixture
def start_worker(story: Story, launch: Callable[..., Worker]) -> StartWith:
    """Run a worker on any database, with any key."""

    def start_one(uri: str, **changes: str) -> Worker:
        return launch(database_url=uri, stripe=story.double.url, **changes)

    return start_one


@pytest.fixture
def stands_ready(server: Server, empty_database: Callable[[], str]) -> str:
    """A new installation, made before anything else in the test."""
    uri = empty_database()
    with server.migrating():
        install(uri)
    return uri


@pytest.fixture
def due(story: Story) -> Story:
    """A story of two transfers, one of which is paid and the other due."""
    paid, _ = story.settle(2)
    claims = {claim.payout_transfer_id: claim for claim in story.engine.claim()}
    story.engine.report(
        *(
            success(claim) if transfer == paid else rate_limited(claim)
            for transfer, claim in claims.items()
        )
    )
    return story


def problem_of(uri: str) -> str:
    """Return why a claim fails the identity check, after checking that it does."""
    with psycopg.connect(uri, autocommit=True) as db:
        refused = refused_claim(db)
        assert refused is not None
        assert refused.sqlstate == "SP403"
        assert refused.diag.message_detail == identity_problem(db)
    return str(refused.diag.message_detail)


@contextmanager
def cloned(server: Server, template: str) -> Iterator[str]:
    """Give the URI of a database that was made from a template."""
    name = f"payout_{RUN}_{secrets.token_hex(4)}"
    names = sql.Identifier(name), sql.Identifier(template)
    with server.connect() as superuser:
        superuser.execute(sql.SQL("create database {} template {}").format(*names))
        try:
            yield server.uri(name)
        finally:
            superuser.execute(sql.SQL("drop database {} with (force)").format(names[0]))


@mutant(
    "no copy of an installation pays",
    "identity_problem",
    "not v_adoption.is_installation\n        or (",
    "true\n        or (",
)
def test_a_clone_of_a_template_that_never_paid_pays_and_a_clone_of_that_does_not(
    server: Server, launch: Callable[..., Worker], clone: Connection
) -> None:
    """As a suite of tests makes one for each test (FIELD B17); the first claim adopts it."""
    template = clone.info.dbname
    # A clone of the tests is adopted by hand; back to the installation that it was made of.
    for table in ("payout.adoptions", "payout.stripe_reads", "payout.operator_actions"):
        with unguarded(clone, table):
            clone.execute(f"delete from {table} where {BY_HAND[table]}".encode())
    clone.close()
    with StripeDouble.in_thread() as double, cloned(server, template) as uri:
        with psycopg.connect(uri, autocommit=True) as db:
            assert identity_problem(db) is None
            Engine(db).settle("seller_1", "seller_2")
        worker = launch(database_url=uri, stripe=double.url)
        worker.wait_for_reports(paid=2)
        worker.stop()
        with psycopg.connect(uri, autocommit=True) as db:
            assert identity_problem(db) is None
            name = db.info.dbname
        with cloned(server, name) as further:
            assert problem_of(further).startswith("Changed since: database from ")


def test_a_clone_that_never_claimed_sends_nothing_that_the_true_database_has_sent(
    server: Server, launch: Callable[..., Worker], stands_ready: str
) -> None:
    """Its first claim waits for a look at Stripe's newest transfers."""
    with psycopg.connect(stands_ready, autocommit=True) as true:
        Engine(true).settle("seller_1", settlement_id="set_1")
        name = true.info.dbname
    with StripeDouble.in_thread() as double, cloned(server, name) as copy:
        worker = launch(database_url=stands_ready, stripe=double.url)
        worker.wait_for_reports(paid=1)
        worker.stop()
        of_copy = launch(database_url=copy, stripe=double.url)
        of_copy.wait_for_log("that this database never sent")
        of_copy.stop()
        assert len(double.sends) == 1


def test_a_dump_restored_beside_the_true_database_hands_out_nothing(
    due: Story, dsn: Callable[..., str], empty_database: Callable[[], str], tmp_path: Path
) -> None:
    copy = empty_database()
    restore(dump(dsn(), tmp_path / "dump.sql"), copy)
    problem = problem_of(copy)
    assert problem.startswith("Changed since: database from ")
    assert "; tables from " in problem
    due.engine.make_due()
    assert len(due.engine.claim()) == 1


def test_a_page_of_the_true_databases_comparison_does_not_end_that_of_its_copy(
    db: Connection, dsn: Callable[..., str], empty_database: Callable[[], str], tmp_path: Path
) -> None:
    """Both have the same number, and each its own token."""
    reconcile(db)
    copy = empty_database()
    restore(dump(dsn(), tmp_path / "dump.sql"), copy)
    old = begin(db)
    with psycopg.connect(copy, autocommit=True) as copied:
        run = begin(copied)
        assert run.read_id == old.read_id
        refused = refusal_of(copied, lambda: report(copied, old))
        assert refused == Refusal("SP340", f"read {run.read_id}: {NO_SUCH_READ}")
        unread = refusal(copied, "select payout_api.adopt_database('restored')")
        assert unread is not None
        assert unread.sqlstate == "SP410"
        report(copied, run)
        copied.execute("select payout_api.adopt_database('restored')")
        Engine(copied).approve()
        assert identity_problem(copied) is None


def test_a_dump_restored_over_the_dropped_schemas_hands_out_nothing(
    due: Story, dsn: Callable[..., str], db: Connection, tmp_path: Path
) -> None:
    """The same server, database and name: only the tables are others."""
    path = dump(dsn(), tmp_path / "dump.sql", "--schema=payout", "--schema=payout_api")
    db.execute("drop schema payout, payout_api cascade")
    restore(path, dsn())
    assert due.states() == {"paid": 1, "retry_wait": 1}
    assert problem_of(dsn()).startswith("Changed since: tables from ")


def test_data_loaded_into_a_new_installation_hands_out_nothing(
    server: Server,
    due: Story,
    dsn: Callable[..., str],
    empty_database: Callable[[], str],
    tmp_path: Path,
) -> None:
    seal_everything(due.engine.db)
    without_lists = (f"--exclude-table=payout.{table}" for table in LISTS)
    path = dump(dsn(), tmp_path / "data.sql", "--data-only", "--schema=payout", *without_lists)
    copy = empty_database()
    with server.migrating():
        install(copy)
    restore(path, copy, session_replication_role="replica")
    assert problem_of(copy) == "It has transfers from before it was installed."
    with psycopg.connect(copy, autocommit=True) as db:
        assert seal_everything(db) > 2
        assert verify(db) == []


def test_data_loaded_into_an_installation_that_stood_ready_hands_out_nothing(
    stands_ready: str, due: Story, dsn: Callable[..., str], tmp_path: Path
) -> None:
    """It is older than the first transfer of the true database."""
    without_lists = (f"--exclude-table=payout.{table}" for table in LISTS)
    path = dump(dsn(), tmp_path / "data.sql", "--data-only", "--schema=payout", *without_lists)
    restore(path, stands_ready, session_replication_role="replica")
    assert problem_of(stands_ready) == "It has attempts that another installation handed out."


def test_a_standby_hands_out_nothing_before_or_after_it_is_promoted() -> None:
    """The timeline is another one at once, though no checkpoint has written it down yet."""
    with EmbeddedPostgres.start() as primary:
        install(primary.uri())
        with psycopg.connect(primary.uri(), autocommit=True) as db:
            Engine(db).settle()
        with (
            EmbeddedPostgres.start(primary=primary) as standby,
            psycopg.connect(standby.uri(), autocommit=True) as db,
        ):
            refused = refused_claim(db)
            assert refused is not None
            assert refused.sqlstate == "SP401"
            assert identity_problem(db) is None
            db.execute("select pg_promote()")
            assert problem_of(standby.uri()) == "Changed since: timeline from 1 to 2."
            Engine(db).adopt()
            assert len(Engine(db).claim()) == 1
        with psycopg.connect(primary.uri(), autocommit=True) as db:
            assert identity_problem(db) is None


def test_a_staging_copy_of_production_sends_nothing(
    due: Story,
    launch: Callable[..., Worker],
    dsn: Callable[..., str],
    empty_database: Callable[[], str],
    tmp_path: Path,
) -> None:
    due.settle(20, settlement_id="set_2")
    copy = empty_database()
    restore(dump(dsn(), tmp_path / "dump.sql"), copy)
    with psycopg.connect(copy, autocommit=True) as db:
        Engine(db).settle(settlement_id="only_here")
        worker = launch(TALKATIVE, database_url=copy, stripe=due.double.url)
        worker.wait_for_log(f"{NOTHING_IS_CLAIMED}no transfer is handed out")
        wait_until(lambda: worker.log().count(NOTHING_IS_CLAIMED) > 1)
        worker.stop()
        assert db.execute("select count(*) from payout.transfer_attempts").fetchone() == (2,)
    assert due.double.sends == []


def test_a_worker_with_a_key_of_another_account_or_mode_sends_nothing(
    due: Story, start_worker: StartWith, dsn: Callable[..., str]
) -> None:
    ours = start_worker(dsn("payout_worker"))
    due.engine.make_due()
    due.wait_until_states(paid=2)
    ours.stop()
    due.settle(5, settlement_id="set_2")
    live = start_worker(dsn("payout_worker"), STRIPE_API_KEY="sk_live_of_the_same_account")
    live.wait_for_log("this database does not pay from acct_platform in live mode")
    live.stop()
    due.double.inject(OF_ANOTHER)
    foreign = start_worker(dsn("payout_worker"))
    foreign.wait_for_log("this database does not pay from acct_another in test mode")
    foreign.stop()
    assert len(due.double.sends) == 1
    due.double.clear_faults()
    ours = start_worker(dsn("payout_worker"))
    due.wait_until_states(paid=7)
    ours.stop()


def test_a_worker_whose_key_stripe_does_not_explain_claims_nothing(
    due: Story, start_worker: StartWith, dsn: Callable[..., str]
) -> None:
    due.double.inject("unavailable", method="GET", path="/v1/account", times=2)
    worker = start_worker(dsn("payout_worker"))
    worker.wait_for_log("Stripe does not say whose key it is")
    due.engine.make_due()
    due.wait_until_states(paid=2)
    worker.stop()
    assert len(due.double.sends) == 1
