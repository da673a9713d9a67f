"""Lists of reversals that are read at different times, and do not agree with each other."""

from __future__ import annotations

import pytest

from tests.engine import Engine
from tests.reconcile.listing import (
    Discrepancy,
    carry,
    discrepancies,
    ours,
    pay,
    reconcile,
    with_account,
)
from tests.reconcile.test_reversals import balances, claim, claimed, report, reversal

CONTRADICTS = Discrepancy("reversals_contradict_transfer", "tr_1", None)


@pytest.fixture
def paid(engine: Engine) -> Engine:
    with_account(engine)
    pay(engine, "seller_1")
    reconcile(engine.db, ours(engine.db, amount_reversed=900))
    return engine


def test_contradicting_lists_book_no_more_than_was_paid(paid: Engine) -> None:
    """The second list has lost the first reversal; together they take back more than was paid."""
    report(paid, reversal(1, 900))
    report(paid, reversal(2, 900))
    assert balances(paid)["payable:seller_1"] <= 1500
    assert CONTRADICTS in discrepancies(paid)


def test_a_reversal_made_while_a_bad_list_is_under_way_is_read(paid: Engine) -> None:
    """The list was read before; the run that saw more asked for another look, and it is lost."""
    (read,) = claim(paid)
    reconcile(paid.db, ours(paid.db, amount_reversed=1000))
    carry(paid.worker, read, reversal(1, 900, currency="eur"))
    assert claimed(paid) == ["tr_1"]
