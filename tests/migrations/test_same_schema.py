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
from yoyo import get_backend, read_migrations

from payout_engine import cli
from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from tests.conftest import ROOT, Connection, Server
from tools import frozen, migrate, snapshot

Sqitch: TypeAlias = Callable[..., None]

LIBPQ_VARIABLES: Final = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
}
MAY_RING: Final = (
    "select has_table_privilege('payout_owner', 'procrastinate.procrastinate_jobs', 'insert')"
)


@pytest.fixture
def migrating(server: Server) -> Iterator[None]:
    """Wait until no other test migrates."""
    with server.migrating():
        yield


def dump(uri: str) -> str:
    with psycopg.connect(uri) as connection:
        found = connection.execute(
            "select from pg_namespace where nspname = any(%s)", [[*snapshot.SCHEMAS]]
        )
        # pg_dump refuses to dump a schema that does not exist.
        if found.rowcount == 0:
            return ""
    return snapshot.dump(uri, pg_dump=EmbeddedPostgres().bin("pg_dump"))


def make_sqitch(home: Path, uri: str) -> Sqitch:
    """Give a function that runs sqitch on a database, with nobody's settings but the project's."""
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
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def test_the_snapshot_is_what_the_migrations_make(dsn: Callable[..., str]) -> None:
    text = (ROOT / snapshot.SNAPSHOT).read_text(encoding="utf-8")

    # Only a server of the same version says it in the same words.
    made = snapshot.snapshot(ROOT) if os.environ.get("DATABASE_URL") else dump(dsn())
    assert made == text, "run make snapshot"


@pytest.mark.usefixtures("migrating")
def test_every_rollback_restores_the_schema_before_its_migration(
    empty_database: Callable[[], str],
) -> None:
    """Of the newest migration and those that may still change: the others were tested so too."""
    uri = empty_database()
    migrations = read_migrations(str(ROOT / "migrations"))
    with get_backend(migrate.yoyo_uri(uri)) as backend:
        *older, newest = backend.to_apply(migrations)
        settled = [one for one in older if frozen.is_released(ROOT, one.id)]
        tried = [*older[len(settled) :], newest]
        for migration in settled:
            backend.apply_one(migration)
        dumps = [dump(uri)]
        for migration in tried:
            backend.apply_one(migration)
            dumps.append(dump(uri))

        whole = dumps.pop()
        for migration in reversed(tried):
            backend.rollback_one(migration)
            assert dump(uri) == dumps.pop(), f"after the rollback of {migration.id}"

    assert migrate.apply_all(uri, ROOT) == [one.id for one in tried]
    assert dump(uri) == whole
    assert migrate.apply_all(uri, ROOT) == []


@pytest.mark.long
@pytest.mark.usefixtures("migrating")
@pytest.mark.skipif(shutil.which("sqitch") is None, reason="sqitch is not on the PATH")
@pytest.mark.timeout(300)
def test_sqitch_makes_of_the_same_files_what_yoyo_makes(
    dsn: Callable[..., str],
    empty_database: Callable[[], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by_yoyo, by_sqitch = dump(dsn()), empty_database()
    nothing = dump(by_sqitch)
    sqitch = make_sqitch(tmp_path, by_sqitch)

    sqitch("deploy", "--verify")
    assert dump(by_sqitch) == by_yoyo

    monkeypatch.setenv("DATABASE_URL", by_sqitch)
    assert cli.main(["migrate"]) == 0
    assert dump(by_sqitch) == by_yoyo
    with psycopg.connect(by_sqitch) as connection:
        assert connection.execute(MAY_RING).fetchone() == (True,)

    sqitch("revert", "-y")
    assert dump(by_sqitch) == nothing


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


def test_plpgsql_check_finds_nothing(db: Connection) -> None:
    available = "select from pg_available_extensions where name = 'plpgsql_check'"
    if db.execute(available).rowcount == 0:
        pytest.skip("the server has no plpgsql_check (Debian: postgresql-15-plpgsql-check)")
    db.execute("create extension plpgsql_check")

    findings = db.execute(
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

    assert not findings, "\n".join(finding for (finding,) in findings)
