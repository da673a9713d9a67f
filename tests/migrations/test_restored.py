"""`migrate` puts owners and rights back after a restore by a hosting provider's tool."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from payout_engine import cli
from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from payout_engine_sandbox.stripe_double import StripeDouble
from tests.end_to_end.test_install import SETTLE
from tools import snapshot


@pytest.fixture
def source() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres.start() as server:
        yield server


@pytest.fixture
def target() -> Iterator[EmbeddedPostgres]:
    """A cluster that has never seen the engine's roles, and a login that is no superuser."""
    with EmbeddedPostgres.start() as server:
        with psycopg.connect(server.uri(), autocommit=True) as connection:
            connection.execute("create role installer login createrole")
            connection.execute("create role till login")
            connection.execute("create database shop owner installer")
        yield server


@pytest.mark.parametrize("login", ["installer", "postgres"])
def test_owners_and_rights_are_put_back(
    source: EmbeddedPostgres,
    target: EmbeddedPostgres,
    login: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """ "permission denied", and "up to date" without a change (FIELD B6)."""
    monkeypatch.setenv("DATABASE_URL", source.uri())
    assert cli.main(["migrate"]) == 0
    with StripeDouble.in_thread() as double, psycopg.connect(source.uri(), autocommit=True) as db:
        db.execute(SETTLE.encode())
        monkeypatch.setenv("STRIPE_API_KEY", "sk_test_restored")
        monkeypatch.setenv("STRIPE_API_BASE", double.url)
        assert cli.main(["execute", "1"]) == 0
        db.execute(SETTLE.replace("set_1", "set_2").encode())
        before = snapshot.describe(db)
        books = db.execute("select * from payout_api.trial_balance").fetchall()
    kept = tmp_path / "dump"
    run(source, "pg_dump", "-Fc", f"--file={kept}", source.uri())
    uri = target.uri("shop", user=login)
    run(target, "pg_restore", "--no-owner", "--no-acl", f"--dbname={uri}", str(kept))

    monkeypatch.setenv("DATABASE_URL", target.uri("shop", user="till"))
    capsys.readouterr()
    for command in ("doctor", "reconcile", "execute 2"):
        assert cli.main(command.split()) == 2
        assert "rights" in (said := capsys.readouterr().err)
        assert "run payout-engine migrate as its owner" in said
    monkeypatch.setenv("DATABASE_URL", uri)
    assert cli.main(["migrate"]) == 0, capsys.readouterr().err
    told = capsys.readouterr().out
    assert "rights: owners and rights are as they were recorded again\n" in told
    assert "migration:" not in told
    with psycopg.connect(target.uri("shop"), autocommit=True) as db:
        differences = db.execute("select * from payout_api.catalogue_differences()")
        assert differences.fetchall() == []
        assert snapshot.describe(db) == before
        assert db.execute("select * from payout_api.trial_balance").fetchall() == books
        public = "select has_database_privilege('public', 'shop', 'temporary')"
        assert db.execute(public).fetchone() == (False,)
        db.execute("grant payout_worker to till")
    assert cli.main(["migrate"]) == 0
    assert "rights:" not in capsys.readouterr().out

    with StripeDouble.in_thread() as double:
        monkeypatch.setenv("DATABASE_URL", target.uri("shop", user="till"))
        monkeypatch.setenv("STRIPE_API_BASE", double.url)
        assert cli.main(["execute", "2"]) == 2
        assert "this database is not the one that was adopted" in capsys.readouterr().err
        cli.main(["doctor"])
        wrong = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
        assert all("adopted" in line or "a worker is alive" in line for line in wrong), wrong


def run(server: EmbeddedPostgres, program: str, *arguments: str) -> None:
    done = subprocess.run(
        [server.bin(program), *arguments], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr


def test_objects_that_belong_to_another_login_are_named(
    target: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", target.uri("shop"))
    assert cli.main(["migrate"]) == 0
    with psycopg.connect(target.uri("shop"), autocommit=True) as db:
        db.execute("grant payout_owner to installer")
        db.execute("alter table payout.payees owner to postgres")
    monkeypatch.setenv("DATABASE_URL", target.uri("shop", user="installer"))
    capsys.readouterr()
    assert cli.main(["migrate"]) == 2
    assert capsys.readouterr().err == (
        "payout-engine: nothing was changed: the engine's objects belong to postgres: run this as "
        "that login, or as a superuser\n"
    )
