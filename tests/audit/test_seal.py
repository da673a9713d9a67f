"""Facts that can no longer change are sealed: once a minute, by one at a time, never too early."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final

import pytest

from tests.audit.sealing import (
    INSTALLED,
    SEALED,
    forget_waits,
    let_a_minute_pass,
    let_transactions_end,
    seal,
    seal_everything,
    seal_installation,
    seals,
    value,
    verify,
)
from tests.conftest import Connection
from tests.engine import Engine, success, unfunded
from tests.mutants import mutant
from tests.schema.refusals import Refusal, refusal

LOWEST: Final = -(2**63)
PATIENCE_SECONDS: Final = 60.0


@pytest.fixture
def sealed_engine(shared_engine: Engine) -> Engine:
    """An engine in which all that an installation has is sealed: the next seal is number 5."""
    found = seal_installation(shared_engine.db)
    assert found == INSTALLED
    return shared_engine


def seal_once_others_ended(db: Connection) -> int:
    """Seal as soon as no transaction, also of other tests, is older than the newest mark."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    has_ended = (
        "select bool_and(m.marked_xid <= pg_snapshot_xmin(pg_current_snapshot())) "
        "from payout.seal_marks as m"
    )
    while db.execute(has_ended).fetchone() != (True,):
        assert time.monotonic() < deadline, "some transaction ran all the time"
        time.sleep(0.01)
    return seal(db)


def test_what_was_marked_is_sealed_a_minute_later(sealed_engine: Engine) -> None:
    db = sealed_engine.db
    sealed_engine.settle("seller_1", "seller_2")
    let_a_minute_pass(db)
    let_transactions_end(db)
    assert seal(db) == 0
    assert seals(db)[4:] == []
    sealed_engine.settle("seller_3", settlement_id="set_2")
    let_transactions_end(db)
    assert seal(db) == 0
    let_a_minute_pass(db)
    # Rows after the mark wait for the next one.
    assert seal(db) == 4 + 1 + 2
    assert seals(db)[4:] == [
        (5, "ledger_entries", LOWEST, 4, "{[1,5)}"),
        (6, "payout_jobs", LOWEST, 1, "{[1,2)}"),
        (7, "payout_transfers", LOWEST, 2, "{[1,3)}"),
    ]
    let_a_minute_pass(db)
    let_transactions_end(db)
    assert seal(db) == 2 + 1 + 1
    assert seals(db)[7:] == [
        (8, "ledger_entries", 5, 6, "{[5,7)}"),
        (9, "payout_jobs", 2, 2, "{[2,3)}"),
        (10, "payout_transfers", 3, 3, "{[3,4)}"),
    ]


def test_every_kind_of_fact_is_sealed(sealed_engine: Engine) -> None:
    sealed_engine.settle()
    sealed_engine.report(unfunded(sealed_engine.claim_one()))
    sealed_engine.make_due()
    sealed_engine.sweep()
    sealed_engine.report(success(sealed_engine.claim_one()))
    forget_waits(sealed_engine.db)
    assert seal_everything(sealed_engine.db) == 5 + 4 + 1 + 2 + 1
    assert {each.table_name for each in seals(sealed_engine.db)[4:]} == set(SEALED)
    assert verify(sealed_engine.db) == []


def test_acts_of_operators_holds_and_discrepancies_are_sealed(sealed_engine: Engine) -> None:
    sealed_engine.settle()
    sealed_engine.report_one(success(sealed_engine.claim_one(), amount_minor=1))
    sealed_engine.release_holds()
    seal_everything(sealed_engine.db)
    found = {each.table_name for each in seals(sealed_engine.db)}
    assert found >= {"discrepancies", "holds", "operator_actions"}
    # A resolution is recorded with the operator's acts.
    sealed_engine.db.execute(
        "select payout_api.resolve_discrepancy(discrepancy_id, 'paid by hand') "
        "from payout.discrepancies"
    )
    assert verify(sealed_engine.db) == []


def test_each_table_with_sealed_rows_has_a_mark(engine: Engine) -> None:
    """The view names a table in each of its parts; the installation gives each a mark."""
    ((view,),) = engine.db.execute(
        "select pg_get_viewdef('payout_api.sealed_rows'::regclass)"
    ).fetchall()
    marks = engine.db.execute("select table_name from payout.seal_marks").fetchall()
    assert sorted(re.findall(r"SELECT '(\w+)'::text", view)) == sorted(name for (name,) in marks)


def test_a_sealer_with_nothing_to_do_writes_no_seal(sealed_engine: Engine) -> None:
    db = sealed_engine.db
    assert seal_everything(db) == 0
    sealed_engine.settle()
    assert seal_everything(db) == 4
    for _ in range(3):
        assert seal_everything(db) == 0
    assert len(seals(db)) == 4 + 3


def test_it_does_nothing_within_the_minute(sealed_engine: Engine) -> None:
    db = sealed_engine.db
    sealed_engine.settle()
    seal_everything(db)
    marks = db.execute("select * from payout.seal_marks order by 1").fetchall()
    assert seal(db) == 0
    db.execute("update payout.seal_marks set marked_at = marked_at - interval '59 seconds'")
    assert seal(db) == 0
    db.execute("update payout.seal_marks set marked_at = marked_at + interval '59 seconds'")
    assert db.execute("select * from payout.seal_marks order by 1").fetchall() == marks


@mutant(
    "a horizon without a margin",
    "seal",
    "where m.marked_at <= v_now - interval '1 minute' or m.marked_at > v_now",
    "",
)
def test_rows_marked_within_the_last_minute_are_not_sealed(sealed_engine: Engine) -> None:
    """Even when every transaction has ended that ran when they were marked."""
    db = sealed_engine.db
    sealed_engine.settle()
    let_a_minute_pass(db)
    seal(db)
    let_transactions_end(db)
    db.execute(
        "update payout.seal_marks set marked_at = marked_at - interval '1 minute' "
        "where table_name = 'adoptions'"
    )
    assert seal(db) == 0


def test_a_seal_closes_a_thousand_rows_at_most(sealed_engine: Engine) -> None:
    db = sealed_engine.db
    sealed_engine.settle(*(f"seller_{n}" for n in range(1, 1251)))
    assert seal_everything(db) == 2500 + 1247 + 1 + 1250
    assert seals(db, "ledger_entries") == [
        (5, "ledger_entries", LOWEST, 1000, "{[1,1001)}"),
        (6, "ledger_entries", 1001, 2000, "{[1001,2001)}"),
        (7, "ledger_entries", 2001, 2500, "{[2001,2501)}"),
    ]
    assert verify(db) == []


def test_a_sealer_stops_at_its_limit_of_each_and_goes_on_at_once(sealed_engine: Engine) -> None:
    db = sealed_engine.db
    sealed_engine.settle(*(f"seller_{n}" for n in range(1, 1251)))
    let_a_minute_pass(db)
    seal(db)
    let_a_minute_pass(db)
    let_transactions_end(db)
    assert [seal(db, limit=1000) for _ in range(4)] == [3001, 1497, 500, 0]
    assert verify(db) == []


def test_ids_that_nobody_used_are_closed_too(sealed_engine: Engine) -> None:
    db = sealed_engine.db
    sealed_engine.settle()
    with db.transaction(force_rollback=True):
        Engine(db).settle("seller_1", "seller_2", settlement_id="set_2")
    sealed_engine.settle(settlement_id="set_3")
    seal_everything(db)
    assert seals(db, "payout_transfers") == [
        (7, "payout_transfers", LOWEST, 4, "{[1,2),[4,5)}"),
    ]
    assert verify(db) == []


@mutant(
    "a sealer that ignores the horizon",
    "seal_up_to_mark",
    "if p_mark.marked_xid > pg_snapshot_xmin(pg_current_snapshot()) then",
    "if false then",
)
def test_a_row_that_commits_late_with_a_lower_id_is_waited_for(
    sealed_engine: Engine, connect: Callable[..., Connection]
) -> None:
    db = sealed_engine.db
    slow = Engine(connect())
    with slow.db.transaction():
        slow.settle("seller_1", settlement_id="set_slow")
        sealed_engine.settle("seller_2", settlement_id="set_quick")
        let_a_minute_pass(db)
        seal(db)
        let_a_minute_pass(db)
        assert seal(db) == 0
        assert seals(db)[4:] == []
    assert seal_once_others_ended(db) == 4 + 2 + 2
    assert seals(db, "payout_transfers") == [(7, "payout_transfers", LOWEST, 2, "{[1,3)}")]
    assert verify(db) == []


def test_a_sealer_waits_for_nobody(
    sealed_engine: Engine, connect: Callable[..., Connection]
) -> None:
    db = sealed_engine.db
    sealed_engine.settle()
    let_a_minute_pass(db)
    other = connect("payout_worker")
    with other.transaction():
        seal(other)
        # The other one holds the marks until it commits.
        db.execute("set statement_timeout = '5s'")
        assert seal(db) == 0
        sealed_engine.sweep()
    assert seal(db) == 0


@pytest.mark.parametrize(
    "mark", ["marked_at = now() + '1 hour'::interval", "marked_xid = '9000000000000000000'"]
)
def test_a_mark_of_another_time_or_cluster_is_set_anew(sealed_engine: Engine, mark: str) -> None:
    """A clock that was set back, or a dump that was restored where fewer transactions have run."""
    db = sealed_engine.db
    sealed_engine.settle()
    let_a_minute_pass(db)
    seal(db)
    let_a_minute_pass(db)
    db.execute(f"update payout.seal_marks set {mark}")
    assert seal(db) == 0
    assert value(db, "select count(*) from payout.seal_marks where marked_at > now()") == 0
    assert seal_everything(db) == 4


def test_a_sweep_seals(sealed_engine: Engine) -> None:
    db = sealed_engine.db
    sealed_engine.settle()
    for _ in range(2):
        let_a_minute_pass(db)
        let_transactions_end(db)
        sealed_engine.sweep()
    assert len(seals(db)) == 4 + 3


@pytest.mark.parametrize(("limit", "told"), [("null", "null"), ("0", "0"), ("-1", "-1")])
def test_a_seal_of_no_number_is_refused(engine: Engine, limit: str, told: str) -> None:
    assert refusal(engine.db, f"select payout_api.seal(p_limit => {limit})") == Refusal(
        "SP311", f"seal of {told} rows"
    )


@pytest.mark.parametrize("role", ["payout_app", "payout_auditor"])
def test_only_workers_and_operators_may_seal(visit: Callable[..., Connection], role: str) -> None:
    assert refusal(visit(role), "select payout_api.seal()") == Refusal(
        "42501", "permission denied for function seal"
    )
    for sealer in ("payout_worker", "payout_operator"):
        assert refusal(visit(sealer), "select payout_api.seal()") is None
