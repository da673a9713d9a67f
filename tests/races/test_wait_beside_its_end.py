"""A wait is ended by a snapshot that shows each transfer which waits under it."""

from __future__ import annotations

from typing import Final

from tests.engine import Engine, unfunded
from tests.mutants import mutant
from tests.schema.refusals import Refusal, refusal

RETRY: Final = "select payout_api.retry('topped up', p_payout_transfer_id => 1)"


@mutant(
    "a retry that does not see the marks",
    "act",
    "        perform payout.refuse_old_snapshot('nothing is done');\n",
    "",
)
def test_a_retry_ends_no_wait_by_an_old_snapshot(shared_engine: Engine) -> None:
    """It would not show the transfers that wait since: these would wait for ever."""
    engine = shared_engine
    engine.settle("seller_1", "seller_2")
    first, second = engine.claim()
    engine.report(unfunded(first))
    engine.operator.execute("begin isolation level repeatable read; table payout.caps")
    engine.report(unfunded(second))
    assert refusal(engine.operator, RETRY) == Refusal(
        "SP401", "nothing is done in a transaction that is repeatable read"
    )
