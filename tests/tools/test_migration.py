from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from payout_engine import migrate
from payout_engine.errors import UserError
from tests.conftest import ROOT
from tests.migrations.checkouts import roll_back_all
from tools import migration, schema_files
from tools.migration import Block

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
ADD_SHIPPED = ADD.removeprefix("-- add: add a thing.\n\n")
TABLE = """\
-- things: a table with its guard.

create table payout.things (
    name text not null
);
comment on table payout.things is 'A thing.';

create trigger _500_check before insert on payout.things
    for each row execute function payout.tg_things__check();
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
WHY = "things"
# These databases have no payout_owner, who would otherwise do all the rest.
ROLES = "-- roles: the schema alone.\n\ncreate schema if not exists payout;\n"


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

    def write(self, name: str | None = None, why: str | None = None) -> None:
        migration.write(self.root, name=name, why=why)

    def begin_second(self, why: str = "more") -> None:
        """Release the first migration and begin the next one."""
        if not migration.is_released(self.root, FIRST):
            migration.release(self.root)
        self.write(SECOND, why)

    def shipped(self, name: str) -> list[tuple[str, str]]:
        script = migration.read_script(migration.deploy_path(self.root, name))
        return [(block.kind, block.path) for block in script.blocks]

    def reverted(self, name: str) -> list[tuple[str, str]]:
        script = migration.read_script(migration.revert_path(self.root, name))
        return [(block.kind, block.path) for block in script.blocks]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A table, two functions and two views, not in any migration yet."""
    tree = Tree(tmp_path)
    tree.put("sql/roles.sql", ROLES)
    tree.put("sql/tables/things.sql", TABLE)
    tree.put("procedures/settle/add.sql", ADD)
    tree.put("procedures/common/tg_things__check.sql", GUARD)
    tree.put("sql/views/counts.sql", COUNTS)
    tree.put("sql/views/names.sql", NAMES)
    return tree


@pytest.fixture
def begun(tree: Tree) -> Tree:
    """The same with a first migration that ships every file."""
    tree.write(FIRST, WHY)
    return tree


def test_a_migration_freezes_every_file_after_those_it_needs(begun: Tree) -> None:
    assert begun.shipped(FIRST) == [
        ("frozen", "sql/roles.sql"),
        ("frozen", "procedures/common/tg_things__check.sql"),
        ("frozen", "sql/tables/things.sql"),
        ("frozen", "procedures/settle/add.sql"),
        ("frozen", "sql/views/names.sql"),
        ("frozen", "sql/views/counts.sql"),
    ]
    shipped = migration.shipped(begun.root, [FIRST])
    assert {path: block.body for path, block in shipped.items()} == {
        path: text.split("\n\n", maxsplit=1)[1]
        for path, text in schema_files.source_files(begun.root).items()
    }


def test_the_header_names_the_migration_its_reason_and_its_predecessor(begun: Tree) -> None:
    begun.begin_second("nothing but words")

    assert begun.read(f"migrations/{FIRST}.sql").startswith(
        "-- 0001-first: things\n\nset local lock_timeout = '5s';\nset local statement_timeout = "
    )
    second = begun.read(f"migrations/{SECOND}.sql")
    assert second.startswith(
        "-- 0002-second: nothing but words\n-- depends: 0001-first\n\nset local lock_timeout"
    )
    assert "\nset local role payout_owner;\n" in second


def test_the_first_migration_is_reverted_as_a_whole(begun: Tree) -> None:
    revert = begun.read(f"migrations/revert/{FIRST}.sql")

    assert [line for line in revert.splitlines() if line.startswith("drop ")] == [
        "drop schema payout_api cascade;",
        "drop schema payout cascade;",
    ]


def test_deploy_and_revert_end_with_a_record_of_the_catalogue(tree: Tree) -> None:
    """The first one is reverted as a whole, with its catalogue."""
    tree.put(
        "procedures/audit/record_catalogue.sql",
        "-- record_catalogue: nothing.\n\n"
        "create or replace function payout.record_catalogue(p_reason text)\n"
        "returns void\nlanguage sql\nvolatile\nset search_path = pg_catalog, pg_temp\n"
        "as $$ select $$;\n",
    )
    tree.write(FIRST, "the first")
    tree.begin_second("another name")
    tree.edit("procedures/settle/add.sql", "add(p_name text)", "add(p_label text)")
    tree.write()
    end = "select payout.record_catalogue('{}');\nreset role;\n"
    assert tree.read(f"migrations/{FIRST}.sql").endswith(end.format(FIRST))
    assert "record_catalogue" not in tree.read(f"migrations/revert/{FIRST}.sql")
    assert tree.read(f"migrations/{SECOND}.sql").endswith(end.format(SECOND))
    revert = tree.read(f"migrations/revert/{SECOND}.sql")
    assert revert.endswith(end.format(f"reverted {SECOND}"))


def test_yoyos_rollback_file_is_a_link_to_the_revert_file(begun: Tree) -> None:
    link = begun.root / "migrations" / f"{FIRST}.rollback.sql"

    assert link.readlink() == Path("revert/0001-first.sql")
    assert link.read_text() == begun.read(f"migrations/revert/{FIRST}.sql")


def test_the_verify_file_looks_for_every_object(begun: Tree) -> None:
    verify = begun.read(f"migrations/verify/{FIRST}.sql").splitlines()

    for query in (
        "select 'payout.add(text)'::regprocedure;",
        "select 'payout.things'::regclass;",
        "select 1 / (count(*) = 1)::integer from pg_trigger",
        "select 'payout.counts'::regclass;",
    ):
        assert query in verify


def test_the_plan_lists_the_migrations_and_keeps_the_time_of_planning(begun: Tree) -> None:
    begun.edit("sqitch.plan", begun.read("sqitch.plan").split()[3], "2020-02-02T02:02:02Z")

    begun.begin_second("more things")

    header, blank, first, second = begun.read("sqitch.plan").splitlines()[1:]
    assert (header, blank) == ("%project=payout-engine", "")
    planner = "payout-engine <payout-engine@localhost>"
    assert first == f"0001-first 2020-02-02T02:02:02Z {planner} # things"
    assert second.startswith("0002-second [0001-first] 20")
    assert second.endswith(f"Z {planner} # more things")


def test_the_text_of_a_person_is_kept(begun: Tree) -> None:
    begun.begin_second()
    for folder in ("", "revert/"):
        path = f"migrations/{folder}{SECOND}.sql"
        begun.edit(path, "-- generated: end\n", "select 'before';\n-- generated: end\n")
        begun.put(path, begun.read(path) + "\nselect 'after';\n")
    begun.edit("procedures/settle/add.sql", "Adds a thing.", "Adds one thing.")

    begun.write()

    for folder in ("", "revert/"):
        text = begun.read(f"migrations/{folder}{SECOND}.sql")
        before, frozen, after = text.partition("-- frozen: procedures/settle/add.sql")
        assert frozen
        assert "select 'before';\n" in before
        assert after.endswith("select 'after';\n")
    assert "Adds one thing." in begun.read(f"migrations/{SECOND}.sql")


def test_a_migration_is_the_same_when_it_is_written_again(begun: Tree) -> None:
    before = {file: file.read_bytes() for file in begun.root.rglob("*") if file.is_file()}

    begun.write()

    assert {file: file.read_bytes() for file in before} == before


def test_a_migration_may_be_given_another_reason(begun: Tree) -> None:
    begun.write(FIRST, "better said")

    assert begun.read(f"migrations/{FIRST}.sql").startswith("-- 0001-first: better said\n\nset")
    assert begun.read("sqitch.plan").endswith("# better said\n")


def test_a_changed_function_is_restored_by_the_revert(begun: Tree) -> None:
    begun.begin_second()
    begun.edit("procedures/settle/add.sql", "Adds a thing.", "Adds one thing.")

    begun.write()

    assert begun.shipped(SECOND) == [("frozen", "procedures/settle/add.sql")]
    revert = migration.read_script(migration.revert_path(begun.root, SECOND))
    assert [(block.kind, block.body) for block in revert.blocks] == [("frozen", ADD_SHIPPED)]


def test_a_function_of_another_shape_is_dropped_first_both_ways(begun: Tree) -> None:
    begun.begin_second()
    begun.edit("procedures/settle/add.sql", "add(p_name text)", "add(p_label text)")

    begun.write()

    for path in (f"migrations/{SECOND}.sql", f"migrations/revert/{SECOND}.sql"):
        assert (
            "drop function if exists payout.add(text);\n-- frozen: procedures/settle/add.sql "
        ) in begun.read(path)


def test_the_comment_that_opens_a_file_may_change_after_the_release(begun: Tree) -> None:
    begun.begin_second()
    for path in ("procedures/settle/add.sql", "sql/tables/things.sql"):
        begun.put(path, "-- Said better.\n--\n-- At length.\n\n" + begun.read(path))

    begun.write()

    assert begun.shipped(SECOND) == begun.reverted(SECOND) == []


def test_a_right_that_a_file_no_longer_grants_is_revoked(begun: Tree) -> None:
    begun.begin_second()
    begun.edit("procedures/settle/add.sql", "grant execute", "revoke execute")
    begun.edit("procedures/settle/add.sql", "to public", "from public")

    begun.write()

    deploy = begun.read(f"migrations/{SECOND}.sql")
    assert "revoke execute on function payout.add (text) from public;\n-- frozen: " in deploy


def test_a_removed_file_is_dropped_and_the_revert_brings_it_back(begun: Tree) -> None:
    begun.begin_second()
    (begun.root / "sql/views/counts.sql").unlink()
    (begun.root / "sql/views/names.sql").unlink()

    begun.write()

    assert begun.shipped(SECOND) == [
        ("dropped", "sql/views/counts.sql"),
        ("dropped", "sql/views/names.sql"),
    ]
    assert "sql/views/names.sql" not in migration.shipped(begun.root, [FIRST, SECOND])
    assert begun.reverted(SECOND) == [
        ("frozen", "sql/views/names.sql"),
        ("frozen", "sql/views/counts.sql"),
    ]


def test_a_new_file_is_dropped_by_the_revert(begun: Tree) -> None:
    begun.begin_second()
    begun.put("sql/views/labels.sql", NAMES.replace("names", "labels"))

    begun.write()

    assert begun.shipped(SECOND) == [("frozen", "sql/views/labels.sql")]
    assert begun.reverted(SECOND) == [("dropped", "sql/views/labels.sql")]
    assert "drop view if exists payout.labels;\n" in begun.read(f"migrations/revert/{SECOND}.sql")


def move(tree: Tree, path: str, to: str) -> None:
    tree.put(to, tree.read(path))
    (tree.root / path).unlink()


def drops(tree: Tree) -> list[str]:
    scripts = [tree.read(f"migrations/{folder}{SECOND}.sql") for folder in ("", "revert/")]
    return re.findall(r"^(?:drop|revoke) .*", "".join(scripts), flags=re.MULTILINE)


def test_an_object_that_moved_to_another_file_is_not_dropped(begun: Tree) -> None:
    begun.begin_second()
    move(begun, "procedures/settle/add.sql", "procedures/report/add.sql")
    move(begun, "sql/tables/things.sql", "sql/tables/objects.sql")

    begun.write()

    assert begun.shipped(SECOND) == [
        ("altered", "sql/tables/objects.sql"),
        ("frozen", "procedures/report/add.sql"),
        ("dropped", "procedures/settle/add.sql"),
        ("dropped", "sql/tables/things.sql"),
    ]
    assert drops(begun) == []


def test_a_function_that_moved_and_has_another_shape_is_dropped_first(begun: Tree) -> None:
    begun.begin_second()
    begun.edit("procedures/settle/add.sql", "add(p_name text)", "add(p_label text)")
    begun.edit("procedures/settle/add.sql", "grant execute", "-- grant execute")
    move(begun, "procedures/settle/add.sql", "procedures/report/add.sql")

    begun.write()

    assert begun.shipped(SECOND) == [
        ("dropped", "procedures/report/add.sql"),
        ("frozen", "procedures/report/add.sql"),
        ("dropped", "procedures/settle/add.sql"),
    ]
    assert drops(begun) == [
        "drop function if exists payout.add(text);",
        "revoke execute on function payout.add (text) from public;",
        "drop function if exists payout.add(text);",
    ]


def test_the_change_of_a_table_is_left_to_a_person_and_its_digest_is_kept(begun: Tree) -> None:
    begun.begin_second()
    begun.edit("sql/tables/things.sql", "name text not null", "name text not null,\n    size int")

    begun.write()

    assert begun.shipped(SECOND) == [("altered", "sql/tables/things.sql")]
    assert begun.reverted(SECOND) == [("altered", "sql/tables/things.sql")]
    seal = migration.digest(begun.read("sql/tables/things.sql"))
    assert f"-- altered: sql/tables/things.sql {seal}\n-- generated: end\n" in begun.read(
        f"migrations/{SECOND}.sql"
    )
    migration.release(begun.root)
    begun.write("0003-third", "nothing new")
    assert begun.shipped("0003-third") == []


def test_older_verify_files_forget_the_objects_that_a_later_migration_replaces(begun: Tree) -> None:
    begun.begin_second()
    (begun.root / "sql/views/counts.sql").unlink()

    begun.write()

    verify = begun.read(f"migrations/verify/{FIRST}.sql")
    assert "payout.counts" not in verify
    assert "payout.names" in verify

    begun.put("sql/views/counts.sql", COUNTS)
    begun.write()

    assert "payout.counts" in begun.read(f"migrations/verify/{FIRST}.sql")


def test_the_newest_migration_verifies_a_table_that_it_altered_by_hand(begun: Tree) -> None:
    begun.begin_second()
    trigger = "create trigger _510_check before update on payout.things\n"
    begun.put("sql/tables/things.sql", f"{TABLE}\n{trigger}{TABLE.splitlines()[-1]}\n")

    begun.write()

    assert "things" not in begun.read(f"migrations/verify/{FIRST}.sql").partition("names")[0]
    verify = begun.read(f"migrations/verify/{SECOND}.sql")
    assert "select 'payout.things'::regclass;\n" in verify
    assert "select 1 / (count(*) = 2)::integer from pg_trigger\n" in verify


def test_yoyo_applies_and_rolls_back_the_written_scripts(
    begun: Tree, empty_database: Callable[[], str]
) -> None:
    begun.begin_second("another name")
    begun.edit("procedures/settle/add.sql", "add(p_name text)", "add(p_label text)")
    begun.edit("procedures/settle/add.sql", "(p_name)", "(p_label)")
    (begun.root / "sql/views/counts.sql").unlink()
    for path in (f"migrations/{SECOND}.sql", f"migrations/revert/{SECOND}.sql"):
        begun.edit(path, "set local role payout_owner;\n", "")
    begun.write()
    begun.put(f"migrations/revert/{FIRST}.sql", "drop schema payout cascade;\n")
    uri, scripts = empty_database(), begun.root / "migrations"

    assert migrate.apply_all(uri, migrations=scripts) == [FIRST, SECOND]
    assert migrate.apply_all(uri, migrations=scripts) == []
    with psycopg.connect(uri) as connection:
        connection.execute("select payout.add(p_label => 'a')")
        assert connection.execute("select name from payout.names").fetchall() == [("a",)]
    assert roll_back_all(uri, scripts) == [SECOND, FIRST]
    with psycopg.connect(uri) as connection:
        assert connection.execute("select to_regnamespace('payout')").fetchone() == (None,)


@pytest.mark.parametrize(
    ("name", "why", "message"),
    [
        ("add things", "x", "'add things' is not its name: the next one looks like 0002-add-x"),
        ("0003-third", "x", "'0003-third' is not its name: the next one looks like 0002-add-x"),
        (
            SECOND,
            None,
            "all migrations are released: give the next one a name (0002-what-changes) "
            "and a reason",
        ),
        (SECOND, "x\ny", "0002-second: the reason is one line"),
    ],
)
def test_a_new_migration_with_a_bad_name_or_no_reason_is_refused(
    begun: Tree, name: str, why: str | None, message: str
) -> None:
    migration.release(begun.root)

    with pytest.raises(UserError) as refusal:
        begun.write(name, why)

    assert str(refusal.value) == message


def test_a_release_has_one_migration(begun: Tree) -> None:
    with pytest.raises(UserError) as refusal:
        begun.write(SECOND, "more")

    assert str(refusal.value) == (
        "0001-first is not released: a release has one migration, which carries this too"
    )


def test_files_that_need_each_other_are_refused(tree: Tree) -> None:
    tree.edit("sql/views/names.sql", "payout.things", "payout.counts")

    with pytest.raises(UserError) as refusal:
        tree.write(FIRST, WHY)

    assert str(refusal.value) == (
        "these files need each other: "
        "sql/views/counts.sql, sql/views/names.sql, sql/views/counts.sql"
    )


def test_a_syntax_error_is_named_by_file_and_line(tree: Tree) -> None:
    tree.edit("procedures/settle/add.sql", "returns void", "returns void void")

    with pytest.raises(UserError, match=r"^procedures/settle/add.sql:4: syntax error at or"):
        tree.write(FIRST, WHY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("select 1;", "sql/views/names.sql: the last line has no line end"),
        ("-- frozen: x\n", "sql/views/names.sql: holds a line that looks like a marker"),
    ],
)
def test_a_file_that_cannot_be_frozen_is_refused(tree: Tree, text: str, message: str) -> None:
    tree.put("sql/views/names.sql", text)

    with pytest.raises(UserError) as refusal:
        tree.write(FIRST, WHY)

    assert str(refusal.value).startswith(message)


def block(kind: str, path: str, body: str) -> str:
    return Block(kind=kind, path=path, seal=migration.digest(body), body=body).text


FROZEN = block("frozen", "sql/views/a.sql", "select 1;\n")
DROPPED = block("dropped", "b.sql", "drop it;\n")
ALTERED = block("altered", "c.sql", "")
END = "-- generated: end\n"


def test_a_script_is_read_as_it_was_written(tmp_path: Path) -> None:
    text = f"-- before\n\n{FROZEN}{DROPPED}{ALTERED}{END}\n-- after\n"
    path = tmp_path / "0001-first.sql"
    path.write_text(text, encoding="utf-8")

    script = migration.read_script(path)

    assert (script.before, script.after) == ("-- before\n", "-- after\n")
    assert [(block.kind, block.path) for block in script.blocks] == [
        ("frozen", "sql/views/a.sql"),
        ("dropped", "b.sql"),
        ("altered", "c.sql"),
    ]
    assert script.text == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("select 1;\n", "'-- generated: end' is not its last marker"),
        (f"{FROZEN}{END}{DROPPED}", "'-- generated: end' is not its last marker"),
        (f"{FROZEN}\nselect 2;\n{DROPPED}{END}", "the block 'frozen: sql/views/a.sql' was edited"),
        (f"{DROPPED}\nselect 2;\n{FROZEN}{END}", "the block 'dropped: b.sql' was edited"),
        (f"{ALTERED}select 2;\n{END}", "the block 'altered: c.sql' was edited"),
        (
            FROZEN.replace("select 1", "select 2") + END,
            "the block 'frozen: sql/views/a.sql' was edited",
        ),
    ],
)
def test_a_script_with_wrong_markers_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "0001-first.sql"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(UserError) as refusal:
        migration.read_script(path)

    assert str(refusal.value).startswith("0001-first.sql:")
    assert message in str(refusal.value)


def test_a_release_lists_deploy_and_revert_file_once(begun: Tree) -> None:
    assert migration.release(begun.root) == [FIRST]
    assert migration.release(begun.root) == []
    assert [*migration.released(begun.root)] == [f"{FIRST}.sql", f"revert/{FIRST}.sql"]


def test_a_migration_that_is_out_of_date_is_not_released(begun: Tree) -> None:
    begun.edit("procedures/settle/add.sql", "Adds a thing.", "Adds one thing.")

    with pytest.raises(UserError) as refusal:
        migration.release(begun.root)

    assert str(refusal.value) == "0001-first was out of date and is written anew: look at it"
    assert not migration.is_released(begun.root, FIRST)
    assert migration.release(begun.root) == [FIRST]


def test_sha256sum_accepts_the_listing_until_a_file_changes(begun: Tree) -> None:
    migration.release(begun.root)
    command = ["sha256sum", "--check", "--quiet", "FROZEN"]
    folder = begun.root / "migrations"

    assert subprocess.run(command, cwd=folder).returncode == 0
    begun.edit(f"migrations/{FIRST}.sql", "Adds a thing.", "Adds one thing.")
    changed = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert changed.stdout == f"{FIRST}.sql: FAILED\n"


def test_the_command_says_which_files_it_shipped(
    begun: Tree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun.begin_second()
    (begun.root / "sql/views/counts.sql").unlink()
    begun.edit("sql/views/names.sql", "The names", "All names")
    begun.edit("sql/tables/things.sql", "A thing.", "One thing.")
    monkeypatch.setattr("sys.argv", ["migration", "--root", str(begun.root)])

    assert migration.main() == 0
    assert capsys.readouterr().out == (
        "migrations/0002-second.sql\n"
        "  BY HAND  sql/tables/things.sql\n"
        "  frozen   sql/views/names.sql\n"
        "  dropped  sql/views/counts.sql\n"
    )

    (begun.root / "sql/tables/things.sql").unlink()
    assert migration.main() == 0
    assert "  BY HAND  sql/tables/things.sql\n" in capsys.readouterr().out

    monkeypatch.setattr("sys.argv", ["migration", "--release", "--root", str(begun.root)])
    assert migration.main() == 0
    assert migration.main() == 0
    assert capsys.readouterr().out == "released: 0002-second\nnothing new to release\n"


def test_the_command_says_that_rows_may_have_to_change_by_hand(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        insert = f"insert into payout.things values ('{name}') on conflict do nothing;\n"
        tree.put(f"sql/data/{name}.sql", insert)
    tree.write(FIRST, WHY)
    tree.begin_second()
    tree.edit("sql/data/a.sql", "('a')", "('c')")
    (tree.root / "sql/data/b.sql").unlink()
    tree.put("sql/data/new.sql", tree.read("sql/data/a.sql"))
    monkeypatch.setattr("sys.argv", ["migration", "--root", str(tree.root)])

    assert migration.main() == 0
    assert capsys.readouterr().out == (
        "migrations/0002-second.sql\n"
        "  frozen   sql/data/a.sql\n"
        "  BY HAND  its rows that changed or are gone, unless its statements change them\n"
        "  frozen   sql/data/new.sql\n"
        "  BY HAND  sql/data/b.sql\n"
    )


def test_only_an_open_migration_is_refreshed(
    begun: Tree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["migration", "--refresh", "--root", str(begun.root)])
    begun.edit("procedures/settle/add.sql", "Adds a thing.", "Adds one thing.")
    assert migration.main() == 0
    assert capsys.readouterr().out == ""
    assert "Adds one thing." in begun.read(f"migrations/{FIRST}.sql")

    migration.release(begun.root)
    assert migration.main() == 0
    assert capsys.readouterr().out == ""
    begun.edit("procedures/settle/add.sql", "Adds one thing.", "Adds a thing.")
    assert migration.main() == 1
    assert capsys.readouterr().err == (
        "in no migration yet: procedures/settle/add.sql (make migration name=... why=...)\n"
    )
    assert "Adds one thing." in begun.read(f"migrations/{FIRST}.sql")


def test_the_check_fails_once_for_a_migration_that_is_out_of_date(
    begun: Tree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["migration", "--check", "--root", str(begun.root)])
    assert migration.main() == 0

    for path in (f"migrations/verify/{FIRST}.sql", "sqitch.plan", "sql/views/counts.sql"):
        (begun.root / path).unlink()
        assert migration.main() == 1
        assert capsys.readouterr().err == (
            "0001-first was out of date and is written anew: look at it\n"
        )
        assert migration.main() == 0


@pytest.mark.parametrize("target", ["test", "lint", "demo", "bench", "wheel"])
def test_make_brings_the_migrations_up_to_date_before_they_run(target: str) -> None:
    commands = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()

    (refreshing,) = [command for command in commands[:-1] if "migration --refresh" in command]
    # Where the files count, no migration is needed yet.
    assert ("||" in refreshing) == (target in ("test", "lint"))


def test_the_command_says_why_it_refuses(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["migration", "--root", str(tree.root)])

    assert migration.main() == 1
    assert capsys.readouterr().err == (
        "all migrations are released: give the next one a name (0001-what-changes) and a reason\n"
    )
