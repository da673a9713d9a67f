"""The doctor says when all of Stripe's transfers were last compared with the books."""

from __future__ import annotations

import pytest

from tests.engine import Engine, unguarded
from tests.identity.identities import adopted_elsewhere
from tests.operate.checks import Check, examine
from tests.reconcile.listing import listed, reconcile, with_account

ALL = "all transfers were compared within a day"
NEWEST = "the newest transfers were compared before claims"


def compared(engine: Engine, name: str = ALL) -> Check:
    (check,) = (check for check in examine(engine.db) if check.check_name == name)
    return check


def age(engine: Engine, table: str, columns: str) -> None:
    """Let 25 hours pass for a table."""
    changes = ", ".join(f"{name} = {name} - interval '25 hours'" for name in columns.split())
    with unguarded(engine.db, table):
        engine.db.execute(f"update {table} set {changes}".encode())


@pytest.fixture
def old(engine: Engine) -> Engine:
    """An engine that has kept books for more than a day."""
    with_account(engine).settle()
    age(engine, "payout.ledger_entries", "created_at")
    return engine


def test_a_new_engine_needs_no_comparison_yet(engine: Engine) -> None:
    engine.settle()
    assert compared(engine)[1:3] == ("ok", "no comparison has finished")


def test_books_that_were_never_compared_are_named(old: Engine) -> None:
    assert compared(old)[1:3] == ("failure", "no comparison has finished")


def test_a_comparison_counts_for_a_day_and_says_how_it_ended(old: Engine) -> None:
    reconcile(old.db, listed("tr_9", created=1))
    check = compared(old)
    assert check.status == "ok"
    assert check.detail.endswith(": compared 1 transfers of Stripe's: 0 discrepancies")
    age(old, "payout.stripe_reads", "begun_at finished_at")
    assert compared(old).status == "failure"


def test_a_comparison_of_the_database_that_this_is_a_copy_of_does_not_count(old: Engine) -> None:
    reconcile(old.db)
    adopted_elsewhere(old.db, "table_oid")
    assert compared(old).status == "failure"


@pytest.fixture
def overdue(engine: Engine) -> Engine:
    """An engine with a transfer that was due two minutes ago."""
    with_account(engine).settle()
    engine.let_pass("2 minutes")
    return engine


def without_comparison(engine: Engine) -> None:
    """Let the newest transfers have been compared under another start of the server."""
    with unguarded(engine.db, "payout.stripe_reads"):
        engine.db.execute("update payout.stripe_reads set server_started_at = '2020-01-01Z'")


def test_a_due_transfer_that_no_worker_may_claim_is_told_of(overdue: Engine) -> None:
    """The key may not read transfers, or Stripe's lists are away."""
    assert compared(overdue, NEWEST).status == "ok"
    without_comparison(overdue)
    check = compared(overdue, NEWEST)
    assert check.status == "failure"
    assert check.detail.startswith("the server was started at ")
    assert check.detail.endswith(", a comparison counts for 01:00:00")
    reconcile(overdue.worker)
    assert compared(overdue, NEWEST).status == "ok"


def test_where_nothing_may_be_claimed_anyway_nothing_need_be_compared(overdue: Engine) -> None:
    without_comparison(overdue)
    adopted_elsewhere(overdue.db, "table_oid")
    assert compared(overdue, NEWEST).status == "ok"


def test_a_transfer_that_waits_for_a_look_needs_no_comparison(overdue: Engine) -> None:
    without_comparison(overdue)
    overdue.let_pass("21 hours")
    overdue.sweep()
    assert compared(overdue, NEWEST).status == "ok"
