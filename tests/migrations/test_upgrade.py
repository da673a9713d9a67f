"""What a migration does with the rows that it finds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Final, TypeAlias

import psycopg
import pytest
from psycopg.types.json import Jsonb
from yoyo import get_backend, read_migrations

from payout_engine import migrate
from payout_engine.database import apply_queue_grants, apply_queue_schema
from tests.conftest import ROOT, Connection, Server, fresh_database
from tests.engine import Engine, rate_limited
from tests.identity.identities import adoptions, identity_problem
from tests.reconcile.listing import begin
from tests.schema import rows
from tests.schema.refusals import Refusal, refusal

Install: TypeAlias = Callable[[str], str]


@pytest.fixture(scope="module")
def install_before(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    """Make a database with the migrations before one, once for all tests; give its name."""
    with ExitStack() as stack:

        @cache
        def make(migration: str) -> str:
            dbname = stack.enter_context(fresh_database(server))
            uri = server.uri(dbname)
            path = tmp_path_factory.mktemp(migration)
            (path / "migrations").mkdir()
            for script in sorted((ROOT / "migrations").glob("*.sql")):
                if migration in script.name:
                    break
                shutil.copy(script, path / "migrations" / script.name, follow_symlinks=True)
            apply_queue_schema(uri)
            with server.migrating():
                migrate.apply_all(uri, path)
            apply_queue_grants(uri)
            return dbname

        yield make


@contextmanager
def connect_to_copy(server: Server, template: str) -> Iterator[Connection]:
    """Connect as superuser to a copy of a database."""
    with (
        fresh_database(server, template=template) as dbname,
        psycopg.connect(server.uri(dbname), autocommit=True) as connection,
    ):
        yield connection


@pytest.mark.parametrize("has_transfer", [True, False])
def test_only_a_database_without_transfers_adopts_itself(
    server: Server, install_before: Install, has_transfer: bool
) -> None:
    """One with transfers may be a copy already, and whoever upgrades it knows."""
    with connect_to_copy(server, install_before("-gate.")) as db:
        if has_transfer:
            rows.add_transfer(db)
        with server.migrating():
            migrate.apply_all(server.uri(db.info.dbname), ROOT)
        assert identity_problem(db) == (
            "It was never adopted, and it had transfers when the gate was built."
            if has_transfer
            else None
        )


def test_an_installation_that_has_claimed_goes_on_claiming(
    server: Server, install_before: Install
) -> None:
    # Itself, since the gate of a copy is closed.
    uri = server.uri(install_before("-compare-anew."))
    with psycopg.connect(uri, autocommit=True) as db:
        engine = Engine(db)
        engine.settle()
        engine.report(rate_limited(engine.claim_one()))
        before = len(adoptions(db))
        with server.migrating():
            migrate.apply_all(uri, ROOT)
        assert len(adoptions(db)) == before + 1
        engine.make_due()
        assert engine.claim_one().attempt == 2


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_run_goes_on_unless_the_gate_was_closed_since(
    server: Server, install_before: Install, is_closed: bool
) -> None:
    with connect_to_copy(server, install_before("-run-and-query.")) as db:
        begun = begin(db).reconcile_run_id
        if is_closed:
            db.execute("insert into payout.adoptions (reason) values ('closed')")
        with server.migrating():
            migrate.apply_all(server.uri(db.info.dbname), ROOT)
        assert (begin(db).reconcile_run_id != begun) == is_closed


ROWS: Final = (
    "select payout_transfer_id, payout_job_id, settlement_id, payee_id, source_transaction, "
    "destination, amount_minor, currency, payout_ref, request, request_sha256, created_at "
    "from payout.payout_transfers order by payout_transfer_id"
)


def settle(db: Connection, settlement_id: str) -> None:
    """Settle with one payee, with text that takes care to write."""
    db.execute(
        "select payout_api.complete_settlement(%s, 'usd', %s, null, %s)",
        [
            settlement_id,
            Jsonb([{"line_id": "1", "payee_id": rows.PAYEE, "amount_minor": 700}]),
            Jsonb({"back\\slash": '"\\x41" é 🧾'}),
        ],
    )


def test_what_triggers_derive_is_what_was_generated_and_becomes_generated_again(
    server: Server, install_before: Install
) -> None:
    migrations = read_migrations(str(ROOT / "migrations"))
    (derived,) = [one for one in migrations if one.id == "0018-derived-by-triggers"]
    with connect_to_copy(server, install_before("-derived-by-triggers.")) as db:
        rows.add_payee(db)
        settle(db, "set_1\\")
        generated = db.execute(ROWS).fetchall()
        uri = migrate.yoyo_uri(server.uri(db.info.dbname))
        with server.migrating(), get_backend(uri) as backend:
            backend.apply_one(derived)
            assert db.execute(ROWS).fetchall() == generated
            settle(db, "set_2\\")
            assert {is_ok for _, is_ok, *_ in db.execute("select * from payout.check_rules()")} == {
                True
            }
            both = db.execute(ROWS).fetchall()
            backend.rollback_one(derived)
        assert db.execute(ROWS).fetchall() == both
        assert len(both) == 2
        assert refusal(
            db, "update payout.payout_transfers set request_sha256 = sha256('another')"
        ) == Refusal("428C9", 'column "request_sha256" can only be updated to DEFAULT')


def test_a_settlement_that_was_begun_before_an_upgrade_commits(
    server: Server, install_before: Install, background: ThreadPoolExecutor
) -> None:
    with connect_to_copy(server, install_before("-derived-by-triggers.")) as db:
        uri = server.uri(db.info.dbname)
        rows.add_payee(db)
        with server.migrating(), psycopg.connect(uri) as app:
            app.execute("set deadlock_timeout = '1ms'")
            app.execute(
                "insert into payout.settlements (settlement_id, currency, total_minor, state) "
                "values ('set_1', 'usd', 700, 'complete')"
            )
            app.execute(
                "insert into payout.settlement_lines "
                "(settlement_id, line_id, payee_id, amount_minor) values ('set_1', '1', %s, 700)",
                [rows.PAYEE],
            )
            upgrade = background.submit(migrate.apply_all, uri, ROOT)
            while not db.execute(
                "select from pg_locks as l join pg_database as d on d.oid = l.database "
                "where d.datname = current_database() and not l.granted"
            ).rowcount:
                assert not upgrade.done()
            app.commit()
        assert upgrade.result()[0] == "0018-derived-by-triggers"
        assert db.execute("select state from payout.transfer_states").fetchall() == [("scheduled",)]
