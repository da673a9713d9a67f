"""The files, the migrations by yoyo, the migrations by sqitch and the snapshot say the same."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from payout_engine import cli, migrate
from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from tests.conftest import ROOT, Connection, Server, install
from tests.migrations.checkouts import copy_checkout, describe, roll_back_all
from tools import migration, snapshot

Sqitch: TypeAlias = Callable[..., None]

LIBPQ_VARIABLES: Final = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
}
MAY_QUEUE: Final = (
    "select has_table_privilege('payout_owner', 'procrastinate.procrastinate_jobs', 'insert')"
)


@pytest.fixture
def migrating(server: Server) -> Iterator[None]:
    """Wait until no other test migrates."""
    with server.migrating():
        yield


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout whose migrations say what its files say."""
    return copy_checkout(tmp_path / "checkout")


@pytest.fixture
def built(migrating: None, empty_database: Callable[[], str]) -> str:
    """A database made of the files themselves."""
    uri = empty_database()
    install(uri)
    return uri


def make_sqitch(checkout: Path, home: Path, uri: str) -> Sqitch:
    """Give a function that runs sqitch on a database, with the settings of the project only."""
    parameters = conninfo_to_dict(uri)
    environment = {LIBPQ_VARIABLES[name]: str(value) for name, value in parameters.items()}
    environment |= {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "PSQL": shutil.which("psql") or EmbeddedPostgres().bin("psql"),
        "SQITCH_FULLNAME": "Test",
        "SQITCH_EMAIL": "test@localhost",
    }

    def run(*arguments: str) -> None:
        command = ["sqitch", *arguments, f"db:pg:{parameters['dbname']}"]
        done = subprocess.run(
            command, cwd=checkout, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def test_the_snapshot_is_what_the_files_say(built: str) -> None:
    text = (ROOT / snapshot.SNAPSHOT).read_text(encoding="utf-8")

    with psycopg.connect(built) as connection:
        assert snapshot.describe(connection) == text, "run make snapshot"


def test_the_first_rows_are_described(built: str) -> None:
    described = describe(built)

    assert described.count("\nseal_marks {") == 12
    assert '\nadoptions {"reason": "installed", ' in described


def test_yoyo_makes_of_the_migrations_what_the_files_say(
    built: str, empty_database: Callable[[], str], checkout: Path
) -> None:
    uri, scripts = empty_database(), checkout / "migrations"

    applied = migrate.apply_all(uri, migrations=scripts)
    assert applied == migration.migration_names(checkout)
    assert describe(uri) == describe(built)
    with psycopg.connect(uri) as connection:
        for name in applied:
            connection.execute(migration.verify_path(checkout, name).read_bytes())

    assert migrate.apply_all(uri, migrations=scripts) == []
    assert roll_back_all(uri, scripts) == applied[::-1]
    assert nothing_is_left(uri)
    assert migrate.apply_all(uri, migrations=scripts) == applied
    assert describe(uri) == describe(built)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("sqitch") is None, reason="sqitch is not on the PATH")
@pytest.mark.timeout(300)
def test_sqitch_makes_of_the_same_files_what_yoyo_makes(
    built: str,
    empty_database: Callable[[], str],
    checkout: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri = empty_database()
    sqitch = make_sqitch(checkout, tmp_path, uri)

    sqitch("deploy", "--verify")
    assert describe(uri) == describe(built)

    monkeypatch.setenv("DATABASE_URL", uri)
    assert cli.main(["migrate"]) == 0
    assert describe(uri) == describe(built)
    with psycopg.connect(uri) as connection:
        assert connection.execute(MAY_QUEUE).fetchone() == (True,)

    sqitch("revert", "-y")
    assert nothing_is_left(uri)


def nothing_is_left(uri: str) -> bool:
    """Tell whether a database has no schema, no default right and no temporary one of ours."""
    with psycopg.connect(uri) as connection:
        left = connection.execute(
            "select (select count(*) from pg_namespace where nspname like 'payout%') "
            "+ (select count(*) from pg_default_acl)"
        ).fetchone()
        may = connection.execute(
            "select has_database_privilege('public', current_database(), 'temporary')"
        ).fetchone()
    return (left, may) == ((0,), (True,))


def test_the_body_of_every_function_is_valid(db: Connection) -> None:
    """Migrations do not look into bodies, so that functions may come in any order."""
    functions = db.execute(
        """
        select p.oid, p.oid::regprocedure::text, l.lanvalidator::regproc::text
        from pg_proc as p
        join pg_language as l on l.oid = p.prolang
        where p.pronamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
        """
    ).fetchall()

    broken: list[str] = []
    for oid, name, validator in functions:
        try:
            db.execute(f"select {validator}(%s)", [oid])
        except psycopg.Error as error:
            broken.append(f"{name}: {error}")
    assert functions
    assert broken == []


def test_plpgsql_check_finds_nothing(clone: Connection) -> None:
    # In a session of its own: the library stays loaded, and meddles with functions that a later
    # test of the session replaces and undoes ("unrecognized node type").
    db = clone
    available = "select from pg_available_extensions where name = 'plpgsql_check'"
    if db.execute(available).rowcount == 0:
        pytest.skip("the server has no plpgsql_check (Debian: postgresql-15-plpgsql-check)")
    db.execute("create extension plpgsql_check")

    problems = db.execute(
        """
        select concat_ws(' ',
            c.functionid, 'on ' || t.relation, 'line ' || c.lineno, c.level, c.sqlstate,
            c.message, c.detail, c.hint, c.query)
        from pg_proc as p
        join pg_language as l on l.oid = p.prolang and l.lanname = 'plpgsql'
        left join lateral (
            select distinct g.tgrelid::regclass as relation, g.tgoldtable, g.tgnewtable
            from pg_trigger as g
            where g.tgfoid = p.oid and not g.tgisinternal
        ) as t on true
        cross join lateral plpgsql_check_function_tb(
            p.oid,
            coalesce(t.relation, 0),
            oldtable => t.tgoldtable,
            newtable => t.tgnewtable,
            all_warnings => true
        ) as c
        where p.pronamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
        """
    ).fetchall()

    assert not problems, "\n".join(problem for (problem,) in problems)
