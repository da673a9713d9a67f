"""Everything that can be wrong is said in a sentence before `migrate` has written anything.

Roles belong to the whole server, so this has a server of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from payout_engine import cli, prerequisites, queue_schema
from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from tests.crash.dumps import dump, restore

Migrate: Final = ["migrate"]
LOGINS: Final = """
create role installer login createrole;
create role guest login createrole;
create role plain login;
"""
MADE: Final = """
select array(select nspname::text from pg_namespace where nspname ~ '^(payout|procrastinate)')
    || array(select rolname::text from pg_roles where rolname ~ '^payout_')
    || array(select relname::text from pg_class where relname ~ '^_?yoyo')
"""


@pytest.fixture(scope="module")
def managed() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres.start() as server:
        with psycopg.connect(server.uri(), autocommit=True) as connection:
            connection.execute(LOGINS.encode())
        yield server


@pytest.fixture
def shop(managed: EmbeddedPostgres) -> Iterator[Callable[..., str]]:
    """Give the URI of a fresh database, made and prepared with these statements, for a login."""
    with psycopg.connect(managed.uri(), autocommit=True) as connection:

        def make(login: str = "installer", *, like: str = "", then: str = "") -> str:
            connection.execute(f"create database shop owner installer {like}".encode())
            if then:
                with psycopg.connect(managed.uri("shop"), autocommit=True) as inside:
                    inside.execute(then.encode())
            return managed.uri("shop", user=login)

        yield make
        connection.execute("drop database if exists shop with (force)")


def refused(uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setenv("DATABASE_URL", uri)
    assert cli.main([*Migrate]) == 2
    out, told = capsys.readouterr()
    assert out == ""
    assert len(told.splitlines()) == 1
    return told.removeprefix("payout-engine: nothing was changed: ").strip()


LATIN1: Final = "encoding 'LATIN1' template template0 locale 'C'"


@pytest.mark.parametrize(
    ("login", "like", "then", "told"),
    [
        ("installer", LATIN1, "", "the database shop has the encoding LATIN1, in which "),
        (
            "postgres",
            LATIN1.replace("LATIN1", "SQL_ASCII"),
            "",
            "the database shop has the encoding SQL_ASCII, in which ",
        ),
        ("plain", "", "", "the login plain may not create roles, and payout_owner, payout_app, "),
        (
            "guest",
            "",
            "grant create on database shop to guest",
            "the login guest does not own the database shop: alter database shop owner to guest, ",
        ),
        (
            "installer",
            "",
            "drop schema public",
            "the login installer may not create tables in the schema public, where yoyo keeps",
        ),
        (
            "installer",
            "",
            "alter database shop set default_transaction_read_only = on",
            "transactions are read-only (default_transaction_read_only): ",
        ),
        (
            "installer",
            "",
            "create schema payout",
            "the database shop has a schema payout that is not the engine's: install into ",
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(
    shop: Callable[..., str],
    managed: EmbeddedPostgres,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    login: str,
    like: str,
    then: str,
    told: str,
) -> None:
    """A traceback after half the work, or an installation that refuses every id (FIELD B8)."""
    uri = shop(login, like=like, then=then)
    assert refused(uri, monkeypatch, capsys).startswith(told)
    with psycopg.connect(managed.uri("shop")) as connection:
        assert connection.execute(MADE.encode()).fetchone() in ([], ([],), (["payout"],))


def test_a_standby_is_left_alone_and_the_primary_is_asked_for(
    managed: EmbeddedPostgres,
    shop: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its transactions are read-only too, which no setting changes."""
    shop()
    with EmbeddedPostgres.start(primary=managed) as standby:
        uri = standby.uri("shop", user="installer")
        told = "the server is a standby: give DATABASE_URL the primary"
        assert refused(uri, monkeypatch, capsys) == told
        with psycopg.connect(uri) as connection:
            assert connection.execute(MADE.encode()).fetchone() == ([],)


def test_another_major_version_is_refused(
    shop: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prerequisites, "NEWEST", 14)
    assert "and this release works on 15 to 14" in refused(shop(), monkeypatch, capsys)


def test_settings_of_the_database_change_nothing(
    shop: Callable[..., str],
    managed: EmbeddedPostgres,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The doctor listed all correct rights as excess, and migrate failed (FIELD B7, B8)."""
    settings = (
        "standard_conforming_strings = off",
        "quote_all_identifiers = on",
        "default_transaction_isolation = 'serializable'",
        "search_path = nowhere",
        "statement_timeout = '1ms'",
        "idle_in_transaction_session_timeout = '1ms'",
        "bytea_output = 'escape'",
        "datestyle = 'German'",
        "transaction_timeout = '500ms'",  # of PostgreSQL 17
    )
    then = "".join(f"alter database shop set {setting};" for setting in settings)
    monkeypatch.setenv("DATABASE_URL", shop(then=then))
    assert cli.main([*Migrate]) == 0, capsys.readouterr().err
    with psycopg.connect(
        managed.uri("shop"),
        options="-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 "
        "-c transaction_timeout=0",
    ) as connection:
        found = connection.execute("select * from payout_api.catalogue_differences()")
        assert found.fetchall() == []
        table = connection.execute("select to_regclass('public._yoyo_migration') is not null")
        assert table.fetchone() == (True,)
    assert cli.main([*Migrate]) == 0


def test_a_login_whose_transactions_are_read_only_is_refused_where_the_engine_is_already(
    managed: EmbeddedPostgres,
    shop: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uri = shop()
    monkeypatch.setenv("DATABASE_URL", uri)
    assert cli.main([*Migrate]) == 0, capsys.readouterr().err
    capsys.readouterr()
    with psycopg.connect(managed.uri(), autocommit=True) as connection:
        connection.execute("alter role installer set default_transaction_read_only = on")
        try:
            told = refused(uri, monkeypatch, capsys)
        finally:
            connection.execute("alter role installer reset default_transaction_read_only")
    assert told.startswith(
        "transactions are read-only (default_transaction_read_only): turn that off once you know"
    )
    assert cli.main([*Migrate]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("may_create_roles", [True, False])
def test_a_second_owner_installs_beside_the_roles_of_the_first(
    may_create_roles: bool,
    shop: Callable[..., str],
    managed: EmbeddedPostgres,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Refused, granted what the refusal said, and refused again after half the work."""
    monkeypatch.setenv("DATABASE_URL", shop())
    assert cli.main([*Migrate]) == 0
    with psycopg.connect(managed.uri(), autocommit=True) as connection:
        connection.execute("drop database shop")
        connection.execute("create role second login")
        if may_create_roles:
            connection.execute("alter role second createrole")
        connection.execute("create database shop owner second")
        uri = managed.uri("shop", user="second")
        capsys.readouterr()
        told = refused(uri, monkeypatch, capsys)
        assert told.startswith("the login second cannot act as payout_owner: grant ")
        connection.execute(told.partition(": ")[2].encode())
        try:
            assert cli.main([*Migrate]) == 0, capsys.readouterr().err
            assert cli.main([*Migrate]) == 0
        finally:
            connection.execute("drop database shop with (force)")
            connection.execute("drop role second")


def test_a_login_of_a_part_is_not_told_to_take_the_rights_of_the_owner(
    shop: Callable[..., str],
    managed: EmbeddedPostgres,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It was "grant payout_owner to" the worker."""
    monkeypatch.setenv("DATABASE_URL", shop())
    assert cli.main([*Migrate]) == 0
    with psycopg.connect(managed.uri("shop"), autocommit=True) as connection:
        connection.execute("create role part login in role payout_worker")
        capsys.readouterr()
        try:
            assert refused(managed.uri("shop", user="part"), monkeypatch, capsys) == (
                "the login part cannot act as payout_owner: run this as the owner of the "
                "database shop"
            )
        finally:
            connection.execute("drop role part")


def test_a_dump_of_the_schema_alone_is_refused_with_the_way_out(
    shop: Callable[..., str],
    managed: EmbeddedPostgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As test databases are made of an application's schema: it was an AssertionError of yoyo's."""
    monkeypatch.setenv("DATABASE_URL", shop())
    assert cli.main([*Migrate]) == 0
    uri = managed.uri("shop")
    dumped = dump(uri, tmp_path / "schema.sql", "--schema-only")
    with psycopg.connect(managed.uri(), autocommit=True) as connection:
        connection.execute("drop database shop")
        connection.execute("create database shop")
    restore(dumped, uri)
    capsys.readouterr()
    told = refused(uri, monkeypatch, capsys)
    assert told.startswith("the database shop has the engine's tables without their first rows, ")
    way_out = told.partition("leaves them: ")[2].removesuffix("; then run this again")
    with psycopg.connect(uri) as connection:
        connection.execute(way_out.encode())
    assert cli.main([*Migrate]) == 0, capsys.readouterr().err


def test_a_lock_that_a_killed_yoyo_left_behind_stops_nobody_and_a_living_session_is_named(
    shop: Callable[..., str],
    managed: EmbeddedPostgres,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """ "Process N has locked this database", for ever (FIELD B19)."""
    left_behind = (
        "create table yoyo_lock (locked int primary key default 1, ctime timestamp, pid int); "
        "insert into yoyo_lock (pid) values (1); alter table yoyo_lock owner to installer"
    )
    monkeypatch.setenv("DATABASE_URL", shop(then=left_behind))
    monkeypatch.setattr(queue_schema, "MIGRATION_LOCK_SECONDS", 1)
    with psycopg.connect(managed.uri("shop"), autocommit=True) as other:
        other.execute(f"select pg_advisory_lock({queue_schema.MIGRATION_LOCK})".encode())
        assert cli.main([*Migrate]) == 2
        assert re.search(
            rf"another migrate is at work .* process {other.info.backend_pid}: run this again once",
            capsys.readouterr().err,
        )
    assert cli.main([*Migrate]) == 0, capsys.readouterr().err


def test_a_schema_of_a_later_release_is_left_alone(
    dsn: Callable[..., str],
    db: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    db.execute("create table public._yoyo_migration ()")
    db.execute(
        "create or replace function payout_api.release() returns text language sql "
        "as $$ select '1.1' $$"
    )
    told = refused(dsn(), monkeypatch, capsys)
    assert told.startswith("the database is of release 1.1 and this is payout-engine 1.")
