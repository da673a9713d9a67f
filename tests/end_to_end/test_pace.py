"""The real worker meets limits of Stripe's, and accounts and balances that pass by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from payout_engine.engine import run_engine
from payout_engine.settings import Settings
from payout_engine_sandbox.stripe_double import StripeDouble
from tests.conftest import Connection
from tests.engine import Engine

PAYEES = [f"seller_{number}" for number in range(1, 121)]


@dataclass
class Story:
    """A marketplace, Stripe, and a worker's settings."""

    engine: Engine
    double: StripeDouble
    settings: Settings

    def work_until(self, is_done: Callable[[], bool], *, seconds: float = 60.0) -> None:
        """Let a worker run until then."""

        async def main() -> None:
            async with run_engine(self.settings), asyncio.timeout(seconds):
                while not is_done():
                    await asyncio.sleep(0.05)

        asyncio.run(main())

    def states(self) -> dict[str, int]:
        """Return the number of transfers in each state."""
        rows = self.engine.db.execute(
            "select state::text, count(*) from payout.transfer_states group by state"
        )
        return dict(rows.fetchall())

    def answers(self, status: int) -> int:
        """Return how many sends were answered so."""
        return sum(request.status == status for request in self.double.sends)

    def end_round(self) -> None:
        """Let the time of each wait's next round come."""
        self.engine.db.execute(
            "update payout.holds set goes_on_at = payout.clock() "
            "where awaits is not null and released_at is null"
        )


@pytest.fixture
def story(
    db: Connection, connect: Callable[..., Connection], dsn: Callable[..., str]
) -> Iterator[Story]:
    with StripeDouble.in_thread() as double:
        settings = Settings.read(
            {
                "DATABASE_URL": dsn("payout_worker"),
                "STRIPE_API_KEY": "sk_test_try",
                "STRIPE_API_BASE": double.url,
                "PAYOUT_RECONCILE_MINUTES": "0",
            }
        )
        yield Story(Engine(db, log_in=connect), double, settings)


@pytest.mark.proof
@pytest.mark.long
def test_a_limit_is_found_with_few_refused_requests_and_nothing_is_parked(story: Story) -> None:
    """The attack: refused requests by the thousand, and half of all transfers parked."""
    story.double.set_limit(per_second=20)
    story.engine.settle(*PAYEES)
    story.work_until(lambda: story.states() == {"paid": len(PAYEES)})
    assert story.answers(429) <= 20
    assert story.answers(200) == len(PAYEES)
    parked = story.engine.db.execute(
        "select from payout.transfer_observations where moved_to = 'parked'"
    )
    assert parked.rowcount == 0


def test_a_setting_below_the_limit_is_never_refused(story: Story) -> None:
    story.double.set_limit(per_second=20)
    story.engine.set(sends_per_second=15)
    story.engine.settle(*PAYEES[:45])
    story.work_until(lambda: story.states() == {"paid": 45})
    assert story.answers(429) == 0


@pytest.mark.proof
@pytest.mark.long
def test_a_currency_without_funds_costs_one_request_a_round_and_is_paid_once_there_are(
    story: Story,
) -> None:
    story.engine.set(sends_per_second=100)
    story.double.set_balance(currency="usd", available_minor=1500 * 10)
    story.engine.settle(*PAYEES)
    story.work_until(lambda: story.states().get("failed", 0) > 0)
    declined = story.states()["failed"]
    assert declined <= 30
    for number in range(1, 3):
        story.end_round()
        story.work_until(lambda n=number: story.states()["failed"] == declined + n)  # type: ignore[misc]
    assert story.answers(400) == declined + 2
    story.double.set_balance(currency="usd", available_minor=10**9)
    story.end_round()
    story.work_until(lambda: story.states() == {"paid": len(PAYEES)})
    assert story.double.summary()["paid_more_than_once"] == []


@pytest.mark.proof
@pytest.mark.long
def test_a_payee_that_was_restricted_is_paid_once_its_account_is_open(story: Story) -> None:
    account = "acct_1"
    story.double.set_account(account_id=account, state="incapable")
    story.engine.settle("seller_1", "seller_2")
    story.work_until(lambda: story.states() == {"paid": 1, "failed": 1})
    story.end_round()
    story.work_until(lambda: story.answers(400) == 2)
    story.double.set_account(account_id=account, state="open")
    story.end_round()
    story.work_until(lambda: story.states() == {"paid": 2})
