"""docs/tables.md has a row for each table."""

from __future__ import annotations

import re

from tests.conftest import ROOT, Connection


def test_the_page_names_each_table_and_tells_how_many_there_are(db: Connection) -> None:
    tables = {
        name
        for (name,) in db.execute("select tablename from pg_tables where schemaname = 'payout'")
    }
    page = (ROOT / "docs/tables.md").read_text(encoding="utf-8")
    rows = "\n".join(line for line in page.splitlines() if line.startswith("| `"))
    assert {name for name in tables if f"`{name}`" not in rows} == set()
    assert re.search(r"^(\d+) tables in schema `payout`", page, re.MULTILINE)[1] == str(len(tables))  # type: ignore[index]
