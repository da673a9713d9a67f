from __future__ import annotations

from pathlib import Path

import pytest

from tools import house_check

CANCEL = """\
-- cancel: withdraw a thing.
--
-- Raises: SP301 unknown thing.

create or replace function payout_api.cancel(p_thing_id bigint)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_name text;
begin
    delete from payout.things as t
    where t.thing_id = p_thing_id
    returning t.name into v_name;

    if not found then
        raise exception 'thing % does not exist', p_thing_id
            using errcode = 'SP301';
    end if;
end
$$;
comment on function payout_api.cancel(bigint) is 'Withdraws a thing. SP301 when there is none.';
grant execute on function payout_api.cancel(bigint) to payout_operator;
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
TABLE = """\
-- things: a table.

create table payout.things (
    name text not null
);
comment on table payout.things is 'Things.';

create trigger _500_check before insert on payout.things
    for each row execute function payout.tg_things__check();
"""
OVERVIEW = """\
-- overview: all things.

create or replace view payout_api.overview as
select t.name from payout.things as t;
comment on view payout_api.overview is 'All things.';
"""
CODES = """\
-- error_codes: the errors of the engine.

create or replace view payout_api.error_codes as
select c.sqlstate, c.meaning
from (values
    ('SP301', 'no such thing')
) as c (sqlstate, meaning);
comment on view payout_api.error_codes is 'Every error.';
"""
GOOD = {
    "procedures/operate/cancel.sql": CANCEL,
    "procedures/common/tg_things__check.sql": GUARD,
    "sql/tables/things.sql": TABLE,
    "sql/views/overview.sql": OVERVIEW,
    "sql/error_codes.sql": CODES,
}


@pytest.mark.parametrize("path", GOOD)
def test_a_file_in_house_style_has_no_violations(path: str) -> None:
    assert house_check.check_file(path, GOOD[path]) == []


@pytest.mark.parametrize(
    ("was", "becomes", "line", "message"),
    [
        (
            "-- cancel: withdraw a thing.\n",
            "-- Withdraws a thing.\n",
            1,
            "the first line is not '-- cancel: one sentence.'",
        ),
        ("-- Raises: SP301 unknown thing.", "-- " + "x" * 98, 3, "the line has 101 characters"),
        ("returns void\n", "returns void \n", 6, "a tab, or blanks at the end of the line"),
        ("returns void\n", "RETURNS void\n", 6, "RETURNS is not in lower case"),
        ("    if not found then", "    IF not found then", 19, "IF is not in lower case"),
        ("payout_api.cancel(p", "payout_api.withdraw(p", 5, "is in a file of another name"),
        ("payout_api.cancel(p", "cancel(p", 5, "the function cancel is created without a schema"),
        ("create or replace", "create", 5, "'create function' instead of 'create or replace"),
        (
            "(p_thing_id bigint)",
            "(thing_id bigint)",
            5,
            "parameter thing_id does not start with p_",
        ),
        ("language plpgsql", "language plperl", 5, "the language is plperl, not sql or plpgsql"),
        ("volatile\n", "", 5, "does not say whether it is volatile, stable or immutable"),
        (
            "volatile\nsecurity definer\n",
            "security definer\nvolatile\n",
            5,
            "the attributes stand in another order: language, security, volatility, set, as",
        ),
        ("    v_name text;", "    name text;", 13, "the variable name does not start with v_"),
        (
            "    v_name text;\n",
            "    v_name text;\n"
            + "".join(f"    v_{number} integer := 1;\n" for number in range(6)),
            11,
            "7 variables, 6 may be",
        ),
        ("begin\n", "begin\n" + "    perform 1;\n" * 50, 11, "the body has 62 lines, 60 may be"),
        (
            "    end if;\n",
            "    end if;\nexception when others then\n    null;\n",
            23,
            "'when others' hides every bug: name the condition",
        ),
        (
            "    end if;\n",
            "    end if;\n    execute 'vacuum';\n",
            23,
            "'execute' runs SQL that no check can read",
        ),
        (
            "comment on function payout_api.cancel(bigint) is",
            "\ncomment on function payout_api.cancel(bigint) is",
            24,
            "'comment on function' does not stand directly under the function",
        ),
        ("returns void", "returns void void", 6, "syntax error"),
    ],
)
def test_a_function_out_of_style_is_found(was: str, becomes: str, line: int, message: str) -> None:
    assert CANCEL.count(was) >= 1
    text = CANCEL.replace(was, becomes, 1)

    violations = house_check.check_file("procedures/operate/cancel.sql", text)

    assert [each for each in violations if each.line == line and message in each.message], (
        violations
    )


@pytest.mark.parametrize(
    ("was", "becomes", "line", "message"),
    [
        ("trigger _500_check", "trigger check_name", 8, "check_name is not named _NNN_rule"),
        ("on payout.things\n", "on things\n", 8, "the table of _500_check has no schema"),
        ("comment on table payout.things is 'Things.';\n", "", 3, "no 'comment on' stands"),
    ],
)
def test_a_table_out_of_style_is_found(was: str, becomes: str, line: int, message: str) -> None:
    text = TABLE.replace(was, becomes, 1)

    violations = house_check.check_file("sql/tables/things.sql", text)

    assert [(each.line, message in each.message) for each in violations] == [(line, True)]


def test_a_trigger_apart_from_its_table_is_found() -> None:
    trigger = TABLE[TABLE.index("create trigger") :]

    violations = house_check.check_file("procedures/common/tg_things__check.sql", GUARD + trigger)

    assert [each.message for each in violations] == [
        "the trigger _500_check does not stand with its table"
    ]


def test_a_table_or_type_in_another_folder_is_found() -> None:
    table = TABLE[: TABLE.index("\ncreate trigger")].replace("-- things", "-- types")

    violations = house_check.check_file("sql/types.sql", table)

    assert [each.message for each in violations] == [
        "a table stands in sql/tables/, a type in sql/types.sql"
    ]


@pytest.mark.parametrize(
    ("setting", "violations"),
    [
        ("set jit = off\n", ["payout.names sets jit: its public callers may"]),
        (
            "set enable_seqscan = off\n",
            ["payout.names sets enable_seqscan: its public callers may"],
        ),
        ("set enable_seqscan = on\n", []),
    ],
)
def test_a_private_function_that_keeps_the_planner_from_something_is_found(
    setting: str, violations: list[str]
) -> None:
    private = GUARD.replace("tg_things__check", "names").replace("as $$", f"{setting}as $$")
    public = CANCEL.replace("as $$", f"{setting}as $$")

    found = house_check.check_file("procedures/common/names.sql", private)

    assert [each.message for each in found] == violations
    assert house_check.check_file("procedures/operate/cancel.sql", public) == []


def test_two_functions_in_a_file_are_found() -> None:
    second = CANCEL.split("\n\n", 1)[1]

    violations = house_check.check_file("procedures/operate/cancel.sql", CANCEL + second)

    assert [str(each) for each in violations] == [
        "procedures/operate/cancel.sql:1: a file defines one function, this one 2"
    ]


def test_a_file_without_its_view_is_found() -> None:
    violations = house_check.check_file("sql/views/overview.sql", "-- overview: all.\n")

    assert [each.message for each in violations] == ["a file defines one view, this one 0"]


@pytest.mark.parametrize("path", ["procedures/cellar/x.sql", "procedures/x.sql", "sql/x/x.sql"])
def test_a_file_that_the_build_does_not_read_is_a_violation(tmp_path: Path, path: str) -> None:
    for each in (path, "sql/ops/by-hand.sql", "sql/queue_grants.sql"):
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / each).write_text("-- x: one.\n")

    assert [str(each) for each in house_check.check_tree(tmp_path)] == [
        f"{path}:1: stands where neither the build nor a migration reads it"
    ]


def test_the_command_prints_each_violation_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sql/views").mkdir(parents=True)
    (tmp_path / "sql/views/overview.sql").write_text(OVERVIEW.replace("or replace ", ""))
    monkeypatch.setattr("sys.argv", ["house_check", "--root", str(tmp_path)])

    assert house_check.main() == 1
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "sql/views/overview.sql:3: 'create view' instead of 'create or replace view'",
        "house check: 1 files, 1 violations",
    ]
