"""Several transfers were found for one payout: one of them explains nothing about the others."""

from __future__ import annotations

import pytest

from tests.engine import Engine
from tests.engine import listed as found
from tests.reconcile.listing import (
    ACCOUNT,
    Discrepancy,
    carry,
    discrepancies,
    event,
    ours,
    reconcile,
    with_account,
)
from tests.reconcile.listing import claim as claim_reads
from tests.reconcile.test_claim_lookups import park

SEVERAL = Discrepancy("several_transfers_at_stripe", None, None)


@pytest.fixture
def several(engine: Engine) -> Engine:
    """An engine that knows: Stripe has two transfers for the one that is parked."""
    with_account(engine)
    engine.settle()
    claim = park(engine)
    (lookup,) = engine.claim_lookups(account=(ACCOUNT, False))
    both = [found(claim, id="tr_1"), found(claim, id="tr_2")]
    for number in range(len(lookup.queries)):
        engine.report_page(lookup, number, both)
    assert SEVERAL in discrepancies(engine)
    return engine


def test_a_run_that_sees_one_of_several_resolves_nothing(several: Engine) -> None:
    """tr_2 was made before the window of this run."""
    reconcile(several.db, ours(several.db, "tr_1"))
    assert SEVERAL in discrepancies(several)


def test_an_event_about_the_one_that_an_operator_reverses_resolves_nothing(several: Engine) -> None:
    """It was the second one that was reversed; by it the transfer is not paid, tr_1 stands."""
    (read,) = claim_reads(several.db, "events")
    carry(several.db, read, event(1, ours(several.db, "tr_2", amount_reversed=1500)))
    assert SEVERAL in discrepancies(several)
