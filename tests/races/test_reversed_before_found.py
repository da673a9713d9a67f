"""A transfer is found at Stripe after it was reversed, of which no event was ever read."""

from __future__ import annotations

from tests.engine import Engine, LookupReport, listed
from tests.reconcile.listing import claim as claim_reads
from tests.reconcile.test_claim_lookups import park


def test_a_reversal_that_a_look_up_shows_is_read(engine: Engine) -> None:
    engine.settle()
    claim = park(engine)
    found = listed(claim, amount_reversed=500)
    assert engine.look_up(found) == LookupReport(True, "ok", "paid")
    (read,) = claim_reads(engine.worker, "reversals")
    assert read.path == "/v1/transfers/tr_1/reversals"
