"""A copy of the database that has forgotten transfers compares all that Stripe has."""

from __future__ import annotations

from tests.engine import Engine, unguarded
from tests.identity.identities import adopted_elsewhere
from tests.reconcile.listing import begin, listed, reconcile, with_account


def test_a_copy_that_had_no_transfer_yet_compares_everything_though_it_has_one_now(
    engine: Engine,
) -> None:
    """Restored from a dump of its first day: transfers paid since are forgotten, and are older."""
    with_account(engine)
    reconcile(engine.db, listed("tr_9", created=1_700_000_000))
    adopted_elsewhere(engine.db, "table_oid")
    engine.settle(settlement_id="set_new")
    assert begin(engine.db).gte is None


def test_a_comparison_under_a_clock_that_was_ahead_leaves_nothing_out(engine: Engine) -> None:
    """It does not bound the next one, nor the transfers that the next one expects."""
    with_account(engine)
    reconcile(engine.db, listed("tr_9", created=1_600_000_000))
    with unguarded(engine.db, "payout.stripe_reads"):
        engine.db.execute("update payout.stripe_reads set begun_at = begun_at - interval '5 days'")
    reconcile(engine.db, listed("tr_8", created=1_700_000_000))
    with unguarded(engine.db, "payout.stripe_reads"):
        engine.db.execute(
            "update payout.stripe_reads set begun_at = begun_at + interval '1 year' "
            "where read_id = (select max(read_id) from payout.stripe_reads)"
        )
    read = begin(engine.db)
    assert read.gte == 1_600_000_000 - 86_400
    assert engine.db.execute(
        "select books_from <= payout.clock() - interval '6 days' from payout.stripe_reads "
        "where read_id = %s",
        [read.read_id],
    ).fetchall() == [(True,)]
