"""`migrate` may be killed at any moment, by SIGKILL too: run again, it ends well.

An event trigger stops it after a chosen command, where it is killed. The server goes on with the
statement that it has begun, as it does for any client that is gone, and undoes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import psycopg
import pytest

from tests.conftest import Connection, Server, install
from tests.crash.workers import Worker, wait_until
from tests.migrations.checkouts import describe

pytestmark = pytest.mark.proof

MIGRATE: Final = ("-m", "payout_engine", "migrate")
# It counts commands, or those that come after the last migration is listed.
STOPPER: Final = """
create sequence commands;
create function stop() returns event_trigger language plpgsql security definer as $$
begin
    if {is_late} then
        if to_regclass('public._yoyo_migration') is null then
            return;
        end if;
        if not exists (select from public._yoyo_migration) then
            return;
        end if;
    end if;
    if nextval('public.commands') = {number} then
        perform pg_advisory_xact_lock(4711);
    end if;
end $$;
create event trigger stopper on ddl_command_end execute function stop();
"""
REMOVE: Final = "drop event trigger stopper; drop function stop(); drop sequence commands"
COUNTS: Final = """
select count(*) from pg_locks as l join pg_database as d on d.oid = l.database
where d.datname = current_database() and l.locktype = 'advisory' and l.objid = 4711
    and not l.granted
"""


@pytest.fixture
def db(server: Server, empty_database: Callable[[], str]) -> Iterator[Connection]:
    with server.migrating(), psycopg.connect(empty_database(), autocommit=True) as connection:
        yield connection


def uri_of(db: Connection, server: Server) -> str:
    return server.uri(db.info.dbname)


def kill_at(
    db: Connection, server: Server, launch: Callable[..., Worker], is_there: Callable[[], bool]
) -> bool:
    """Run migrate until it waits, kill it and let the server notice; tell if it got that far."""
    with psycopg.connect(uri_of(db, server), autocommit=True) as blocker:
        blocker.execute("select pg_advisory_lock(4711)")
        process = launch(MIGRATE, database_url=uri_of(db, server), stripe="http://127.0.0.1:1")
        wait_until(lambda: is_there() or not process.is_alive, seconds=120, tell=process.log)
        got_there = is_there()
        assert got_there or process.wait() == 0, process.log()
        process.kill()
    return got_there


def waits(db: Connection) -> bool:
    return db.execute(COUNTS).fetchone() == (1,)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("number", "is_late"),
    [
        *((number, False) for number in (1, 30)),  # the queue
        *((number, False) for number in (45, 46, 47, 48, 49)),  # yoyo's tables
        *((number, False) for number in (51, 70, 600, 1100)),  # the first migration
        *((number, True) for number in (1, 6)),  # the grants
    ],
)
def test_a_migrate_that_was_killed_is_simply_run_again(
    server: Server,
    db: Connection,
    empty_database: Callable[[], str],
    launch: Callable[..., Worker],
    number: int,
    is_late: bool,
) -> None:
    """ "Process N has locked this database", for ever (FIELD B19)."""
    db.execute(STOPPER.format(number=number, is_late=is_late).encode())
    assert kill_at(db, server, launch, lambda: waits(db)), "fewer commands than that"
    again = launch(MIGRATE, database_url=uri_of(db, server), stripe="http://127.0.0.1:1")
    wait_until(lambda: not again.is_alive, seconds=120, tell=again.log)
    assert again.wait() == 0, again.log()
    assert again.log().endswith("the database is up to date\n")
    assert_complete(db, empty_database)


def assert_complete(db: Connection, empty_database: Callable[[], str]) -> None:
    db.execute(REMOVE)
    db.execute("select payout.record_catalogue('without the stopper')")
    built = empty_database()
    install(built)
    assert describe(db.info.dsn) == describe(built)
    may = "select has_table_privilege('payout_owner', 'procrastinate.procrastinate_jobs', 'insert')"
    assert db.execute(may).fetchone() == (True,)
    assert db.execute("select from public.yoyo_lock").rowcount == 0


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_script_is_listed_in_the_transaction_that_runs_it(
    server: Server,
    db: Connection,
    empty_database: Callable[[], str],
    launch: Callable[..., Worker],
) -> None:
    """Killed between the two, yoyo would run it again: "schema payout exists"."""
    db.execute(STOPPER.format(number=70, is_late=False).encode())
    assert kill_at(db, server, launch, lambda: waits(db))  # yoyo's tables are there now
    db.execute(
        "create function wait() returns trigger language plpgsql as $$ begin "
        "perform pg_advisory_xact_lock(4711); return new; end $$"
    )
    db.execute(
        "create trigger wait before insert on public._yoyo_migration "
        "for each row execute function wait()"
    )
    assert kill_at(db, server, launch, lambda: waits(db))
    db.execute("drop function wait() cascade")
    again = launch(MIGRATE, database_url=uri_of(db, server), stripe="http://127.0.0.1:1")
    wait_until(lambda: not again.is_alive, seconds=120, tell=again.log)
    assert again.wait() == 0, again.log()
    assert_complete(db, empty_database)
