"""The queue of another application keeps its rights and jobs, and the engine pays without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import psycopg
import pytest
from procrastinate.schema import SchemaManager
from psycopg import sql

from payout_engine import cli
from payout_engine_sandbox.stripe_double import StripeDouble
from tests.conftest import PASSWORD, RUN, Connection, Server, login_name
from tests.crash.workers import Worker, wait_until
from tests.engine import Engine

OTHER: Final = f"shop_{RUN}"
RIGHTS: Final = """
select 'schema', nspowner::regrole::text, nspacl::text from pg_namespace
where nspname = 'procrastinate'
union all
select c.relname, c.relowner::regrole::text, c.relacl::text from pg_class as c
where c.relnamespace = 'procrastinate'::regnamespace
union all
select p.proname, p.proowner::regrole::text, p.proacl::text from pg_proc as p
where p.pronamespace = 'procrastinate'::regnamespace
order by 1, 2, 3
"""
JOBS: Final = "select * from procrastinate.procrastinate_jobs order by id"


@pytest.fixture
def shared(server: Server, empty_database: Callable[[], str]) -> Iterator[Connection]:
    """A database with procrastinate's schema and a job of an application."""
    with psycopg.connect(empty_database(), autocommit=True) as db:
        name = sql.Identifier(OTHER)
        db.execute(sql.SQL("drop role if exists {}").format(name))
        db.execute(sql.SQL("create role {}").format(name))
        db.execute(sql.SQL("create schema procrastinate authorization {}").format(name))
        db.execute(sql.SQL("set role {}").format(name))
        db.execute("set search_path = procrastinate")
        db.execute(SchemaManager.get_schema())
        db.execute(
            "insert into procrastinate_jobs (queue_name, task_name, args) "
            "values ('mails', 'send', '{}')"
        )
        db.execute("reset role")
        db.execute("reset search_path")
        yield db
        db.execute("drop schema procrastinate cascade")
        db.execute(sql.SQL("drop role {}").format(name))


# Its owner may open it to everybody, and would then have his own code run by who uses it.
OPEN: Final = """
grant usage on schema procrastinate to public;
grant all on all tables in schema procrastinate to public;
grant all on all sequences in schema procrastinate to public
"""


@pytest.mark.parametrize("opened", ["", OPEN], ids=["closed", "open to everybody"])
def test_migrate_leaves_the_queue_of_another_application_alone(
    opened: str,
    server: Server,
    shared: Connection,
    launch: Callable[..., Worker],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It revoked execute from public, and let payout_worker rewrite its jobs."""
    before, jobs = shared.execute(RIGHTS).fetchall(), shared.execute(JOBS).fetchall()
    monkeypatch.setenv("DATABASE_URL", server.uri(shared.info.dbname))
    with server.migrating():
        for _ in range(2):
            assert cli.main(["migrate"]) == 0
            assert "queue: it belongs to another application and is" in capsys.readouterr().out
    assert shared.execute(RIGHTS).fetchall() == before
    for right in ("select", "insert", "update", "delete"):
        may = "select has_table_privilege('payout_worker', 'procrastinate.procrastinate_jobs', %s)"
        assert shared.execute(may, [right]).fetchone() == (False,)

    shared.execute(opened.encode())
    Engine(shared).settle("seller_1")
    with StripeDouble.in_thread() as double:
        login = server.uri(shared.info.dbname, user=login_name("payout_worker"), password=PASSWORD)
        worker = launch(database_url=login, stripe=double.url)
        wait_until(lambda: len(double.transfers()) == 1, tell=worker.log)
        worker.wait_for_reports(paid=1)
        doctor = dict(
            shared.execute("select check_name, status from payout_api.doctor()").fetchall()
        )
        assert doctor["the queue is the engine's own"] == "warning"
        assert doctor["wake-up jobs can be queued"] == "ok"
        worker.stop()
        told = worker.log()
        assert told.count("the queue in the schema procrastinate is closed to ") == 1
        assert "the queue's worker failed" not in told
    assert shared.execute(JOBS).fetchall() == jobs
