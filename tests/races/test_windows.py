"""Every paid transfer falls whole into the window of one run."""

from __future__ import annotations

from tests.engine import Engine, unguarded
from tests.identity.identities import adopted_elsewhere
from tests.reconcile.listing import begin, reconcile


def test_a_run_under_a_clock_that_was_ahead_leaves_no_days_out(engine: Engine) -> None:
    """The last run with a reliable end was five days ago."""
    reconcile(engine.db)
    engine.db.execute(
        "update payout.reconcile_runs set created_from = created_from - interval '5 days', "
        "created_until = created_until - interval '5 days'"
    )
    reconcile(engine.db)
    engine.db.execute(
        "update payout.reconcile_runs set created_until = created_until + interval '1 year' "
        "where reconcile_run_id = (select max(reconcile_run_id) from payout.reconcile_runs)"
    )
    run = begin(engine.db)
    assert engine.db.execute(
        "select created_from <= payout.clock() - interval '6 days' from payout.reconcile_runs "
        "where reconcile_run_id = %s",
        [run.reconcile_run_id],
    ).fetchall() == [(True,)]


def test_a_copy_that_had_no_transfer_yet_compares_everything_though_it_has_one_now(
    engine: Engine,
) -> None:
    """Restored from a dump of its first day: transfers paid since are forgotten, and are older."""
    with unguarded(engine.db, "payout.adoptions"):
        engine.db.execute(
            "update payout.adoptions set recorded_at = recorded_at - interval '10 days'"
        )
    adopted_elsewhere(engine.db, "table_oid")
    engine.settle(settlement_id="set_new")
    run = begin(engine.db)
    assert engine.db.execute(
        "select created_from <= payout.clock() - interval '10 days' from payout.reconcile_runs "
        "where reconcile_run_id = %s",
        [run.reconcile_run_id],
    ).fetchall() == [(True,)]
