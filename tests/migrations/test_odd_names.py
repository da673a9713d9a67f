"""The tools as the README writes them take any name of a database and any password."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from payout_engine import cli
from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from tests.conftest import ROOT

pytestmark = pytest.mark.proof

NAME: Final = "shop %41 @x/y"
PASSWORD: Final = "p@ %25/?:s#'"
HBA: Final = """
host all installer 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """A server that asks for the password."""
    with EmbeddedPostgres.start() as server:
        with psycopg.connect(server.uri(), autocommit=True) as db:
            secret = sql.Literal(PASSWORD)
            db.execute(sql.SQL("create role installer superuser login password {}").format(secret))
            [(path,)] = db.execute("show hba_file").fetchall()
            Path(path).write_text(HBA, encoding="ascii")
            db.execute("select pg_reload_conf()")
        yield server


@pytest.fixture
def odd(server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of a database with such a name; libpq's variables name it too."""
    with psycopg.connect(server.uri(), autocommit=True) as db:
        db.execute(sql.SQL("create database {}").format(sql.Identifier(NAME)))
        host, port = db.info.host, db.info.port
        named = {"HOST": host, "PORT": port, "USER": "installer", "DATABASE": NAME}
        for name, value in {**named, "PASSWORD": PASSWORD}.items():
            monkeypatch.setenv(f"PG{name}", str(value))
        yield (
            f"postgresql://installer:{quote(PASSWORD, safe='')}@{host}:{port}/"
            f"{quote(NAME, safe='')}"
        )
        db.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(NAME)))


def command(program: str) -> list[str]:
    """Return a command as the README has it, without its comment."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    [line] = re.findall(rf"^({program} .*?)  +#", text, flags=re.MULTILINE)
    words: list[str] = line.split()
    return words


def run(words: list[str], home: Path) -> None:
    done = subprocess.run(
        words,
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ
        | {
            "HOME": str(home),
            "SQITCH_FULLNAME": "Test",
            "SQITCH_EMAIL": "test@localhost",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def check(uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for url in (uri, "postgresql://"):
        monkeypatch.setenv("DATABASE_URL", url)
        assert cli.main(["migrate"]) == 0
        assert "migration:" not in capsys.readouterr().out
    with psycopg.connect(uri) as db:
        assert db.info.dbname == NAME
        assert db.execute("select * from payout_api.catalogue_differences()").fetchall() == []


def test_our_command_takes_them(
    odd: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", odd)
    assert cli.main(["migrate"]) == 0
    capsys.readouterr()
    check(odd, monkeypatch, capsys)


def test_yoyo_takes_them(
    odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The database "shop%20…" did not exist (FIELD B21)."""
    run(command("yoyo apply"), tmp_path)
    check(odd, monkeypatch, capsys)


@pytest.mark.skipif(shutil.which("sqitch") is None, reason="sqitch is not on the PATH")
@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not on the PATH")
def test_sqitch_takes_them(
    odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(command("sqitch deploy"), tmp_path)
    check(odd, monkeypatch, capsys)
