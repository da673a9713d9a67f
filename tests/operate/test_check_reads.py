"""The doctor says when all of Stripe's transfers were last compared with the books."""

from __future__ import annotations

import pytest

from tests.engine import Engine, unguarded
from tests.identity.identities import adopted_elsewhere
from tests.operate.checks import Check, examine
from tests.reconcile.listing import listed, reconcile, with_account

NAME = "all transfers were compared within a day"


def compared(engine: Engine) -> Check:
    (check,) = (check for check in examine(engine.db) if check.check_name == NAME)
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
