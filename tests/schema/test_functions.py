"""No caller can slip an object of its own into a function that runs with the owner's rights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import psycopg
import pytest
from psycopg import sql

from tests.conftest import ROOT, Connection, login_name
from tests.mutants import mutant
from tests.schema import rows
from tests.schema.refusals import Refusal, refusal

OURS: Final = "('payout'::regnamespace, 'payout_api'::regnamespace)"
# Settings of the planner, and of the form in which values are written.
HARMLESS: Final = (
    *("jit=", "enable_", "plan_cache_mode=", "lock_timeout=", "work_mem="),
    *("TimeZone=", "IntervalStyle=", "bytea_output=", "quote_all_identifiers="),
)
PINNED: Final = ["search_path=pg_catalog, pg_temp"]
# procrastinate's functions name their tables bare: functions that call them need its schema.
PINNED_WITH_THE_QUEUE: Final = ["search_path=pg_catalog, procrastinate, pg_temp"]

# Temporary objects that an attacker puts in front of the names that a function uses.
TRAPS: Final = (
    "create temporary table settlements (settlement_id text, state text)",
    "create temporary table payout_jobs (settlement_id text)",
    """
    create function pg_temp.spy(p_value pg_catalog.text) returns boolean language plpgsql as $$
    begin
        raise exception 'captured %', current_user;
    end
    $$
    """,
    "create domain pg_temp.text as pg_catalog.text check (pg_temp.spy(value))",
)


@pytest.fixture
def attacker(db: Connection, connect: Callable[..., Connection]) -> Connection:
    """The application, with the right to create temporary objects, and its traps set."""
    grant = sql.SQL("grant temporary on database {} to {}").format(
        sql.Identifier(db.info.dbname), sql.Identifier(login_name("payout_app"))
    )
    db.execute(grant)
    rows.add_settlement(db)
    connection = connect("payout_app")
    for trap in TRAPS:
        connection.execute(sql.SQL(trap))
    return connection


@mutant("search_path unset", sql=("alter function payout_api.sweep(integer) reset search_path"))
@mutant(
    "search_path set search_path = ''",
    sql=("alter function payout_api.sweep(integer) set search_path = ''"),
)
@mutant(
    "search_path set search_path = pg_catalog",
    sql=("alter function payout_api.sweep(integer) set search_path = pg_catalog"),
)
def test_every_function_looks_for_names_in_the_catalog_only(db: Connection) -> None:
    found = db.execute(
        f"select pronamespace::regnamespace || '.' || proname, proconfig "
        f"from pg_proc where pronamespace in {OURS} "
        "and prosqlbody is null"  # the names of the others were looked for when they were made
    ).fetchall()
    writers = {f"payout.{file.stem}" for file in (ROOT / "procedures/wakeup").glob("*.sql")}

    assert found
    for name, settings in found:
        path = [each for each in settings or [] if not each.startswith(HARMLESS)]
        assert path == PINNED or (name in writers and path == PINNED_WITH_THE_QUEUE), name


def test_only_functions_called_from_outside_and_triggers_run_as_the_owner(db: Connection) -> None:
    found = db.execute(
        f"""
        select pronamespace::regnamespace::text, proname::text, prorettype = 'trigger'::regtype
        from pg_proc
        where pronamespace in {OURS} and prosecdef
        """
    )
    for schema, name, is_trigger in found:
        is_guard = is_trigger and name.startswith("tg_")
        assert schema == "payout_api" or is_guard, name


def test_a_caller_does_not_capture_the_guard_of_lines(attacker: Connection) -> None:
    line = (
        "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
        "values ('set_1', '2', 'seller_1', 1)"
    )
    assert refusal(attacker, line) == Refusal(
        "SP102", "settlement set_1 is complete: its lines cannot be changed"
    )


@pytest.mark.parametrize("search_path", ["''", "payout"])
def test_the_same_traps_capture_a_function_that_is_not_pinned(
    db: Connection, attacker: Connection, search_path: str
) -> None:
    db.execute("set role payout_owner")
    db.execute(
        sql.SQL(
            "create function payout_api.careless() returns void language plpgsql "
            "security definer set search_path = {} as $$ "
            "declare v_name text; begin v_name := 'captured?'; end $$"
        ).format(sql.SQL(search_path))
    )
    db.execute("grant execute on function payout_api.careless() to payout_app")

    with pytest.raises(psycopg.errors.RaiseException, match=r"^captured payout_owner"):
        attacker.execute("select payout_api.careless()")


def test_a_name_with_sql_in_it_stays_a_name(
    db: Connection, connect: Callable[..., Connection]
) -> None:
    name = "'; update payout.transfer_states set state = 'paid'; --"
    rows.add_transfer(db, name)

    line = (
        "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
        "values (%s, %s, %s, 1)"
    )
    assert refusal(connect("payout_app"), line, [name, name, name]) == Refusal(
        "SP102", f"settlement {name} is complete: its lines cannot be changed"
    )
