"""An operator resolves a discrepancy while the engine writes about it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tests.conftest import Connection
from tests.engine import Engine
from tests.reconcile.listing import (
    Discrepancy,
    begin,
    discrepancies,
    listed,
    ours,
    reconcile,
    report,
    with_account,
)
from tests.schema.refusals import wait_until_blocked

RESOLVE: Final = (
    "select payout_api.resolve_discrepancy(discrepancy_id, 'it was my own') "
    "from payout.discrepancies where resolved_at is null"
)


def test_a_discrepancy_resolved_by_an_operator_beside_a_page_stays_resolved(
    shared_engine: Engine, connect: Callable[..., Connection], background: ThreadPoolExecutor
) -> None:
    db, operator, other = shared_engine.db, shared_engine.operator, connect("payout_worker")
    reconcile(db, listed("tr_9"))
    run = begin(other)
    operator.execute("begin")
    operator.execute(RESOLVE)
    waiting = background.submit(report, other, run, listed("tr_9"))
    wait_until_blocked(db, other, by=waiting)
    operator.execute("commit")
    waiting.result()
    assert [f.resolved_by is None for f in discrepancies(shared_engine)] == [False]


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
