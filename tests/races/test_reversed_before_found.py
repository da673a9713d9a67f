"""A transfer is found at Stripe after it was reversed, of which no event was ever read."""

from __future__ import annotations

from tests.engine import Engine, LookupReport, listed
from tests.reconcile.listing import ACCOUNT
from tests.reconcile.test_claim_lookups import park
from tests.reconcile.test_report_reversals import CLAIM


def test_what_a_look_up_shows_as_taken_back_is_read(engine: Engine) -> None:
    engine.settle()
    claim = park(engine)
    found = listed(claim, amount_reversed=500)
    assert engine.look_up(found) == LookupReport(True, "ok", "paid")
    rows = engine.worker.execute(CLAIM, ["worker_1", 20, ACCOUNT, False]).fetchall()
    assert rows == [("tr_1",)]
