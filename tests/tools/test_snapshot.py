from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import psycopg
import pytest

from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from tools import snapshot

THINGS = """\
-- things: a table.

create table payout.things (
    thing_id bigint not null generated always as identity,
    name text not null default 'none',
    constraint things_pkey primary key (thing_id),
    constraint name_is_short check (length(name) < 9)
);
comment on table payout.things is 'Things that have names.';
comment on column payout.things.name is 'Its name.';
create unique index things_name_key on payout.things (name);
create trigger _500_check before insert on payout.things
    for each row execute function payout.tg_things__check();
alter table payout.things enable always trigger _500_check;
grant select on payout.things to payout_auditor;
grant update (name) on payout.things to payout_operator;
"""
SEEN = """
create domain payout.label as text;
create type payout.pair as (a text, b text);
create view payout_api.seen as select t.name, t.thing_id as id from payout.things as t;
"""
CHECK = """\
-- tg_things__check: nothing.

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
comment on function payout.tg_things__check() is 'Trigger: lets everything pass.';
"""
ROLES = """\
-- roles: those of the grants.

create role payout_owner;
create role payout_auditor;
create role payout_operator;
create schema payout authorization payout_owner;
create schema payout_api authorization payout_owner;
grant usage, create on schema payout to payout_owner;
set local role payout_owner;
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout with one table and the function of its trigger."""
    for path, text in {
        "sql/roles.sql": ROLES,
        "sql/tables/things.sql": THINGS,
        "procedures/common/tg_things__check.sql": CHECK,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def embedded() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres.start() as server:
        yield server


@pytest.fixture
def _one_server(embedded: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Build every snapshot of a test on one server, in a database and with roles of its own."""
    monkeypatch.setattr(EmbeddedPostgres, "start", lambda: nullcontext(embedded))
    uri = embedded.uri("postgres")

    def clean() -> None:
        with psycopg.connect(uri) as connection:
            connection.execute("drop schema if exists payout, payout_api cascade")
            for role in ("payout_owner", "payout_auditor", "payout_operator"):
                connection.execute(f"drop role if exists {role}".encode())

    build = snapshot.schema_files.build

    def build_anew(conninfo: str, root: Path) -> None:
        clean()
        build(conninfo, root)

    monkeypatch.setattr(snapshot.schema_files, "build", build_anew)
    yield
    clean()


@pytest.mark.usefixtures("_one_server")
def test_a_table_stands_with_all_that_belongs_to_it(tree: Path) -> None:
    text = snapshot.snapshot(tree)

    table = text[text.index("table payout.things") :].split("\n\n")[0]
    assert table == (
        "table payout.things, owner payout_owner -- Things that have names.\n"
        "    thing_id bigint not null identity\n"
        "    name text not null default 'none'::text -- Its name.\n"
        "    constraint things_pkey PRIMARY KEY (thing_id)\n"
        "    constraint name_is_short CHECK ((length(name) < 9))\n"
        "    unique index things_name_key USING btree (name)\n"
        "    trigger _500_check BEFORE INSERT FOR EACH ROW "
        "EXECUTE FUNCTION payout.tg_things__check(), always\n"
        "    rights: select to payout_auditor\n"
        "    rights: update (name) to payout_operator"
    )


@pytest.mark.usefixtures("_one_server")
@pytest.mark.parametrize(
    ("path", "was", "becomes"),
    [
        ("procedures/common/tg_things__check.sql", "return new", "return null"),
        ("procedures/common/tg_things__check.sql", "pg_catalog, pg_temp", "pg_catalog"),
        ("procedures/common/tg_things__check.sql", "volatile", "stable"),
        ("procedures/common/tg_things__check.sql", "lets everything pass", "refuses nothing"),
        ("sql/tables/things.sql", "enable always trigger", "disable trigger"),
        ("sql/tables/things.sql", "name text not null", "name text"),
        ("sql/tables/things.sql", "< 9", "< 8"),
        ("sql/tables/things.sql", "to payout_auditor", "to public"),
        ("sql/tables/things.sql", "(name) on", "(thing_id) on"),
        ("sql/tables/things.sql", "create unique index", "create index"),
        ("sql/tables/things.sql", "create table", "create unlogged table"),
    ],
)
def test_a_change_shows(tree: Path, path: str, was: str, becomes: str) -> None:
    before = snapshot.snapshot(tree)
    text = (tree / path).read_text(encoding="utf-8")
    assert was in text
    (tree / path).write_text(text.replace(was, becomes), encoding="utf-8")

    assert snapshot.snapshot(tree) != before


@pytest.mark.usefixtures("_one_server")
@pytest.mark.parametrize(
    "statement",
    [
        "create or replace view payout_api.seen as select name, thing_id as id from payout.things",
        "create or replace view payout_api.seen as select name, 7::bigint as id from payout.things",
        "create trigger t instead of insert on payout_api.seen "
        "for each row execute function payout.tg_things__check()",
        "create rule r as on insert to payout.things do instead nothing",
        "create rule r as on delete to payout.things where old.thing_id > 1 do instead nothing",
        "create policy p on payout.things using (thing_id > 1)",
        "create policy p on payout.things for insert to payout_auditor with check (true)",
        "alter table payout.things force row level security",
        'alter table payout.things add column more text collate "C"',
        "alter table payout.things add column more text generated always as (name || 'x') stored",
        "alter domain payout.label set default 'x'",
        "alter domain payout.label set not null",
        "alter domain payout.label owner to payout_operator",
        "grant usage on type payout.label to payout_operator with grant option",
        "revoke usage on type payout.label from public",
        "alter type payout.pair owner to payout_operator",
        "revoke usage on type payout.pair from public",
        "create type payout.mood as enum ('good', 'bad')",
        "create procedure payout.run() language sql as ''",
        "alter function payout.tg_things__check() parallel safe",
        "alter function payout.tg_things__check() leakproof",
        "grant select on payout.things to payout_auditor with grant option",
        "grant update (name) on payout.things to payout_operator with grant option",
        "alter default privileges for role payout_owner in schema payout "
        "grant select on tables to payout_auditor",
        "revoke temporary on database postgres from public",
        "grant payout_operator to payout_auditor",
        "alter role payout_auditor login",
        "alter role payout_auditor set search_path = x",
    ],
)
def test_an_addition_shows(tree: Path, embedded: EmbeddedPostgres, statement: str) -> None:
    path = tree / "sql/tables/things.sql"
    path.write_text(path.read_text(encoding="utf-8") + SEEN, encoding="utf-8")
    snapshot.schema_files.build(embedded.uri("postgres"), tree)
    with psycopg.connect(embedded.uri("postgres")) as connection:
        before = snapshot.describe(connection)
        connection.execute(statement.encode())
        assert snapshot.describe(connection) != before
        connection.rollback()


@pytest.mark.parametrize("relation", ["payout.things", "payout.things t", "payout.some() t(name)"])
def test_a_view_has_the_same_digest_on_every_version(relation: str) -> None:
    """Up to PostgreSQL 15 the columns of the only relation stand with its name, later without."""
    name = "t" if " t" in relation else "things"
    old = f" SELECT {name}.name\n   FROM {relation}\n  WHERE ({name}.name > 'a'::text);"

    entry = snapshot._entry("view v, owner o", old)

    assert entry == snapshot._entry("view v, owner o", old.replace(f"{name}.name", "name"))
    assert entry != snapshot._entry("view v, owner o", old.replace("'a'", "'b'"))


@pytest.mark.usefixtures("_one_server")
def test_the_command_writes_the_snapshot_and_checks_it(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["snapshot", "--root", str(tree), "--check"])
    assert snapshot.main() == 1
    assert capsys.readouterr().err == (
        "schema.snapshot.sql differs from sql/ and procedures/: run make snapshot\n"
    )

    monkeypatch.setattr("sys.argv", ["snapshot", "--root", str(tree)])
    assert snapshot.main() == 0
    assert capsys.readouterr().out.startswith("schema.snapshot.sql written, ")
    assert snapshot.main() == 0
    assert capsys.readouterr().out == "schema.snapshot.sql is up to date\n"


def test_other_schemas_are_left_out(empty_database: Callable[[], str]) -> None:
    with psycopg.connect(empty_database()) as connection:
        for statement in (
            "create schema payout",
            "create table payout.things ()",
            "create table public.others ()",
        ):
            connection.execute(statement.encode())
        text = snapshot.describe(connection)

    assert "table payout.things" in text
    assert "others" not in text
