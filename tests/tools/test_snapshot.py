from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import psycopg
import pytest

from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from tools import snapshot


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout with one migration that makes one table."""
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations/0001-first.sql").write_text(
        "-- 0001-first: a table\n\n"
        "create schema payout;\ncreate schema payout_api;\ncreate schema procrastinate;\n"
        "create table payout.things ();\ncreate table procrastinate.jobs ();\n",
        encoding="utf-8",
    )
    return tmp_path


def test_a_dump_holds_our_schemas_and_nothing_that_changes_from_dump_to_dump(
    empty_database: Callable[[], str],
) -> None:
    uri = empty_database()
    with psycopg.connect(uri) as connection:
        for statement in (
            "create schema payout",
            "create schema payout_api",
            "create table payout.things ()",
            "create table public.others ()",
        ):
            connection.execute(statement)
    pg_dump = EmbeddedPostgres().bin("pg_dump")

    text = snapshot.dump(uri, pg_dump=pg_dump)

    assert "CREATE TABLE payout.things" in text
    assert "others" not in text
    for unstable in ("restrict", "Dumped", "Owner: postgres"):
        assert unstable not in text
    assert text == snapshot.dump(uri, pg_dump=pg_dump)


@pytest.fixture
def _one_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let all dumps of a test be made on one server."""
    with EmbeddedPostgres.start() as server:
        monkeypatch.setattr(EmbeddedPostgres, "start", lambda: nullcontext(server))
        yield


@pytest.mark.usefixtures("_one_server")
def test_the_command_writes_the_snapshot_and_checks_it(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["snapshot", "--root", str(tree), "--check"])
    assert snapshot.main() == 1
    assert capsys.readouterr().err == (
        "schema.snapshot.sql is not what the migrations make: run make snapshot\n"
    )

    monkeypatch.setattr("sys.argv", ["snapshot", "--root", str(tree)])
    assert snapshot.main() == 0
    assert capsys.readouterr().out.startswith("schema.snapshot.sql written, ")
    text = (tree / "schema.snapshot.sql").read_text(encoding="utf-8")
    assert "CREATE TABLE payout.things" in text
    assert "procrastinate" not in text

    assert snapshot.main() == 0
    assert capsys.readouterr().out == "schema.snapshot.sql is up to date\n"
