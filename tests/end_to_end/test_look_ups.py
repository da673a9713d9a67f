"""The real worker looks up a transfer at Stripe whose answer never came, until it is known.

The key has expired there by then, so that a second send would be a second transfer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from payout_engine.engine import Engine as Worker
from payout_engine.engine import open_engine, run_engine
from payout_engine.settings import Settings
from payout_engine_sandbox.stripe_double import Latch, StripeDouble
from tests.conftest import Connection
from tests.engine import Engine

PAYEES = [f"seller_{number}" for number in range(1, 51)]


@dataclass
class Story:
    """A marketplace, Stripe, and a worker's settings."""

    engine: Engine
    double: StripeDouble
    settings: Settings

    def work(self, deed: Callable[[Worker], Awaitable[Any]]) -> Any:
        """Let a worker do something, and close it."""

        async def main() -> Any:
            async with open_engine(self.settings) as worker:
                return await deed(worker)

        return asyncio.run(main())

    def carry(self) -> None:
        """Send the due transfers."""
        self.work(lambda worker: worker.pump.execute(1))

    def look_up(self) -> int:
        """Carry out the due look-ups; return how many."""
        return len(self.work(lambda worker: worker.reconciler.read("lookup")))

    def let_pass(self, hours: float) -> None:
        """Let time pass in the database and at Stripe."""
        self.engine.let_pass(f"{hours} hours")
        self.double.advance(hours=hours)

    def states(self) -> list[str]:
        """Return the states that occur."""
        rows = self.engine.db.execute("select distinct state::text from payout.transfer_states")
        return [state for (state,) in rows]

    def assert_each_transfer_is_paid_once(self, payees: int) -> None:
        """Check both sides: one transfer for each, and the books know which."""
        assert self.states() == ["paid"]
        effects = self.double.effects_by_payout_ref()
        made = {ref: [transfer["id"] for transfer in found] for ref, found in effects.items()}
        booked = self.engine.db.execute(
            "select t.payout_ref::text, array[s.stripe_transfer_id::text] "
            "from payout.payout_transfers as t "
            "join payout.transfer_states as s using (payout_transfer_id)"
        ).fetchall()
        assert dict(booked) == made
        assert len(made) == payees


@pytest.fixture
def story(
    db: Connection, connect: Callable[..., Connection], dsn: Callable[..., str]
) -> Iterator[Story]:
    with StripeDouble.in_thread() as double:
        settings = Settings.read(
            {
                "DATABASE_URL": dsn("payout_worker"),
                "STRIPE_API_KEY": "sk_test_look_up",
                "STRIPE_API_BASE": double.url,
                "PAYOUT_RECONCILE_MINUTES": "0",
            }
        )
        yield Story(Engine(db), double, settings)
    assert Engine(db).differences_in_the_books() == []


@pytest.mark.long
def test_fifty_answers_lost_a_day_ago_are_found_and_no_transfer_is_paid_twice(
    story: Story,
) -> None:
    story.engine.settle(*PAYEES)
    story.double.inject("answer_lost", times=None)
    story.carry()
    story.double.clear_faults()
    assert story.states() == ["unknown"]
    assert len(story.double.transfers()) == 50
    sent = len(story.double.sends)

    story.let_pass(25)
    story.engine.sweep()
    assert story.states() == ["parked"]
    story.carry()
    assert story.look_up() == 50
    assert len(story.double.sends) == sent
    story.assert_each_transfer_is_paid_once(50)
    assert story.look_up() == 0


def test_a_worker_looks_up_by_itself(story: Story) -> None:
    story.engine.settle()
    story.double.inject("answer_lost")
    story.carry()
    story.let_pass(25)

    async def main() -> None:
        async with run_engine(story.settings), asyncio.timeout(30):
            while story.states() != ["paid"]:
                await asyncio.sleep(0.05)

    asyncio.run(main())
    story.assert_each_transfer_is_paid_once(1)


def test_a_transfer_is_found_behind_the_first_page(story: Story) -> None:
    story.engine.settle()
    story.double.inject("answer_lost")
    story.carry()
    for _ in range(150):
        story.double.transfer(destination="acct_1", amount_minor=1)
    story.let_pass(25)
    story.engine.sweep()
    story.look_up()
    assert story.states() == ["paid"]
    asked = [r for r in story.double.requests if r.path == "/v1/transfers" and r.method == "GET"]
    assert [("transfer_group" in r.params, "starting_after" in r.params) for r in asked] == [
        (True, False),
        (False, False),
        (False, True),
    ]


def test_a_transfer_that_stripe_never_made_is_proved_absent_and_paid_under_the_next_key(
    story: Story,
) -> None:
    story.engine.settle()
    story.double.inject("close_before_effect")
    story.carry()
    story.let_pass(25)
    story.engine.sweep()
    assert (story.look_up(), story.states()) == (1, ["parked"])
    story.let_pass(0.9)
    assert story.look_up() == 0, "the second scan comes an hour after the first"
    story.let_pass(0.2)
    assert (story.look_up(), story.states()) == (1, ["failed"])
    story.engine.make_due()
    story.engine.sweep()
    story.carry()
    story.assert_each_transfer_is_paid_once(1)
    keys = [send.key.rpartition(":")[2] for send in story.double.sends if send.key]
    assert keys == ["1", "2"]


def test_two_transfers_of_one_obligation_notify_operators(
    story: Story, caplog: pytest.LogCaptureFixture
) -> None:
    story.engine.settle()
    story.double.inject("answer_lost")
    story.carry()
    [made] = story.double.transfers()
    story.double.transfer(
        destination=made["destination"],
        amount_minor=made["amount"],
        metadata=made["metadata"],
        transfer_group=made["transfer_group"],
    )
    story.let_pass(25)
    story.engine.sweep()
    caplog.clear()
    story.look_up()
    assert story.states() == ["parked"]
    assert [scope for scope, _, _ in story.engine.open_holds()] == ["transfer"]
    told = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert told[0].startswith("payout alarm: ")
    assert told[-1] == "look-up of transfer 1: alarm, parked"
    assert len(story.engine.discrepancies()) == 1


def test_a_look_up_that_was_interrupted_comes_up_again(story: Story) -> None:
    story.engine.settle()
    story.double.inject("answer_lost")
    story.carry()
    story.let_pass(25)
    story.engine.sweep()
    latch = Latch()
    story.double.inject("slow", method="GET", execution_seconds=0, hold_before=latch)

    async def main() -> None:
        async with open_engine(story.settings) as worker:
            looking = asyncio.create_task(worker.reconciler.read("lookup"))
            await asyncio.to_thread(latch.wait_until_reached)
            looking.cancel()
            await asyncio.wait([looking])
            latch.open()

    asyncio.run(main())
    assert (story.look_up(), story.states()) == (0, ["parked"])
    story.let_pass(0.2)
    assert (story.look_up(), story.states()) == (1, ["paid"])


def test_a_look_up_after_a_false_answer_finds_the_true_transfer(story: Story) -> None:
    (transfer,) = story.engine.settle()
    story.double.inject("wrong_amount")
    story.carry()
    assert story.states() == ["parked"]
    story.let_pass(0.1)
    story.look_up()
    story.assert_each_transfer_is_paid_once(1)
    assert story.engine.progress(transfer).state == "paid"
    assert story.engine.open_holds() == []
