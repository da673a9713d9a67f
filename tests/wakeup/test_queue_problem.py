"""Money is settled, claimed and paid whatever becomes of the queue of wake-up jobs."""

from __future__ import annotations

from typing import Final

import pytest

from tests.conftest import Connection
from tests.engine import Engine, success
from tests.wakeup.wakeups import rung, wakeups

# The rights that procrastinate's functions and triggers need when the engine calls them.
RIGHTS: Final = (
    "usage on schema procrastinate",
    "select on procrastinate.procrastinate_jobs",
    "insert on procrastinate.procrastinate_jobs",
    "update on procrastinate.procrastinate_jobs",
    "delete on procrastinate.procrastinate_jobs",
    "select on procrastinate.procrastinate_events",
    "insert on procrastinate.procrastinate_events",
    "select on procrastinate.procrastinate_periodic_defers",
    "update on procrastinate.procrastinate_periodic_defers",
    "usage on sequence procrastinate.procrastinate_jobs_id_seq",
    "usage on sequence procrastinate.procrastinate_events_id_seq",
    "execute on all functions in schema procrastinate",
    "all on all tables in schema procrastinate",
)


def has_queue(db: Connection) -> bool:
    """Ask as the owner, whom every function of ours runs as."""
    db.execute("set role payout_owner")
    (row,) = db.execute("select payout.queue_problem()")
    db.execute("reset role")
    return row[0] is None


def test_there_is_a_queue_when_it_is_installed_and_may_be_written(engine: Engine) -> None:
    assert has_queue(engine.db)


@pytest.mark.parametrize("right", RIGHTS)
def test_a_right_that_is_missing_costs_a_wakeup_job_and_no_settlement(
    engine: Engine, right: str
) -> None:
    engine.db.execute(f"revoke {right} from payout_owner")
    engine.settle()
    (claim,) = engine.claim()
    assert engine.report_one(success(claim)) == ("ok", "paid")
    assert rung(engine.db) == 0
    assert not has_queue(engine.db)


@pytest.mark.parametrize(
    "loss",
    [
        "drop schema procrastinate cascade",
        "alter schema procrastinate rename to jobs",
        "drop table procrastinate.procrastinate_jobs cascade",
        "drop function procrastinate.procrastinate_defer_jobs_v1",
    ],
)
def test_a_lost_queue_costs_a_wakeup_job_and_no_settlement(engine: Engine, loss: str) -> None:
    engine.db.execute(loss)
    engine.settle()
    (claim,) = engine.claim()
    assert engine.report_one(success(claim)) == ("ok", "paid")
    assert rung(engine.db) == 0
    assert not has_queue(engine.db)


def test_without_a_queue_the_real_roles_settle_and_pay(shared_engine: Engine) -> None:
    shared_engine.db.execute("drop schema procrastinate cascade")
    (transfer,) = shared_engine.settle()
    shared_engine.report(success(shared_engine.claim_one()))
    shared_engine.sweep()
    assert shared_engine.progress(transfer).state == "paid"


def test_plain_inserts_commit_without_a_queue(shared_engine: Engine) -> None:
    shared_engine.db.execute("drop schema procrastinate cascade")
    app = shared_engine.app
    app.execute("select payout_api.register_payee('seller_1', 'acct_1')")
    with app.transaction():
        app.execute(
            "insert into payout.settlements (settlement_id, currency, total_minor, state) "
            "values ('set_1', 'usd', 700, 'complete')"
        )
        app.execute(
            "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
            "values ('set_1', '1', 'seller_1', 700)"
        )
    assert len(shared_engine.claim()) == 1


def test_what_was_settled_without_a_queue_is_rung_for_once_there_is_one(engine: Engine) -> None:
    engine.db.execute("revoke usage on schema procrastinate from payout_owner")
    engine.settle("seller_1", "seller_2")
    engine.let_pass("1 minute")
    assert rung(engine.db) == 0
    engine.db.execute("grant usage on schema procrastinate to payout_owner")
    assert rung(engine.db) == 1
    assert len(wakeups(engine.db)) == 1
