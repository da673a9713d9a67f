from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from yoyo.connections import parse_uri

from tools import migrate


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
    (tmp_path / "migrations").mkdir()
    script = tmp_path / "migrations/0001-broken.sql"
    script.write_text("-- 0001-broken: x\n\ncreate table t ();\nselect 1 / 0;\n", encoding="utf-8")
    uri = empty_database()

    with pytest.raises(psycopg.errors.DivisionByZero, match="division by zero") as failure:
        migrate.apply_all(uri, tmp_path)

    assert failure.value.__notes__ == [f"while applying {script}"]
    with psycopg.connect(uri) as connection:
        assert connection.execute("select to_regclass('t')").fetchone() == (None,)
