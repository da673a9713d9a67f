"""The doctor notices a server that will not go on serving the engine."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql

from payout_engine.errors import one_line
from tests.conftest import Connection
from tests.engine import Engine
from tests.mutants import mutant
from tests.operate.checks import DOCTOR, Check, complaints, examine

OPEN = "no transaction was left open"
OUTCOMES = "outcomes can be read"


def told(db: Connection, name: str) -> Check:
    (check,) = (Check(*row) for row in db.execute(DOCTOR) if row[0] == name)
    return check


@pytest.mark.parametrize("level", ["database", "login"])
def test_a_server_that_went_read_only_is_a_failure_and_a_login_that_only_reads_is_not(
    db: Connection, dsn: Callable[..., str], level: str
) -> None:
    """Claims failed with 2,000 characters of SQL, and the doctor found all well (FIELD B25)."""
    examine(db)
    on = "set default_transaction_read_only = on"
    if level == "database":
        name = sql.Identifier(db.info.dbname)
        db.execute(sql.SQL("alter database {} " + on).format(name))
        options = ""
    else:
        options = "-c default_transaction_read_only=on"
    with psycopg.connect(dsn("payout_operator"), options=options, autocommit=True) as login:
        check = told(login, "transactions may write")
    assert check.status == ("failure" if level == "database" else "ok")
    assert check.detail.startswith("default_transaction_read_only on (")


def test_workers_of_another_release_are_named(engine: Engine) -> None:
    for name, release in (("old", "1.0.2"), ("new", "1.1.0")):
        engine.worker.execute("select payout_api.heartbeat(%s, %s)", [name, release])
    check = told(engine.db, "workers are of one release")
    assert (check.status, check.detail) == ("warning", "new 1.1.0")


def aged(db: Connection, name: str) -> Check:
    """Return a check that takes everything for old: the server's own times cannot be moved."""
    [(text,)] = db.execute(
        "select pg_get_functiondef('payout.check_transactions()'::regprocedure)"
    ).fetchall()
    for age in ("15 minutes", "5 minutes"):
        assert f"interval '{age}'" in text
        text = text.replace(f"interval '{age}'", "interval '0'")
    with db.transaction(force_rollback=True):
        db.execute(text)
        return told(db, name)


@mutant(
    "a doctor that is content with a prepared transaction",
    "check_transactions",
    "select format('prepared %s since %s', p.gid, p.prepared)",
    "select null",
)
def test_a_transaction_that_was_left_prepared_is_named(
    db: Connection, connect: Callable[..., Connection]
) -> None:
    assert aged(db, OPEN).status == "ok"
    other = connect()
    other.execute("begin")
    other.execute("create table x ()")
    other.execute("prepare transaction 'left'")
    assert told(db, OPEN).status == "ok"
    check = aged(db, OPEN)
    db.execute("rollback prepared 'left'")
    assert check.status == "warning"
    assert check.detail.startswith("prepared left since ")


def test_a_session_that_was_left_in_a_transaction_is_named_as_far_as_it_can_be_seen(
    db: Connection, connect: Callable[..., Connection]
) -> None:
    other = connect("payout_app")
    other.execute("begin")
    other.execute("select payout_api.register_payee('seller_1', 'acct_1')")
    assert aged(db, OPEN).detail == (
        "none is older than 15 minutes; sessions of other logins are hidden: "
        "grant pg_read_all_stats to payout_owner"
    )
    with db.transaction(force_rollback=True):
        db.execute("grant pg_read_all_stats to payout_owner")
        assert told(db, OPEN)[1:3] == ("ok", "none is older than 15 minutes")
        check = aged(db, OPEN)
    other.execute("rollback")
    assert check.status == "warning"
    assert f"process {other.info.backend_pid} of " in check.detail


@mutant(
    "a doctor that takes no writer for a late one",
    "check_transactions",
    "where o.outcome_id > w.last and",
    "where o.outcome_id > w.last + 1000 and",
)
def test_a_writer_that_holds_up_outcomes_is_named(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    """`outcomes_since` goes no further than the oldest writer that is not over (D-111)."""
    db, late = shared_engine.db, shared_engine.worker
    shared_engine.settle("seller_1", "seller_2")
    late.execute("begin")
    shared_engine.claim(1)
    assert aged(db, OUTCOMES).status == "ok"
    Engine(db, log_in=lambda role: connect(role, member=2)).claim(1)
    check, soon = aged(db, OUTCOMES), told(db, OUTCOMES)
    late.execute("rollback")
    assert soon.status == "ok"
    assert check[1:3] == (
        "warning",
        f"process {late.info.backend_pid} holds up what came after number 0",
    )
    assert aged(db, OUTCOMES).status == "ok"


def test_upkeep_of_a_healthy_server_is_in_order(engine: Engine) -> None:
    assert complaints(engine.db) == {}


def test_claims_on_a_server_that_went_read_only_fail_in_one_short_line(
    db: Connection, dsn: Callable[..., str]
) -> None:
    Engine(db).settle()
    with (
        psycopg.connect(
            dsn("payout_worker"), options="-c default_transaction_read_only=on", autocommit=True
        ) as worker,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as refused,
    ):
        worker.execute("select * from payout_api.claim_transfers(p_worker => 'w', p_limit => 1)")
    line = one_line(refused.value)
    assert len(line.splitlines()) == 1
    assert len(line) < 150


def test_a_currency_on_hold_is_one_warning_and_no_overdue_transfer(engine: Engine) -> None:
    """ "start a worker", while a person had stopped them (FIELD B20)."""
    engine.settle(*(f"seller_{number}" for number in range(20)), settlement_id="set_1")
    engine.hold("currency", "usd")
    engine.let_pass("10 minutes")
    engine.sweep()
    assert engine.claim() == []
    assert complaints(engine.db) == {"nothing is on hold": "currency usd (to look)"}
