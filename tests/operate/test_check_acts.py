"""Holds and discrepancies that were closed by hand are named: no act says who closed them."""

from __future__ import annotations

from tests.engine import Engine, success, unguarded
from tests.mutants import mutant
from tests.operate.checks import complaints
from tests.reconcile.listing import ours, reconcile

ACTS = "every release and resolution has its act"


def test_what_operators_and_comparisons_close_has_its_act(engine: Engine) -> None:
    (first, second) = engine.settle("seller_1", "seller_2")
    engine.report(*(success(claim, amount_minor=1) for claim in engine.claim()))
    hold_id = engine.hold("payee", "seller_1")
    engine.db.execute("select payout_api.release_hold(%s, 'looked')", [hold_id])
    engine.db.execute(
        "select payout_api.resolve_discrepancy(discrepancy_id, 'a fault of the proxy''s') "
        "from payout.discrepancies where payout_transfer_id = %s",
        [first],
    )
    reconcile(engine.db, ours(engine.db, "tr_2", payee_id="seller_2"))
    assert engine.progress(second).state == "paid"
    assert ACTS not in complaints(engine.db)


@mutant("a hold released by hand", "check_acts", "h.released_at is not null", "false")
def test_a_hold_that_was_released_by_hand_is_named(engine: Engine) -> None:
    hold_id = engine.hold("engine")
    engine.db.execute(
        "update payout.holds set released_at = now(), released_by = 'ada', release_reason = 'fine'"
    )
    assert complaints(engine.db).get(ACTS) == f"hold {hold_id}"


def test_a_rewritten_reason_is_named(engine: Engine) -> None:
    hold_id = engine.hold("engine")
    engine.db.execute("select payout_api.release_hold(%s, 'looked')", [hold_id])
    with unguarded(engine.db, "payout.holds"):
        engine.db.execute("update payout.holds set release_reason = 'approved by ada'")
    assert complaints(engine.db).get(ACTS) == f"hold {hold_id}"


@mutant("a discrepancy resolved by hand", "check_acts", "d.resolved_at is not null", "false")
@mutant(
    "a resolution in the engine's name without a payment",
    "check_acts",
    "where s.state = 'paid'\n                        and d.kind",
    "where true or d.kind",
)
def test_a_discrepancy_that_was_resolved_by_hand_is_named(engine: Engine) -> None:
    engine.settle()
    engine.report(success(engine.claim_one(), amount_minor=1))
    ((discrepancy_id,),) = engine.db.execute(
        "update payout.discrepancies set resolved_at = now(), resolved_by = 'engine', "
        "resolution = 'fine' returning discrepancy_id"
    ).fetchall()
    assert complaints(engine.db).get(ACTS) == f"discrepancy {discrepancy_id}"
