from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from tools.frozen import MigrationError

from tools import frozen, migrate, write_migration

ADD = """\
-- add: add a thing.

create or replace function payout.add(p_name text)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    insert into payout.things (name) values (p_name)
$$;
comment on function payout.add(text) is 'Adds a thing.';
grant execute on function payout.add(text) to public;
"""
GUARD = """\
-- tg_things__check: a thing has a name.

create or replace function payout.tg_things__check()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return new;
end
$$;
comment on function payout.tg_things__check() is 'Trigger: refuses a thing without a name.';

create or replace trigger _500_check
    before insert on payout.things
    for each row
    execute function payout.tg_things__check();
"""
# Its name sorts before the view it reads.
COUNTS = """\
-- counts: how many things there are.

create or replace view payout.counts as
select count(*) as things from payout.names as n;
comment on view payout.counts is 'How many things there are.';
"""
NAMES = """\
-- names: the names of things.

create or replace view payout.names as
select t.name from payout.things as t;
comment on view payout.names is 'The names of things.';
"""
FIRST = "0001-first"
SECOND = "0002-second"


class Tree:
    """A small checkout in a temporary directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text, encoding="utf-8")

    def read(self, path: str) -> str:
        return (self.root / path).read_text(encoding="utf-8")

    def edit(self, path: str, was: str, becomes: str) -> None:
        text = self.read(path)
        assert was in text
        self.put(path, text.replace(was, becomes))

    def write(self, name: str, why: str | None = None, only: tuple[str, ...] = ()) -> None:
        write_migration.write_migration(self.root, name, why=why, only=only)

    def shipped(self, name: str) -> list[tuple[str, str]]:
        script = frozen.read_script(frozen.deploy_path(self.root, name))
        return [(block.kind, block.path) for block in script.blocks]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Two functions and two views, not in any migration yet."""
    tree = Tree(tmp_path)
    tree.put("procedures/api/add.sql", ADD)
    tree.put("procedures/guards/tg_things__check.sql", GUARD)
    tree.put("sql/views/counts.sql", COUNTS)
    tree.put("sql/views/names.sql", NAMES)
    return tree


@pytest.fixture
def deployed(tree: Tree) -> Tree:
    """The same with a first migration that makes the table and ships every file."""
    tree.write(FIRST, "things")
    # These databases have no payout_owner.
    for path in (f"migrations/{FIRST}.sql", f"migrations/revert/{FIRST}.sql"):
        tree.edit(path, "\nset local role payout_owner;\n", "")
        tree.edit(path, "reset role;\n", "")
    tree.edit(
        f"migrations/{FIRST}.sql",
        "check_function_bodies = off;\n",
        "check_function_bodies = off;\n\n"
        "create schema payout;\ncreate table payout.things (name text);\n",
    )
    path = f"migrations/revert/{FIRST}.sql"
    tree.put(path, tree.read(path) + "\ndrop table payout.things;\ndrop schema payout;\n")
    # Once more, for the blank lines around what was taken out.
    tree.write(FIRST)
    return tree


def test_a_migration_freezes_every_file_after_those_it_needs(tree: Tree) -> None:
    tree.write(FIRST, "things")

    assert tree.shipped(FIRST) == [
        ("frozen", "procedures/guards/tg_things__check.sql"),
        ("frozen", "procedures/api/add.sql"),
        ("frozen", "sql/views/names.sql"),
        ("frozen", "sql/views/counts.sql"),
    ]
    assert frozen.newest_frozen(tree.root) == frozen.source_files(tree.root)


def test_the_header_names_the_migration_its_reason_and_its_predecessor(deployed: Tree) -> None:
    deployed.write(SECOND, "nothing but a table")

    assert deployed.read(f"migrations/{FIRST}.sql").startswith(
        "-- 0001-first: things\n\nset local lock_timeout = '5s';\nset local statement_timeout = "
    )
    assert deployed.read(f"migrations/{SECOND}.sql").startswith(
        "-- 0002-second: nothing but a table\n-- depends: 0001-first\n\nset local lock_timeout"
    )


def test_the_revert_file_drops_what_is_new_in_reverse_order(tree: Tree) -> None:
    tree.write(FIRST, "things")

    revert = tree.read(f"migrations/revert/{FIRST}.sql")
    assert [line for line in revert.splitlines() if line.startswith("drop ")] == [
        "drop view if exists payout.counts;",
        "drop view if exists payout.names;",
        "drop function if exists payout.add(text);",
        "drop trigger if exists _500_check on payout.things;",
        "drop function if exists payout.tg_things__check();",
    ]


def test_yoyos_rollback_file_is_a_link_to_the_revert_file(tree: Tree) -> None:
    tree.write(FIRST, "things")

    link = tree.root / "migrations" / f"{FIRST}.rollback.sql"
    assert link.readlink() == Path("revert/0001-first.sql")
    assert link.read_text() == tree.read(f"migrations/revert/{FIRST}.sql")


def test_the_verify_file_looks_for_every_object(tree: Tree) -> None:
    tree.write(FIRST, "things")

    verify = tree.read(f"migrations/verify/{FIRST}.sql")
    for query in (
        "select 'payout.add(text)'::regprocedure;",
        "where tgrelid = 'payout.things'::regclass and tgname = '_500_check';",
        "select 'payout.counts'::regclass;",
    ):
        assert query in verify


def test_the_plan_lists_the_migrations_and_keeps_the_time_of_planning(deployed: Tree) -> None:
    deployed.edit("sqitch.plan", deployed.read("sqitch.plan").split()[3], "2020-02-02T02:02:02Z")

    deployed.write(SECOND, "more things")

    header, blank, first, second = deployed.read("sqitch.plan").splitlines()[1:]
    assert (header, blank) == ("%project=payout-engine", "")
    who = "payout-engine <payout-engine@localhost>"
    assert first == f"0001-first 2020-02-02T02:02:02Z {who} # things"
    assert second.startswith("0002-second [0001-first] 20")
    assert second.endswith(f"Z {who} # more things")


def test_a_refresh_keeps_what_was_written_by_hand(deployed: Tree) -> None:
    for folder in ("", "revert/", "verify/"):
        path = f"migrations/{folder}{FIRST}.sql"
        deployed.put(path, deployed.read(path) + "\nselect 'after by hand';\n")
    deployed.edit("procedures/api/add.sql", "Adds a thing.", "Adds one thing.")

    deployed.write(FIRST)

    deploy = deployed.read(f"migrations/{FIRST}.sql")
    assert deploy.startswith("-- 0001-first: things\n")
    assert "create table payout.things" in deploy.split("-- frozen:")[0]
    assert "Adds one thing." in deploy
    assert deploy.endswith("sql/views/counts.sql\n\nselect 'after by hand';\n")
    assert deployed.read(f"migrations/revert/{FIRST}.sql").endswith(
        "drop table payout.things;\ndrop schema payout;\n\nselect 'after by hand';\n"
    )
    assert deployed.read(f"migrations/verify/{FIRST}.sql").endswith("select 'after by hand';\n")


def test_a_refresh_of_an_unchanged_tree_changes_nothing(deployed: Tree) -> None:
    before = {file: file.read_bytes() for file in deployed.root.rglob("*") if file.is_file()}

    deployed.write(FIRST)

    assert {file: file.read_bytes() for file in before} == before


def test_a_refresh_may_give_another_reason(deployed: Tree) -> None:
    deployed.write(FIRST, "better said")

    assert deployed.read(f"migrations/{FIRST}.sql").startswith("-- 0001-first: better said\n\nset")
    assert deployed.read("sqitch.plan").endswith("# better said\n")


def test_a_migration_without_changed_files_marks_where_they_would_go(deployed: Tree) -> None:
    deployed.write(SECOND, "a table")
    deployed.edit(
        f"migrations/{SECOND}.sql", "-- generated: none\n", "-- generated: none\nselect;\n"
    )
    deployed.edit("procedures/api/add.sql", "Adds a thing.", "Adds one thing.")

    deployed.write(SECOND)

    _, after = deployed.read(f"migrations/{SECOND}.sql").split("-- end frozen: procedures/api/add")
    assert after == ".sql\n\nselect;\n\nreset role;\n"


def test_a_changed_function_is_restored_by_the_revert(deployed: Tree) -> None:
    deployed.edit("procedures/api/add.sql", "Adds a thing.", "Adds one thing.")

    deployed.write(SECOND, "words")

    assert deployed.shipped(SECOND) == [("frozen", "procedures/api/add.sql")]
    revert = frozen.read_script(frozen.revert_path(deployed.root, SECOND))
    assert [(block.kind, block.body) for block in revert.blocks] == [("frozen", ADD)]


def test_what_create_or_replace_cannot_change_is_dropped_first_both_ways(deployed: Tree) -> None:
    deployed.edit("procedures/api/add.sql", "add(p_name text)", "add(p_label text)")

    deployed.write(SECOND, "another name")

    for path in (f"migrations/{SECOND}.sql", f"migrations/revert/{SECOND}.sql"):
        assert (
            "-- dropped: procedures/api/add.sql\n"
            "drop function if exists payout.add(text);\n"
            "-- end dropped: procedures/api/add.sql\n\n-- frozen: procedures/api/add.sql "
        ) in deployed.read(path)


def test_a_trigger_or_a_right_that_a_file_loses_is_taken_away(deployed: Tree) -> None:
    deployed.edit("procedures/guards/tg_things__check.sql", "trigger _500_", "trigger _510_")
    deployed.edit("procedures/api/add.sql", "grant execute", "revoke execute")
    deployed.edit("procedures/api/add.sql", "to public", "from public")

    deployed.write(SECOND, "less")

    deploy = deployed.read(f"migrations/{SECOND}.sql")
    assert "drop trigger if exists _500_check on payout.things;\n" in deploy
    assert "revoke execute on function payout.add (text) from public;\n-- end dropped" in deploy
    revert = deployed.read(f"migrations/revert/{SECOND}.sql")
    assert "drop trigger if exists _510_check on payout.things;\n" in revert


def test_a_removed_file_is_dropped_and_the_revert_brings_it_back(deployed: Tree) -> None:
    (deployed.root / "sql/views/counts.sql").unlink()
    (deployed.root / "sql/views/names.sql").unlink()

    deployed.write(SECOND, "no views")

    assert deployed.shipped(SECOND) == [
        ("dropped", "sql/views/counts.sql"),
        ("dropped", "sql/views/names.sql"),
    ]
    assert "sql/views/names.sql" not in frozen.newest_frozen(deployed.root)
    revert = frozen.read_script(frozen.revert_path(deployed.root, SECOND))
    assert [block.path for block in revert.blocks] == [
        "sql/views/names.sql",
        "sql/views/counts.sql",
    ]


def test_older_verify_files_forget_what_a_later_migration_replaces(deployed: Tree) -> None:
    (deployed.root / "sql/views/counts.sql").unlink()

    deployed.write(SECOND, "fewer views")

    verify = deployed.read(f"migrations/verify/{FIRST}.sql")
    assert "payout.counts" not in verify
    assert "payout.names" in verify

    deployed.put("sql/views/counts.sql", COUNTS)
    deployed.write(SECOND)

    assert "payout.counts" in deployed.read(f"migrations/verify/{FIRST}.sql")


def test_only_the_named_files_are_shipped(tree: Tree) -> None:
    tree.write(FIRST, "guards", only=("procedures/guards", "sql/views/names.sql"))
    tree.write(SECOND, "the rest")

    assert [path for _, path in tree.shipped(FIRST)] == [
        "procedures/guards/tg_things__check.sql",
        "sql/views/names.sql",
    ]
    assert [path for _, path in tree.shipped(SECOND)] == [
        "procedures/api/add.sql",
        "sql/views/counts.sql",
    ]


def test_the_roles_are_frozen_where_their_marker_stands(deployed: Tree) -> None:
    deployed.put("sql/roles.sql", "-- roles: none.\n")
    deployed.edit(
        f"migrations/{FIRST}.sql",
        "create schema payout;\n",
        "-- frozen: sql/roles.sql 000000000000\n-- end frozen: sql/roles.sql\n"
        "create schema payout;\n",
    )

    deployed.write(FIRST)

    assert (
        f"-- frozen: sql/roles.sql {frozen.digest('-- roles: none.' + chr(10))}\n"
        "-- roles: none.\n-- end frozen: sql/roles.sql\ncreate schema payout;\n"
    ) in deployed.read(f"migrations/{FIRST}.sql")
    assert frozen.newest_in_place(deployed.root) == frozen.in_place_files(deployed.root)


def test_yoyo_applies_and_rolls_back_what_is_written(
    deployed: Tree, empty_database: Callable[[], str]
) -> None:
    deployed.edit("procedures/api/add.sql", "add(p_name text)", "add(p_label text)")
    deployed.edit("procedures/api/add.sql", "(p_name)", "(p_label)")
    (deployed.root / "sql/views/counts.sql").unlink()
    deployed.write(SECOND, "another name")
    for path in (f"migrations/{SECOND}.sql", f"migrations/revert/{SECOND}.sql"):
        deployed.edit(path, "\nset local role payout_owner;\n", "")
        deployed.edit(path, "reset role;\n", "")
    uri = empty_database()

    assert migrate.apply_all(uri, deployed.root) == [FIRST, SECOND]
    assert migrate.apply_all(uri, deployed.root) == []
    with psycopg.connect(uri) as connection:
        connection.execute("select payout.add(p_label => 'a')")
        assert connection.execute("select name from payout.names").fetchall() == [("a",)]
    assert migrate.roll_back_all(uri, deployed.root) == [SECOND, FIRST]
    with psycopg.connect(uri) as connection:
        assert connection.execute("select to_regnamespace('payout')").fetchone() == (None,)


@pytest.mark.parametrize(
    ("name", "why", "message"),
    [
        ("add things", "x", "'add things' is no migration name; one looks like 0002-add-cancel"),
        ("0003-third", "x", "0003-third: the next migration is number 0002"),
        ("0002-second", None, "0002-second is new: say why it is needed"),
        ("0002-second", "x\ny", "0002-second: the reason is one line"),
    ],
)
def test_a_migration_with_a_bad_name_or_no_reason_is_refused(
    deployed: Tree, name: str, why: str | None, message: str
) -> None:
    with pytest.raises(MigrationError) as refusal:
        deployed.write(name, why)

    assert str(refusal.value) == message


def test_only_the_newest_migration_can_be_refreshed(deployed: Tree) -> None:
    deployed.write(SECOND, "more")

    with pytest.raises(MigrationError) as refusal:
        deployed.write(FIRST)

    assert str(refusal.value) == (
        "0001-first: only the newest migration, 0002-second, can be refreshed"
    )


def test_a_released_migration_is_refused(deployed: Tree) -> None:
    assert frozen.freeze(deployed.root) == [FIRST]

    with pytest.raises(MigrationError) as refusal:
        deployed.write(FIRST)

    assert str(refusal.value) == (
        "0001-first is released (migrations/FROZEN lists it) and never changes; "
        "write a new migration"
    )


def test_files_that_need_each_other_are_refused(tree: Tree) -> None:
    tree.edit("sql/views/names.sql", "payout.things", "payout.counts")

    with pytest.raises(MigrationError) as refusal:
        tree.write(FIRST, "things")

    assert str(refusal.value) == (
        "these files need each other: "
        "sql/views/counts.sql, sql/views/names.sql, sql/views/counts.sql"
    )


def test_a_syntax_error_is_named_by_file_and_line(tree: Tree) -> None:
    tree.edit("procedures/api/add.sql", "returns void", "returns void void")

    with pytest.raises(MigrationError, match=r"^procedures/api/add.sql:4: syntax error at or near"):
        tree.write(FIRST, "things")


def test_the_command_without_a_name_refreshes_the_newest(
    deployed: Tree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["write_migration", "--root", str(deployed.root)])
    (deployed.root / "sql/views/counts.sql").unlink()
    deployed.write(SECOND, "fewer views")

    assert write_migration.main() == 0
    assert capsys.readouterr().out == (
        "migrations/0002-second.sql\n  dropped  sql/views/counts.sql\n"
    )


def test_the_command_says_why_it_refuses(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["write_migration", "--root", str(tree.root)])

    assert write_migration.main() == 1
    assert capsys.readouterr().err == (
        "there is no migration yet: give the first one a name and a reason\n"
    )
