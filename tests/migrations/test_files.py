from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from pglast import ast

from tests.conftest import ROOT
from tools import migration, schema_files

NAMES: Final = migration.migration_names(ROOT)
MIGRATIONS: Final = ROOT / "migrations"


def scripts(name: str) -> list[Path]:
    return [migration.deploy_path(ROOT, name), migration.revert_path(ROOT, name)]


def test_a_released_migration_never_changes() -> None:
    changed = [
        file
        for file, seal in migration.released(ROOT).items()
        if migration.file_seal(MIGRATIONS / file) != seal
    ]
    assert not changed, "migrations/FROZEN lists these: begin a new migration instead"


def test_all_but_the_newest_migration_are_released() -> None:
    released = [name for name in NAMES if migration.is_released(ROOT, name)]

    assert NAMES[: len(released)] == released
    assert len(NAMES) - len(released) <= 1
    assert {*migration.released(ROOT)} == {
        path.relative_to(MIGRATIONS).as_posix() for name in released for path in scripts(name)
    }


def test_migrations_are_numbered_without_a_gap() -> None:
    assert NAMES
    assert all(migration.MIGRATION_NAME.fullmatch(name) for name in NAMES)
    assert [int(name[:4]) for name in NAMES] == [*range(1, len(NAMES) + 1)]


@pytest.mark.parametrize("name", NAMES)
def test_a_header_says_why_and_what_comes_before(name: str) -> None:
    text = migration.deploy_path(ROOT, name).read_text(encoding="utf-8")
    position = NAMES.index(name)

    assert re.match(rf"-- {name}: \S.*\n", text)
    depends = re.findall(r"^-- depends: (.*)$", text, flags=re.MULTILINE)
    assert depends == NAMES[max(position - 1, 0) : position]


@pytest.mark.parametrize("path", [path for name in NAMES for path in scripts(name)], ids=str)
def test_a_script_sets_its_limits_first_and_leaves_the_transaction_alone(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    statements = [each.stmt for each in schema_files.parse(path.name, text)]

    limits = [
        each.name
        for each in statements[:2]
        if isinstance(each, ast.VariableSetStmt) and each.is_local
    ]
    assert limits == ["lock_timeout", "statement_timeout"]
    assert not [each for each in statements if isinstance(each, ast.TransactionStmt)]
    # psql would take such a line for a command of its own, yoyo would not.
    assert not re.search(r"^\\", text, flags=re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_a_migration_can_be_reverted_and_verified_by_both_tools(name: str) -> None:
    link = MIGRATIONS / f"{name}.rollback.sql"

    assert link.readlink() == Path("revert") / f"{name}.sql"
    assert link.resolve() == migration.revert_path(ROOT, name)
    assert migration.verify_path(ROOT, name).is_file()


def test_nothing_else_lies_where_yoyo_looks() -> None:
    expected = {f"{name}{end}" for name in NAMES for end in (".sql", ".rollback.sql")}

    found = {path.name for path in MIGRATIONS.iterdir()}
    assert found - {"FROZEN"} == expected | {"revert", "verify"}
    for folder in ("revert", "verify"):
        inside = {path.name for path in (MIGRATIONS / folder).iterdir()}
        assert inside == {f"{name}.sql" for name in NAMES}


def test_sqitchs_plan_lists_the_same_migrations_with_the_same_reasons() -> None:
    entry = re.compile(r"(\d{4}\S+) (?:\[(\S+)\] )?\d{4}-\d\d-\d\dT\S+Z [^#]+# (.+)")
    lines = (ROOT / "sqitch.plan").read_text(encoding="utf-8").splitlines()
    headers = [
        migration.deploy_path(ROOT, name).read_text(encoding="utf-8").splitlines()[0]
        for name in NAMES
    ]

    plan = [found.groups() for line in lines if (found := entry.fullmatch(line))]
    assert [f"-- {name}: {why}" for name, _, why in plan] == headers
    assert [requires for _, requires, _ in plan] == [None, *NAMES[:-1]]


def test_a_migration_is_short_enough_to_be_read() -> None:
    counts = {
        name: sum(len(path.read_bytes().splitlines()) for path in MIGRATIONS.rglob(f"{name}.sql"))
        for name in NAMES
    }

    assert max(counts.values()) < 12_000
