"""The ritual of money movement: executed twice, replayed, refused; counted at Stripe's side.

The adapter, the pump and the reporter are the real ones, at work on the test's database as a
member of payout_worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from payout_engine.engine import open_engine
from payout_engine.errors import NotNow
from payout_engine.settings import Settings
from payout_engine_sandbox.stripe_double import Fault, StripeDouble
from tests.engine import Engine

Connection = psycopg.Connection[tuple[Any, ...]]
Execute = Callable[..., None]


@pytest.fixture
def execute(dsn: Callable[..., str]) -> Execute:
    """Carry payout jobs against a double, each by a worker of its own, all at once."""

    def run(double: StripeDouble, *payout_job_ids: int) -> None:
        settings = Settings.read(
            {
                "DATABASE_URL": dsn("payout_worker"),
                "STRIPE_API_KEY": "sk_test_ritual",
                "STRIPE_API_BASE": double.url,
            }
        )

        async def carry(payout_job_id: int) -> None:
            async with open_engine(settings) as engine:
                await engine.pump.execute(payout_job_id)

        async def carry_all() -> None:
            await asyncio.gather(*map(carry, payout_job_ids))

        asyncio.run(carry_all())

    return run


def settle(db: Connection, *, settlement: str = "set_1", currency: str = "usd") -> int:
    """Complete a settlement of 15.00 for one payee; return its payout_job_id."""
    db.execute("select payout_api.register_payee('seller_1', 'acct_1')")
    row = db.execute(
        "select payout_api.complete_settlement(p_settlement_id => %s, p_currency => %s, p_lines => "
        """'[{"line_id":"1","payee_id":"seller_1","amount_minor":1500}]')""",
        [settlement, currency],
    ).fetchone()
    assert row is not None
    return int(row[0])


def states(db: Connection) -> list[str]:
    """Return the state of each transfer, oldest first."""
    rows = db.execute("select state::text from payout.transfer_states order by payout_transfer_id")
    return [state for (state,) in rows]


def kinds(db: Connection) -> list[str]:
    """Return the kinds of ledger entries, oldest first."""
    return [kind for (kind,) in db.execute("select kind from payout.ledger_entries order by 1")]


def books_balance(db: Connection) -> bool:
    """Return whether debit equals credit and in_flight equals the open transfers."""
    rows = db.execute(
        "select difference_minor, in_flight_minor - open_transfers_minor "
        "from payout_api.trial_balance"
    ).fetchall()
    return rows != [] and all(row == (0, 0) for row in rows)


def test_two_executions_at_once_make_one_stripe_transfer(db: Connection, execute: Execute) -> None:
    with StripeDouble.in_thread(latency_seconds=0.05) as double:
        job = settle(db)
        execute(double, job, job, job)

        [effects] = double.effects_by_payout_ref().values()
        assert [(transfer["amount"], transfer["currency"]) for transfer in effects] == [
            (1500, "usd")
        ]
    assert states(db) == ["paid"]
    assert books_balance(db)


def test_earnings_go_out_by_themselves_once_their_payee_has_an_account(
    db: Connection, execute: Execute
) -> None:
    with StripeDouble.in_thread() as double:
        db.execute("select payout_api.register_payee('newcomer')")
        ((job,),) = db.execute(
            "select payout_api.complete_settlement('set_1', 'usd', "
            """'[{"line_id":"1","payee_id":"newcomer","amount_minor":1500}]')"""
        ).fetchall()
        execute(double, job)
        assert (double.sends, states(db)) == ([], ["scheduled"])
        assert books_balance(db)

        db.execute("select payout_api.register_payee('newcomer', 'acct_new')")
        execute(double, job)

        assert [transfer["destination"] for transfer in double.transfers()] == ["acct_new"]
    assert states(db) == ["paid"]
    assert books_balance(db)


def test_the_replay_of_a_worker_makes_no_new_transfer(db: Connection, execute: Execute) -> None:
    with StripeDouble.in_thread() as double:
        jobs = [settle(db, settlement=f"set_{number}") for number in range(5)]
        for job in jobs:
            execute(double, job)
        requests = len(double.sends)
        for job in jobs:
            execute(double, job)

        assert len(double.sends) == requests == 5
        assert len(double.transfers()) == 5
    assert states(db) == ["paid"] * 5
    assert books_balance(db)


def test_a_lost_answer_is_asked_for_under_the_same_key(db: Connection, execute: Execute) -> None:
    with StripeDouble.in_thread() as double:
        double.inject("answer_lost")
        job = settle(db)
        execute(double, job)
        assert states(db) == ["unknown"]
        db.execute("update payout.transfer_states set next_attempt_at = now()")
        execute(double, job)

        assert len({request.key for request in double.sends}) == 1
        assert len(double.transfers()) == 1
    assert states(db) == ["paid"]
    assert books_balance(db)


def test_a_declined_transfer_is_failed_and_its_money_is_back_in_the_ledger(
    db: Connection, execute: Execute
) -> None:
    with StripeDouble.in_thread() as double:
        double.set_account(account_id="acct_1", state="incapable")
        execute(double, settle(db))

        assert double.transfers() == []
    assert states(db) == ["failed"]
    assert kinds(db) == ["obligation", "release", "reserve"]
    balance = db.execute(
        "select balance_minor from payout_api.balances_as_of('infinity', 'seller_1')"
    ).fetchone()
    assert balance == (1500,)
    assert books_balance(db)


def test_an_underfunded_transfer_is_paid_under_a_new_key_once_there_are_funds(
    db: Connection, execute: Execute
) -> None:
    with StripeDouble.in_thread() as double:
        double.set_balance(currency="usd", available_minor=0)
        job = settle(db)
        execute(double, job)
        assert states(db) == ["failed"]

        double.set_balance(currency="usd", available_minor=1500)
        Engine(db).make_due()
        db.execute("select * from payout_api.sweep()")
        execute(double, job)

        assert [request.key for request in double.sends] == [
            f"{double.sends[0].payout_ref}:{generation}" for generation in (1, 2)
        ]
        assert len(double.transfers()) == 1
    assert states(db) == ["paid"]
    assert db.execute(
        "select generation, reason from payout.transfer_requests where generation > 1"
    ).fetchall() == [(2, "balance_insufficient")]
    assert books_balance(db)


def test_nothing_is_sent_while_stripes_date_is_hours_away(db: Connection, execute: Execute) -> None:
    """The attack: a clock that runs ahead at the first send, and is put right before the next."""
    job = settle(db)
    with StripeDouble.in_thread() as double:
        double.inject(
            Fault(method="GET", path="/v1/account", headers={"Date": "Sun, 01 Nov 2026 00:00 GMT"})
        )
        with pytest.raises(NotNow, match=r"clock says .* and Stripe's 2026-11-01 00:0"):
            execute(double, job)
        assert double.sends == []
    assert states(db) == ["scheduled"]
