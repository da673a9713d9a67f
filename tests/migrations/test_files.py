from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

import pytest
from pglast import ast

from tests.conftest import ROOT
from tools import frozen, sql_objects, write_migration

NAMES: Final = frozen.migration_names(ROOT)
MIGRATIONS: Final = ROOT / "migrations"


def scripts(name: str) -> list[Path]:
    return [frozen.deploy_path(ROOT, name), frozen.revert_path(ROOT, name)]


def test_the_newest_frozen_copies_are_the_files_of_today() -> None:
    copies, today = frozen.newest_frozen(ROOT), frozen.source_files(ROOT)

    changed = {path for path in {*copies, *today} if copies.get(path) != today.get(path)}
    assert not changed, "these files are in no migration as they are: make migration"


def test_the_roles_are_frozen_as_they_are_today() -> None:
    assert frozen.newest_in_place(ROOT) == frozen.in_place_files(ROOT)


def test_a_released_migration_never_changes() -> None:
    changed = [
        file
        for file, seal in frozen.released(ROOT).items()
        if frozen.file_seal(MIGRATIONS / file) != seal
    ]
    assert not changed, "migrations/FROZEN lists these: write a new migration instead"


def test_the_oldest_migrations_are_the_released_ones() -> None:
    released = [name for name in NAMES if frozen.is_released(ROOT, name)]

    assert released == NAMES[: len(released)]
    assert {*frozen.released(ROOT)} == {
        path.relative_to(MIGRATIONS).as_posix() for name in released for path in scripts(name)
    }


def test_migrations_are_numbered_without_a_gap() -> None:
    assert NAMES
    assert all(frozen.MIGRATION_NAME.fullmatch(name) for name in NAMES)
    assert [int(name[:4]) for name in NAMES] == [*range(1, len(NAMES) + 1)]


@pytest.mark.parametrize("name", NAMES)
def test_a_header_says_why_and_what_comes_before(name: str) -> None:
    text = frozen.deploy_path(ROOT, name).read_text(encoding="utf-8")
    position = NAMES.index(name)

    assert re.match(rf"-- {name}: \S.*\n", text)
    depends = re.findall(r"^-- depends: (.*)$", text, flags=re.MULTILINE)
    assert depends == NAMES[max(position - 1, 0) : position]


@pytest.mark.parametrize("path", [path for name in NAMES for path in scripts(name)], ids=str)
def test_a_script_sets_its_limits_first_and_leaves_the_transaction_alone(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    statements = [each.stmt for each in sql_objects.parse(path.name, text)]

    limits = [
        each.name
        for each in statements[:2]
        if isinstance(each, ast.VariableSetStmt) and each.is_local
    ]
    assert limits == ["lock_timeout", "statement_timeout"]
    assert not [each for each in statements if isinstance(each, ast.TransactionStmt)]
    # What psql would take for a command or a variable, yoyo would not.
    assert not re.search(r"^\\", text, flags=re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_a_migration_can_be_reverted_and_verified_by_both_tools(name: str) -> None:
    link = MIGRATIONS / f"{name}.rollback.sql"

    assert link.readlink() == Path("revert") / f"{name}.sql"
    assert link.resolve() == frozen.revert_path(ROOT, name)
    assert frozen.verify_path(ROOT, name).is_file()


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
        frozen.deploy_path(ROOT, name).read_text(encoding="utf-8").splitlines()[0] for name in NAMES
    ]

    plan = [found.groups() for line in lines if (found := entry.fullmatch(line))]
    assert [f"-- {name}: {why}" for name, _, why in plan] == headers
    assert [requires for _, requires, _ in plan] == [None, *NAMES[:-1]]


@pytest.mark.skipif(frozen.is_released(ROOT, NAMES[-1]), reason="the newest migration is released")
def test_the_newest_migration_is_what_the_writer_makes_of_it(tmp_path: Path) -> None:
    for folder in ("migrations", "procedures", "sql"):
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True)
    shutil.copy(ROOT / "sqitch.plan", tmp_path)

    write_migration.write_migration(tmp_path, NAMES[-1])

    for path in [*MIGRATIONS.rglob("*.sql"), ROOT / "sqitch.plan"]:
        copy = tmp_path / path.relative_to(ROOT)
        assert copy.read_text(encoding="utf-8") == path.read_text(encoding="utf-8")
