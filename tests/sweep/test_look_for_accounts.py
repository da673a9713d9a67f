"""A sweep finds transfers that wait for an account which their payee has by now."""

from __future__ import annotations

import pytest

from tests.conftest import Connection
from tests.engine import Engine, unguarded
from tests.mutants import mutant
from tests.settle.marketplace import complete, line

LOOK = "select looks, next_look_at - payout.clock() from payout.account_waits"


@pytest.fixture
def db(engine: Engine) -> Connection:
    """A transfer that waits, with its account written where no wait is looked at."""
    engine.app.execute("select payout_api.register_payee('newcomer')")
    complete(engine.app, "set_1", [line("1", "newcomer", 1500)])
    return engine.db


def bring_account(db: Connection) -> None:
    db.execute(
        "insert into payout.payee_accounts (payee_id, stripe_account_id) "
        "values ('newcomer', 'acct_newcomer')"
    )


@mutant(
    "an account that is never looked for",
    "sweep",
    "    perform payout.look_for_accounts(payout.clock(), p_limit);\n",
    "",
)
def test_an_account_that_saw_no_transfer_is_found_by_the_sweep(
    engine: Engine, db: Connection
) -> None:
    bring_account(db)
    assert engine.claim() == []

    engine.sweep()

    assert db.execute("select next_look_at from payout.account_waits").fetchall() == [(None,)]
    assert engine.claim_one().request["destination"] == "acct_newcomer"


def test_what_it_dates_gets_a_wake_up_job_in_the_same_sweep(engine: Engine, db: Connection) -> None:
    bring_account(db)

    row = engine.worker.execute("select wakeups_queued from payout_api.sweep()").fetchone()

    assert row == (1,)


@mutant("looks that never become rarer", "look_for_accounts", "least(w.looks, 14)", "0")
def test_looks_become_rarer_down_to_one_a_day(engine: Engine, db: Connection) -> None:
    waits = []
    for _ in range(20):
        db.execute("update payout.account_waits set next_look_at = payout.clock()")
        engine.sweep()
        ((_, wait),) = db.execute(LOOK).fetchall()
        waits.append(round(wait.total_seconds()))
    assert waits[:4] == [5, 10, 20, 40]
    assert waits[-1] == waits[14] == 81920

    # Between two looks the account is not found, but the registration itself finds the transfer.
    bring_account(db)
    engine.sweep()
    assert engine.claim() == []
    engine.app.execute("select payout_api.register_payee('newcomer', 'acct_newcomer')")
    assert len(engine.claim()) == 1


def test_one_sweep_looks_at_as_many_as_its_limit(engine: Engine, db: Connection) -> None:
    complete(engine.app, "set_2", [line("1", "newcomer", 5)])
    engine.sweep(limit=1)
    assert db.execute("select sum(looks) from payout.account_waits").fetchall() == [(1,)]


def test_a_row_that_breaks_a_rule_waits_and_stops_no_other(engine: Engine, db: Connection) -> None:
    complete(engine.app, "set_2", [line("1", "newcomer", 5)])
    with unguarded(db, "payout.transfer_states"):
        db.execute(
            "update payout.transfer_states set tries = -1 where payout_transfer_id = ("
            "select min(payout_transfer_id) from payout.transfer_states)"
        )
    bring_account(db)

    engine.sweep()

    assert [claim.request["amount"] for claim in engine.claim()] == [5]
    with unguarded(db, "payout.transfer_states"):
        db.execute("update payout.transfer_states set tries = 0 where tries = -1")
    db.execute("update payout.account_waits set next_look_at = payout.clock() where looks > 0")
    engine.sweep()
    assert [claim.request["amount"] for claim in engine.claim()] == [1500]
