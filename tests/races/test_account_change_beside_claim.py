"""A payee's account is changed while a claim is under way: nothing goes there before its wait."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.claim.test_caps import set_cap
from tests.engine import Engine
from tests.mutants import mutant
from tests.schema.refusals import wait_until_blocked


@mutant(
    "a request to an account that was changed beside the claim",
    "freeze_requests",
    "and h.awaits = 'account_change'",
    "and h.awaits = 'nothing'",
)
def test_a_claim_freezes_no_request_to_an_account_that_was_changed_meanwhile(
    shared_engine: Engine, background: ThreadPoolExecutor
) -> None:
    """The attack: a stolen login of the application redirects a payee while others are claimed."""
    engine = shared_engine
    engine.set(account_change_waits_for="2 days")
    set_cap(engine, "engine", count=100)
    engine.settle("seller_3", settlement_id="set_2")
    engine.claim_one()
    robbed, other = engine.settle("seller_1", "seller_2")
    with engine.db.transaction():
        # A claim counts for its caps after it has chosen its transfers.
        engine.db.execute("select from payout.cap_uses for update")
        claiming = background.submit(engine.claim)
        wait_until_blocked(engine.db, engine.worker, by=claiming)
        engine.app.execute("select payout_api.register_payee('seller_1', 'acct_thief')")
    assert [claim.payout_transfer_id for claim in claiming.result()] == [other]
    progress = engine.progress(robbed)
    assert (progress.state, progress.attempt) == ("scheduled", 0)
    assert engine.claim() == []
    engine.end_waits()
    (claim,) = engine.claim()
    assert claim.request["destination"] == "acct_thief"
