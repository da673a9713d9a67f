"""The application writes settlements and lines, reads their status, and calls three functions.

The lists are whole: whatever else the role were ever granted makes a test here fail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
from psycopg import sql

from tests.acting import Session
from tests.schema.refusals import Refusal, refusal
from tests.settle.marketplace import complete, insert_settlement, line, register

FUNCTIONS: Final = {
    "payout.id_fits",  # the check of ids that it writes itself
    "payout_api.complete_settlement",
    "payout_api.outcomes_since",
    "payout_api.register_payee",
    "payout_api.report_edit",
}
RELATIONS: Final = {
    *(
        (f"payout.{table}", privilege)
        for table in ("settlements", "settlement_lines")
        for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE")
    ),
    ("payout.currencies", "SELECT"),  # to which hints point it
    ("payout_api.error_codes", "SELECT"),
    ("payout_api.payout_status", "SELECT"),
}
# Statements of an application that wants more than it is due.
FORBIDDEN: Final = {
    "select from payout.payout_transfers": "table payout_transfers",
    "select from payout.payout_jobs": "table payout_jobs",
    "select from payout.payees": "table payees",
    "select from payout.payee_accounts": "table payee_accounts",
    "select from payout.ledger_entries": "table ledger_entries",
    "select from payout.outcomes": "table outcomes",
    "select from payout.states": "table states",
    "select from payout.holds": "table holds",
    "select from payout_api.unpaid": "view unpaid",
    "select from payout_api.trial_balance": "view trial_balance",
    "insert into payout.payees (payee_id) values ('x')": "table payees",
    "insert into payout.payout_jobs (settlement_id) values ('set_1')": "table payout_jobs",
    "truncate payout.settlements": "table settlements",
    "truncate payout.settlement_lines": "table settlement_lines",
    "update payout.transfer_states set state = 'cancelled'": "table transfer_states",
    "delete from payout.payout_transfers": "table payout_transfers",
    "select payout.schedule_payout_job('set_1')": "function schedule_payout_job",
    "select payout.clock()": "function clock",
    "create table payout.mine (id integer)": "schema payout",
    "create function payout_api.mine() returns integer language sql return 1": "schema payout_api",
}
NOT_ITS_OWN: Final = {
    "alter table payout.settlements disable trigger all": "must be owner of table settlements",
    "drop table payout.settlement_lines": "must be owner of table settlement_lines",
    "create trigger mine after insert on payout.settlements "
    "execute function payout.tg__refuse_change()": "permission denied for table settlements",
    "create rule mine as on insert to payout.settlements do instead nothing": (
        "must be owner of table settlements"
    ),
    "set session_replication_role = replica": (
        'permission denied to set parameter "session_replication_role"'
    ),
    "set role payout_owner": 'permission denied to set role "payout_owner"',
    "set role payout_worker": 'permission denied to set role "payout_worker"',
}


@pytest.fixture
def app(act: Callable[[str], Session]) -> Session:
    app = act("payout_app")
    register(app, "seller_1")
    complete(app, "set_1", [line("1", "seller_1", 5)])
    return app


def test_it_may_call_these_functions_and_no_others(db: Session) -> None:
    rows = db.execute(
        "select n.nspname || '.' || p.proname from pg_proc as p "
        "join pg_namespace as n on n.oid = p.pronamespace "
        "where n.nspname in ('payout', 'payout_api') "
        "and has_function_privilege('payout_app', p.oid, 'execute')"
    )
    assert {row[0] for row in rows} == FUNCTIONS


def test_it_holds_these_privileges_on_whole_relations_and_no_others(db: Session) -> None:
    rows = db.execute(
        "select c.oid::regclass::text, p.privilege from pg_class as c "
        "cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', "
        "'REFERENCES', 'TRIGGER']) as p (privilege) "
        "where c.relnamespace in ('payout'::regnamespace, 'payout_api'::regnamespace) "
        "and c.relkind in ('r', 'v', 'p', 'm') "
        "and has_table_privilege('payout_app', c.oid, p.privilege)"
    )
    assert set(rows) == RELATIONS


def test_it_holds_no_privilege_on_single_columns(db: Session) -> None:
    rows = db.execute(
        "select c.relname, a.attname from pg_class as c "
        "join pg_attribute as a on a.attrelid = c.oid and a.attacl is not null "
        "where c.relnamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)"
    )
    assert rows.fetchall() == []


def test_it_holds_no_privilege_on_a_sequence(db: Session) -> None:
    rows = db.execute(
        "select s.sequencename from pg_sequences as s "
        "where s.schemaname in ('payout', 'payout_api') and has_sequence_privilege("
        "'payout_app', format('%I.%I', s.schemaname, s.sequencename), 'usage, select, update')"
    )
    assert rows.fetchall() == []


def test_it_reads_its_settlements_and_the_error_codes(app: Session) -> None:
    assert app.execute("select settlement_id, state from payout.settlements").fetchall() == [
        ("set_1", "complete")
    ]
    assert app.execute("select amount_minor from payout.settlement_lines").fetchall() == [(5,)]
    assert app.execute(
        "select reaction from payout_api.error_codes where sqlstate = 'SP303'"
    ).fetchall() == [("correct the call",)]


def test_it_edits_a_pending_settlement(app: Session, db: Session) -> None:
    insert_settlement(app, "set_2", [line("1", "seller_1", 5)], state="pending")

    with app.transaction():
        app.execute(
            "update payout.settlements set total_minor = 7, currency = 'eur', pay_after = now(), "
            """metadata = '{"a": "b"}' where settlement_id = 'set_2'"""
        )
        app.execute("delete from payout.settlement_lines where settlement_id = 'set_2'")
        app.execute(
            "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
            "values ('set_2', '2', 'seller_1', 6)"
        )
        app.execute(
            "update payout.settlement_lines set amount_minor = 7, source_transaction = 'ch_1' "
            "where settlement_id = 'set_2'"
        )
        app.execute("update payout.settlements set state = 'complete' where state = 'pending'")

    assert db.execute(
        "select source_transaction, amount_minor, currency from payout.payout_transfers "
        "where settlement_id = 'set_2'"
    ).fetchall() == [("ch_1", 7, "eur")]


def test_it_is_denied_everything_else(app: Session) -> None:
    expected = {
        statement: Refusal("42501", f"permission denied for {what}")
        for statement, what in FORBIDDEN.items()
    } | {statement: Refusal("42501", message) for statement, message in NOT_ITS_OWN.items()}

    assert {statement: refusal(app, statement) for statement in expected} == expected


@pytest.mark.usefixtures("clone")
def test_nothing_temporary_of_it_is_taken_for_the_engine_s_own(app: Session, db: Session) -> None:
    """The database that runs the engine grants no TEMPORARY; were it granted, it would not help."""
    name = db.info.dbname
    db.execute(sql.SQL("grant temporary on database {} to payout_app").format(sql.Identifier(name)))
    app.execute("create temporary table changed (settlement_id text)")
    app.execute("create temporary table payout_jobs (payout_job_id bigint, settlement_id text)")
    app.execute("create domain pg_temp.text as pg_catalog.text check (false)")
    app.execute("create domain pg_temp.jsonb as pg_catalog.jsonb check (false)")

    complete(app, "set_2", [line("1", "seller_1", 5)])

    assert app.execute("select from changed").rowcount == 0
    assert db.execute("select count(*) from payout.payout_jobs").fetchone() == (2,)
