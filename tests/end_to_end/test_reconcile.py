"""`payout-engine reconcile` against the real database and the double: both sides, page by page."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from payout_engine import cli
from payout_engine.engine import open_engine, run_engine
from payout_engine.settings import Settings
from payout_engine_sandbox.stripe_double import Latch, StripeDouble
from tests.conftest import ROOT, Connection
from tests.crash.workers import RECONCILE, Worker
from tests.engine import Engine

MANY = [f"seller_{number}" for number in range(1, 251)]


@dataclass
class Story:
    """A marketplace, Stripe, and the command."""

    engine: Engine
    double: StripeDouble
    environment: dict[str, str]
    patch: pytest.MonkeyPatch
    printed: pytest.CaptureFixture[str]

    def pay(self, *payees: str, settlement_id: str = "set_1") -> list[str]:
        """Settle for payees and let a worker pay them; return Stripe's ids."""
        self.engine.settle(*payees, settlement_id=settlement_id)
        before = {transfer["id"] for transfer in self.double.transfers()}

        async def main() -> None:
            async with open_engine(Settings.read(self.environment)) as worker:
                await worker.pump.drain()

        asyncio.run(main())
        return [t["id"] for t in self.double.transfers() if t["id"] not in before]

    def start(self) -> subprocess.Popen[str]:
        """Start the command as a process."""
        return subprocess.Popen(
            [sys.executable, *RECONCILE],
            cwd=ROOT,
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def reconcile(self, *, code: int) -> str:
        """Run the command, which must end with this code; return its output."""
        with self.patch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            ended = cli.main(["reconcile"])
        printed = self.printed.readouterr()
        assert ended == code, printed
        return printed.out + printed.err

    def lists(self) -> list[str | None]:
        """Return the cursors with which transfers were listed."""
        return [
            request.params.get("starting_after")
            for request in self.double.requests
            if (request.method, request.path) == ("GET", "/v1/transfers")
        ]

    def balance(self, account: str) -> int:
        """Return the balance of an account."""
        row = self.engine.db.execute(
            "select coalesce(sum(balance_minor), 0) from payout_api.balances_as_of('infinity') "
            "where account = %s",
            [account],
        )
        return int(row.fetchall()[0][0])


@pytest.fixture
def story(
    db: Connection,
    dsn: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Story]:
    with StripeDouble.in_thread() as double:
        environment = {
            "DATABASE_URL": dsn("payout_worker"),
            "STRIPE_API_KEY": "sk_test_reconcile",
            "STRIPE_API_BASE": double.url,
            "PAYOUT_RECONCILE_MINUTES": "0",
        }
        yield Story(Engine(db), double, environment, monkeypatch, capsys)


def figure(told: str, name: str) -> int:
    """Return a figure of the output."""
    [line] = [line for line in told.splitlines() if line.startswith(name)]
    return int(line.split()[-1].replace(",", ""))


def test_both_sides_agree(story: Story) -> None:
    story.pay("seller_1", "seller_2", "seller_3")
    told = story.reconcile(code=0)
    assert figure(told, "transfers compared") == 3
    assert figure(told, "discrepancies found") == 0
    assert "nothing is open: Stripe and the books agree" in told


def test_a_transfer_made_by_hand_is_a_discrepancy_until_an_operator_resolves_it(
    story: Story,
) -> None:
    story.pay()
    story.double.transfer(destination="acct_1", amount_minor=5)
    told = story.reconcile(code=1)
    assert figure(told, "discrepancies found") == 1
    assert "1  transfer_without_payout_ref, since " in told
    assert story.reconcile(code=1).count("1  transfer_without_payout_ref") == 1
    story.engine.db.execute(
        "select payout_api.resolve_discrepancy((select max(discrepancy_id) "
        "from payout.discrepancies), 'a gift')"
    )
    story.reconcile(code=0)


def test_half_an_emoji_in_anybodys_metadata_stops_no_reading(story: Story) -> None:
    story.pay()
    note = {"note": "half an emoji \ud83d, and a NUL \0"}
    story.double.transfer(destination="acct_1", amount_minor=5, metadata=note)
    told = story.reconcile(code=1)
    assert figure(told, "transfers compared") == 2
    assert "1  transfer_without_payout_ref, since " in told
    assert "failed" not in told


def test_a_transfer_that_stripe_does_not_have_is_a_discrepancy(story: Story) -> None:
    story.pay()
    with StripeDouble.in_thread() as empty:
        story.environment["STRIPE_API_BASE"] = empty.url
        told = story.reconcile(code=1)
    assert "1  missing_at_stripe, since " in told


@pytest.mark.parametrize("parts", [[1500], [500, 300], [1] * 120])
def test_each_reversal_is_booked_once_and_the_transfer_stays_paid(
    story: Story, parts: list[int]
) -> None:
    [transfer] = story.pay()
    paid = story.balance("stripe_balance")
    for amount in parts:
        story.double.reverse(transfer_id=transfer, amount_minor=amount)
    told = story.reconcile(code=0)
    assert figure(told, "reversals booked") == len(parts)
    assert abs(story.balance("stripe_balance") - paid) == sum(parts)
    assert story.balance("payable:seller_1") == sum(parts)
    assert figure(story.reconcile(code=0), "reversals booked") == 0
    assert story.engine.db.execute("select state from payout.transfer_states").fetchall() == [
        ("paid",)
    ]
    assert len(story.double.sends) == 1


def test_an_interrupted_run_goes_on_where_it_was(story: Story) -> None:
    story.pay(*MANY)
    latch = Latch()
    story.double.inject("slow", method="GET", execution_seconds=0, skip=1, hold_before=latch)
    with story.start() as process:
        latch.wait_until_reached(timeout_seconds=60)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "interrupted: the next one, or a worker, goes on from here\n"
    latch.open()
    first = len(story.lists())
    told = story.reconcile(code=0)
    assert figure(told, "transfers compared") == 250
    assert None not in story.lists()[first:], "the first page is read once"


def test_two_commands_at_once_carry_one_run(story: Story, launch: Callable[..., Worker]) -> None:
    story.pay(*MANY)
    where = {"database_url": story.environment["DATABASE_URL"], "stripe": story.double.url}
    commands = [launch(RECONCILE, **where) for _ in range(2)]
    for command in commands:
        assert command.wait(seconds=60) == 0, command.log()
        assert figure(command.log(), "transfers compared") == 250
    runs = story.engine.db.execute(
        "select count(*) from payout.stripe_reads where kind = 'comparison'"
    ).fetchall()[0][0]
    assert runs in (1, 2)  # the second may have come when the first was through


def test_a_worker_reconciles_by_itself(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    [transfer] = story.pay()
    story.double.reverse(transfer_id=transfer, amount_minor=100)
    monkeypatch.setattr(random, "uniform", lambda low, high: min(low, 0.1))
    settings = Settings.read(story.environment | {"PAYOUT_RECONCILE_MINUTES": "60"})

    async def main() -> None:
        async with run_engine(settings), asyncio.timeout(30):
            while story.balance("payable:seller_1") != 100:
                await asyncio.sleep(0.05)

    asyncio.run(main())


@pytest.mark.parametrize("fault", ["rate_limited", "unavailable", "answer_cut", "answer_lost"])
def test_a_page_that_fails_in_passing_is_read_again(story: Story, fault: str) -> None:
    story.pay()
    met = story.double.inject(fault, method="GET", times=2)
    assert figure(story.reconcile(code=0), "transfers compared") == 1
    assert met.hits == 2


def test_a_refused_key_is_reported_in_one_line(story: Story) -> None:
    story.double.revoke_key(api_key="sk_test_reconcile")
    told = story.reconcile(code=2)
    assert told.startswith("payout-engine: Stripe does not say whose key it is")
    assert len(told.splitlines()) == 1


def test_a_key_of_another_account_compares_nothing(story: Story) -> None:
    story.pay()
    story.engine.db.execute(
        "update payout.engine_settings set stripe_account_id = 'acct_other', is_livemode = false"
    )
    told = story.reconcile(code=2)
    assert "this database does not pay from acct_platform in test mode" in told
    assert story.lists() == []
