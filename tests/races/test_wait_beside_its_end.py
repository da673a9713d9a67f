"""A wait ends while another transfer begins to wait: it waits under none that is over."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from tests.conftest import Connection
from tests.engine import Engine, unfunded
from tests.mutants import mutant
from tests.schema.refusals import Refusal, refusal, wait_until_blocked

RELEASE: Final = "select payout_api.release_hold(max(hold_id), 'topped up') from payout.holds"
RETRY: Final = "select payout_api.retry('topped up', p_payout_transfer_id => 1)"
MARKED: Final = (
    "select case when s.hold_id is not null then h.released_at is null end "
    "from payout.transfer_states as s "
    "left join payout.holds as h using (hold_id) order by s.payout_transfer_id"
)


def marked(engine: Engine) -> list[bool | None]:
    """Tell of each transfer whether the hold that it waits under is open; null: it has none."""
    return [is_open for (is_open,) in engine.db.execute(MARKED)]


@mutant(
    "a wait that ends beside the report",
    "begin_wait",
    "is null\n        for share skip locked",
    "is null",
)
@pytest.mark.parametrize("end", [RELEASE, RETRY], ids=["release", "retry"])
def test_the_end_of_a_wait_waits_for_a_decline_that_is_being_reported(
    shared_engine: Engine,
    connect: Callable[..., Connection],
    background: ThreadPoolExecutor,
    end: str,
) -> None:
    engine, other = shared_engine, connect("payout_worker", member=2)
    engine.settle("seller_1", "seller_2")
    first, second = engine.claim()
    engine.report(unfunded(first))
    other.execute("begin")
    engine.report(unfunded(second), connection=other)
    ending = background.submit(engine.operator.execute, end)
    wait_until_blocked(engine.db, engine.operator, by=ending)
    other.execute("commit")
    ending.result()
    assert marked(engine) == [None, None]
    engine.sweep()
    assert len(engine.claim_lookups()) == 2


def test_a_decline_beside_the_end_of_its_wait_waits_for_nobody(shared_engine: Engine) -> None:
    """It is looked for and tried again as if there were no wait."""
    engine = shared_engine
    engine.settle("seller_1", "seller_2")
    first, second = engine.claim()
    engine.report(unfunded(first))
    # As a sweep does: it ends the wait after it has locked it.
    engine.db.execute("begin; select from payout.holds for update")
    engine.report(unfunded(second))
    engine.end_waits()
    engine.db.execute("commit")
    assert marked(engine) == [None, None]
    engine.sweep()
    assert len(engine.claim_lookups()) == 2


@mutant(
    "an end of waits that does not see the marks",
    "end_holds",
    "current_setting('transaction_isolation') <> 'read committed'",
    "false",
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
        "SP401", "no hold is released in a transaction that is repeatable read"
    )
