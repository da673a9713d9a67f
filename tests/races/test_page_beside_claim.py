"""A page of reconcile is under way while its transfer is handed out: a discrepancy must tell.

The page keeps its listed transfers and then waits for a progress row that another session has
locked. A claim in between does not see uncommitted rows, and sends. That may pay twice, once Stripe
has forgotten the key or under a new one; then the next run has to say so.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from tests.conftest import Connection
from tests.engine import Engine, success, unfunded
from tests.reconcile.listing import (
    Discrepancy,
    Listed,
    begin,
    discrepancies,
    ours,
    reconcile,
    report,
    with_account,
)
from tests.schema.refusals import wait_until_blocked

OTHER: Final = {"settlement_id": "set_8", "payee_id": "seller_8"}
SECOND: Final = Discrepancy("second_transfer_at_stripe", "tr_1", None)


@pytest.fixture
def both(shared_engine: Engine) -> Engine:
    """An engine with a waiting transfer, whose lock holds up the page that adopts it."""
    engine = with_account(shared_engine)
    engine.settle("seller_8", settlement_id="set_8", pay_after="2030-01-01")
    return engine


def page_while(
    engine: Engine,
    connect: Callable[..., Connection],
    background: ThreadPoolExecutor,
    act: Callable[[], None],
) -> None:
    """Report a page with tr_1 and tr_8, and `act` after it was kept and before it commits."""
    db, other = engine.db, connect("payout_worker", member=2)
    run = begin(other)
    page = [ours(db, "tr_1"), ours(db, "tr_8", **OTHER)]
    db.execute("begin")
    db.execute(
        "select from payout.transfer_states join payout.payout_transfers using "
        "(payout_transfer_id) where settlement_id = 'set_8' for update of transfer_states"
    )
    waiting = background.submit(report, other, run, *page)
    wait_until_blocked(db, other, by=waiting)
    act()
    db.execute("commit")
    waiting.result()


def open_after_the_next_run(engine: Engine, *listed: Listed) -> list[Discrepancy]:
    """Run once more; return the open discrepancies. set_1 was paid by tr_2 meanwhile."""
    db = engine.db
    reconcile(db, ours(db, "tr_2"), *listed)
    assert db.execute(
        "select s.stripe_transfer_id from payout.transfer_states as s "
        "join payout.payout_transfers as t using (payout_transfer_id) "
        "where t.settlement_id = 'set_1'"
    ).fetchall() == [("tr_2",)]
    return [f for f in discrepancies(engine) if f.resolved_by is None]


def test_a_settlement_recorded_again_beside_its_page_is_a_discrepancy_of_the_next_run(
    both: Engine, connect: Callable[..., Connection], background: ThreadPoolExecutor
) -> None:
    """The database had forgotten set_1, which tr_1 has paid days ago."""

    def act() -> None:
        both.settle()
        both.report(success(both.claim_one(), stripe_transfer_id="tr_2"))

    page_while(both, connect, background, act)
    assert SECOND in open_after_the_next_run(both, ours(both.db, "tr_1"))


def test_a_key_opened_beside_the_page_is_a_discrepancy_of_the_next_run(
    both: Engine, connect: Callable[..., Connection], background: ThreadPoolExecutor
) -> None:
    """The next run does not list tr_1: it was made before its window."""
    both.settle()
    both.report(unfunded(both.claim_one()))
    both.end_waits()
    both.db.execute(
        "update payout.transfer_states set next_attempt_at = payout.clock() where state = 'failed'"
    )
    both.show_nothing()

    def act() -> None:
        assert both.sweep().transfers_reopened == 1
        both.report(success(both.claim_one(), stripe_transfer_id="tr_2"))

    page_while(both, connect, background, act)
    assert SECOND in open_after_the_next_run(both)
