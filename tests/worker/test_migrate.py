from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import psycopg
import pytest
from yoyo.connections import parse_uri

from payout_engine import migrate
from payout_engine.errors import UserError
from payout_engine.sql_files import migration_names, sql_root
from tests.conftest import ROOT, Connection


def write(folder: Path, name: str, text: str) -> Path:
    """Write a migration into a folder; return its file."""
    script = folder / f"{name}.sql"
    script.write_text(text, encoding="utf-8")
    return script


def test_the_sql_of_a_checkout_is_its_own() -> None:
    assert sql_root() == ROOT


@pytest.mark.parametrize("missing", ["sql/queue_grants.sql", "migrations/0001-first.sql"])
def test_a_package_without_its_sql_says_how_to_get_it(tmp_path: Path, missing: str) -> None:
    package = tmp_path / "lib" / "site-packages" / "payout_engine"
    names = ("sql/queue_grants.sql", "migrations/0001-first.sql")
    for name in names:
        (package / name).parent.mkdir(parents=True)
        (package / name).touch()
    (package / "migrations" / "0001-first.rollback.sql").touch()
    (package / missing).unlink()

    with pytest.raises(UserError) as refusal:
        sql_root(package)

    assert str(refusal.value) == (
        f"{package} lacks its SQL files: install payout-engine again, from its wheel or a checkout"
    )
    (package / missing).touch()
    assert sql_root(package) == package
    assert migration_names(package / "migrations") == ["0001-first"]


@pytest.mark.parametrize(
    "conninfo",
    [
        "postgresql://me:p%40ss%2Fword@db.example:5433/shop?sslmode=require",
        "host=/run/postgresql port=5433 dbname=shop user=me password='p@ss/word'",
        "postgres://me@one:5432,two:5433/shop?target_session_attrs=read-write",
        "postgresql:///shop?options=-c%20search_path%3Dx",
    ],
)
def test_yoyo_connects_with_exactly_the_parameters_of_the_libpq_uri(conninfo: str) -> None:
    parsed = parse_uri(migrate.yoyo_uri(conninfo))

    assert parsed.scheme == "postgresql+psycopg"
    assert (parsed.hostname, parsed.username, parsed.password) == (None, None, None)
    assert parsed.args == psycopg.conninfo.conninfo_to_dict(conninfo)


def test_a_failing_migration_is_named_and_leaves_nothing_behind(
    tmp_path: Path, empty_database: Callable[[], str]
) -> None:
    text = "-- 0001-broken: x\n\ncreate table t ();\nselect 1 / 0;\n"
    script = write(tmp_path, "0001-broken", text)
    uri = empty_database()

    with pytest.raises(psycopg.errors.DivisionByZero, match="division by zero") as failure:
        migrate.apply_all(uri, migrations=tmp_path)

    assert failure.value.__notes__ == [f"while applying {script}"]
    with psycopg.connect(uri) as connection:
        assert connection.execute("select to_regclass('t')").fetchone() == (None,)


LOCKS: Final = """\
-- 0001-locks: x

set local lock_timeout = '100ms';
lock table t in access exclusive mode;
alter table t add n int;
"""


def test_a_migration_that_workers_get_in_the_way_of_is_tried_again(
    tmp_path: Path, empty_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade beside four workers ended in "deadlock detected", and nothing was said to do."""
    write(tmp_path, "0001-locks", LOCKS)
    uri = empty_database()
    pauses: list[float] = []
    with psycopg.connect(uri, autocommit=True) as connection, psycopg.connect(uri) as other:
        connection.execute("create table t ()")
        other.execute("select from t")

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                other.rollback()

        monkeypatch.setattr(migrate, "time", SimpleNamespace(sleep=pause))
        assert migrate.apply_all(uri, migrations=tmp_path) == ["0001-locks"]
        assert len(pauses) == 3


def test_a_migration_that_never_gets_its_locks_says_so_and_leaves_nothing_behind(
    tmp_path: Path, empty_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "0001-locks", LOCKS)
    uri = empty_database()
    monkeypatch.setattr(migrate, "PAUSE_SECONDS", (0, 0))
    monkeypatch.setattr(migrate, "TRIES", 2)
    with psycopg.connect(uri, autocommit=True) as connection, psycopg.connect(uri) as other:
        connection.execute("create table t ()")
        other.execute("select from t")
        with pytest.raises(UserError) as refusal:
            migrate.apply_all(uri, migrations=tmp_path)
        other.rollback()
        assert str(refusal.value) == (
            "nothing of 0001-locks was applied: 2 times other sessions held its locks (canceling "
            "statement due to lock timeout). Run this again, with fewer workers if need be; long "
            "transactions of others are in pg_stat_activity"
        )
        assert migrate.apply_all(uri, migrations=tmp_path) == ["0001-locks"]


def test_postgres_gets_the_whole_script_and_names_the_line_that_is_wrong(
    tmp_path: Path, empty_database: Callable[[], str]
) -> None:
    write(tmp_path, "0001-broken", "-- 0001-broken: x\n\ncreate table t ();\ntable none;\n")

    with pytest.raises(psycopg.errors.UndefinedTable, match="LINE 4: table none"):
        migrate.apply_all(empty_database(), migrations=tmp_path)


@pytest.mark.parametrize("between", ["", "\n", "  -- y\n\n  "])
def test_a_script_is_applied_after_those_that_it_depends_on(
    tmp_path: Path, empty_database: Callable[[], str], between: str
) -> None:
    text = f"-- 0001-after: x\n{between}-- depends: 0002-before\n\nalter table t add n int;\n"
    write(tmp_path, "0001-after", text)
    write(tmp_path, "0002-before", "create table t ();\n")

    assert migrate.apply_all(empty_database(), migrations=tmp_path) == ["0002-before", "0001-after"]


def yoyo_tables(db: Connection) -> int:
    return db.execute("select from pg_tables where tablename ~ 'yoyo'").rowcount


def write_registry(db: Connection, *names: str) -> None:
    """Let the database look as if sqitch had deployed all that it has, under these names."""
    assert yoyo_tables(db) == 0
    db.execute("create schema sqitch")
    db.execute("create table sqitch.changes (change_id text, change text, project text)")
    for name in ("0001-of-another-project", *names):
        project = "payout-engine" if name in names else "shop"
        db.execute("insert into sqitch.changes values (md5(%s), %s, %s)", [name, name, project])


def test_migrations_that_sqitch_has_deployed_are_not_applied_again(
    db: Connection, dsn: Callable[..., str]
) -> None:
    write_registry(db, *migration_names(ROOT / "migrations"))

    assert migrate.apply_all(dsn()) == []
    assert yoyo_tables(db) == 0


def test_a_deployment_that_sqitch_has_begun_is_left_to_sqitch(
    db: Connection, dsn: Callable[..., str], tmp_path: Path
) -> None:
    for name in ("0001-first", "0002-second", "0003-third"):
        write(tmp_path, name, f"-- {name}: x\n\ncreate table t ();\n")
    write_registry(db, "0001-first")

    with pytest.raises(UserError) as refusal:
        migrate.apply_all(dsn(), migrations=tmp_path)

    assert str(refusal.value) == (
        "sqitch has deployed 1 of the 3 migrations; not yet: 0002-second, 0003-third. "
        "Run sqitch deploy first, then this again"
    )
    assert yoyo_tables(db) == 0


def test_changes_of_another_project_in_sqitchs_registry_do_not_count(
    db: Connection, dsn: Callable[..., str], tmp_path: Path
) -> None:
    write_registry(db)
    name = "0001-of-another-project"
    write(tmp_path, name, f"-- {name}: x\n\ncreate table t ();\n")

    assert migrate.apply_all(dsn(), migrations=tmp_path) == [name]
