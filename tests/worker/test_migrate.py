from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from yoyo.connections import parse_uri

from payout_engine import migrate
from payout_engine.errors import MigrationError
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

    with pytest.raises(MigrationError) as refusal:
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


def test_postgres_gets_the_whole_script_and_names_the_line_that_is_wrong(
    tmp_path: Path, empty_database: Callable[[], str]
) -> None:
    write(tmp_path, "0001-broken", "-- 0001-broken: x\n\ncreate table t ();\ntable none;\n")

    with pytest.raises(psycopg.errors.UndefinedTable, match="LINE 4: table none"):
        migrate.apply_all(empty_database(), migrations=tmp_path)


@pytest.mark.parametrize("between", ["", "\n", "  -- y\n\n  "])
def test_what_a_script_depends_on_is_applied_before_it(
    tmp_path: Path, empty_database: Callable[[], str], between: str
) -> None:
    text = f"-- 0001-after: x\n{between}-- depends: 0002-before\n\nalter table t add n int;\n"
    write(tmp_path, "0001-after", text)
    write(tmp_path, "0002-before", "create table t ();\n")

    assert migrate.apply_all(empty_database(), migrations=tmp_path) == ["0002-before", "0001-after"]


def write_registry(db: Connection, *names: str) -> None:
    """Let the database look as if sqitch had deployed what it has, under these names."""
    db.execute("drop table public._yoyo_migration, public._yoyo_log, public._yoyo_version")
    db.execute("drop table public.yoyo_lock")
    db.execute("create schema sqitch")
    db.execute("create table sqitch.changes (change_id text, change text, project text)")
    for name in ("0001-of-another-project", *names):
        project = "payout-engine" if name in names else "shop"
        db.execute("insert into sqitch.changes values (md5(%s), %s, %s)", [name, name, project])


def yoyo_tables(db: Connection) -> int:
    return db.execute("select from pg_tables where tablename ~ 'yoyo'").rowcount


def test_what_sqitch_has_deployed_is_not_applied_again(
    db: Connection, dsn: Callable[..., str]
) -> None:
    write_registry(db, *migration_names(ROOT / "migrations"))

    assert migrate.apply_all(dsn()) == []
    assert yoyo_tables(db) == 0


def test_what_sqitch_has_begun_is_left_to_sqitch(
    db: Connection, dsn: Callable[..., str], tmp_path: Path
) -> None:
    for name in ("0001-first", "0002-second", "0003-third"):
        write(tmp_path, name, f"-- {name}: x\n\ncreate table t ();\n")
    write_registry(db, "0001-first")

    with pytest.raises(MigrationError) as refusal:
        migrate.apply_all(dsn(), migrations=tmp_path)

    assert str(refusal.value) == (
        "sqitch has deployed 1 of the 3 migrations; not yet: 0002-second, 0003-third. "
        "Run sqitch deploy first, then this again"
    )
    assert yoyo_tables(db) == 0


def test_what_another_project_has_deployed_with_sqitch_does_not_count(
    db: Connection, dsn: Callable[..., str], tmp_path: Path
) -> None:
    write_registry(db)
    name = "0001-of-another-project"
    write(tmp_path, name, f"-- {name}: x\n\ncreate table t ();\n")

    assert migrate.apply_all(dsn(), migrations=tmp_path) == [name]
