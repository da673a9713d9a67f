"""An operator resolves a discrepancy while the engine writes about it."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import pytest
from psycopg.errors import LockNotAvailable

from tests.engine import Engine
from tests.mutants import mutant
from tests.reconcile.listing import (
    Discrepancy,
    Taken,
    discrepancies,
    ours,
    pay,
    reconcile,
    with_account,
)

RESOLVE: Final = (
    "select payout_api.resolve_discrepancy(discrepancy_id, 'it was my own') "
    "from payout.discrepancies where resolved_at is null"
)


@mutant(
    "a page that waits for an operator",
    "record_discrepancies",
    "where not exists (\n                select from payout.discrepancies as d\n"
    "                where d.kind = n.kind",
    "where not exists (\n                select from payout.discrepancies as d\n"
    "                where false and d.kind = n.kind",
    at="listed",
)
@mutant(
    "the end of a comparison that waits for an operator",
    "resolve_compared",
    "for update of d skip locked",
    "for update of d",
    at="gone",
)
@pytest.mark.parametrize("found_again", [True, False], ids=["listed", "gone"])
def test_a_comparison_does_not_wait_for_an_operator_who_resolves(
    shared_engine: Engine, found_again: bool
) -> None:
    """The attack: an open psql with one resolved discrepancy stopped every comparison."""
    db, operator, worker = shared_engine.db, shared_engine.operator, shared_engine.worker
    pay(shared_engine, "seller_1")
    reconcile(db, ours(db, "tr_1", amount=1))
    operator.execute("begin")
    operator.execute(RESOLVE)
    worker.execute("set lock_timeout = '1s'")
    taken = None
    with suppress(LockNotAvailable):
        taken = reconcile(worker, ours(db, "tr_1", amount=1 if found_again else 1500))
    assert taken == Taken(1, int(found_again), True)
    operator.execute("commit")
    assert discrepancies(shared_engine) == [
        Discrepancy("differs_at_stripe", "tr_1", "payout_test_operator")
    ]
    reconcile(worker, ours(db, "tr_1", amount=1))
    assert len(discrepancies(shared_engine)) == 1


def test_other_transfers_are_paid_while_an_operator_resolves_a_discrepancy(
    shared_engine: Engine,
) -> None:
    """A claim that would adopt a listed transfer passes over it while its discrepancy is locked."""
    engine = with_account(shared_engine)
    reconcile(engine.db, ours(engine.db, "tr_1"))
    engine.adopt()
    assert discrepancies(engine) == [Discrepancy("unknown_transfer_at_stripe", "tr_1", None)]
    engine.operator.execute("begin")
    engine.operator.execute(RESOLVE)
    engine.settle()
    (owed,) = engine.settle("seller_2", settlement_id="set_2")
    engine.worker.execute("set statement_timeout = '5s'")
    assert [claim.payout_transfer_id for claim in engine.claim()] == [owed]
    engine.operator.execute("commit")
