"""Answers that are wrong, half, late or unheard of: state, rows and alarm after each.

Adapter, pump and reporter are the real ones, at work on the test's database as a member of
payout_worker; the double moves the money and lies about it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import pytest

from payout_engine.engine import Engine as Worker
from payout_engine.engine import open_engine
from payout_engine.settings import Settings
from payout_engine_sandbox.stripe_double import Latch, StripeDouble
from tests.conftest import Connection
from tests.engine import Engine, alarms

CONTRADICTIONS: Final[dict[str, dict[str, Any]]] = {
    "another amount": {"changes": {"amount": 1}},
    "no amount": {"removes": ("amount",)},
    "an amount as text": {"changes": {"amount": "1500"}},
    "another currency": {"changes": {"currency": "eur"}},
    "another destination": {"changes": {"destination": "acct_another"}},
    "an expanded destination": {"changes": {"destination": {"id": "acct_1"}}},
    "the other mode": {"changes": {"livemode": True}},
    "no mode": {"removes": ("livemode",)},
    "another payout_ref": {"changes": {"metadata": {"payout_ref": "another"}}},
    "another object": {"changes": {"object": "payout", "id": "po_1"}},
    "no id": {"removes": ("id",)},
    "an id with a NUL": {"changes": {"id": "tr_1\0"}},
    "half an emoji in the id": {"changes": {"id": "tr_1\ud83d"}},
    "a number without end": {"changes": {"amount": 10**400}},
    "no installation": {"changes": {"metadata": {}}},
    "an empty object": {"status": 200, "body": "{}"},
}
# Half an answer, or none of Stripe's: with the signal that is stored of it.
UNREADABLE: Final[dict[str, tuple[str, dict[str, Any], str]]] = {
    "no JSON": ("not_json", {}, "unreadable"),
    "a proxy's page": ("html_answer", {}, "unreadable"),
    "an empty body": ("empty_answer", {}, "unreadable"),
    "a list": ("not_json", {"body": "[]"}, "unreadable"),
    "a cut body": ("answer_cut", {}, "unreadable"),
    "a body that trickles beyond the deadline": ("answer_trickles", {}, "unreadable"),
    "a redirect": ("redirected", {}, "unreadable"),
    "a permanent redirect": ("redirected", {"status": 308}, "unreadable"),
    "a body without end": ("huge_answer", {"padding_bytes": 2_000_000}, "unreadable"),
    "a bomb": ("gzip_bomb", {"padding_bytes": 2_000_000}, "unreadable"),
    "no answer": ("answer_lost", {}, "no_response"),
    "a reset": ("answer_reset", {}, "no_response"),
}
UNHEARD_OF: Final[list[dict[str, Any]]] = [
    {"status": 400, "error_code": "brand_new_code"},
    {"status": 404, "error_code": "brand_new_code"},
    {"status": 418},
    {"status": 451, "body": "{}"},
]
STORED: Final = (
    "select o.signal, o.verdict, o.moved_to, o.http_status, o.reason "
    "from payout.transfer_observations as o order by o.observation_id"
)


@dataclass
class Story:
    """A marketplace, Stripe, and a session that listens for alarms."""

    engine: Engine
    double: StripeDouble
    open_worker: Callable[[], AbstractAsyncContextManager[Worker]]
    listener: Connection
    log: pytest.LogCaptureFixture
    runner: asyncio.Runner
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    transfer: int = field(init=False)

    @cached_property
    def worker(self) -> Worker:
        """The worker that carries, from when it is first needed until the story ends."""
        return self.runner.run(self.stack.enter_async_context(self.open_worker()))

    def settle(self, **changes: Any) -> None:
        """Owe one payee 15.00."""
        (self.transfer,) = self.engine.settle(**changes)

    def carry(self) -> None:
        """Let the worker carry the due transfers, once."""
        self.runner.run(self.worker.pump.execute(self.job()))

    def job(self) -> int:
        """Return the payout job of the settlement."""
        row = self.engine.db.execute("select max(payout_job_id) from payout.payout_jobs")
        return int(row.fetchall()[0][0])

    def state(self) -> str:
        """Return the state of the transfer."""
        return self.engine.progress(self.transfer).state

    def stored(self) -> list[tuple[Any, ...]]:
        """Return signal, verdict, new state, status and reason of all that was observed."""
        return self.engine.db.execute(STORED).fetchall()

    def alarms(self) -> list[str]:
        """Return the reasons of the alarms since this was asked last."""
        return alarms(self.listener)

    def errors(self) -> list[str]:
        """Return the messages logged at ERROR."""
        return [r.getMessage() for r in self.log.records if r.levelname == "ERROR"]

    def assert_operators_were_notified(self, reason: str, stripe_transfer: str | None) -> None:
        """Check that operators were notified by NOTIFY, in the log and in a table."""
        assert self.alarms() == [reason]
        alarm, *_ = errors = self.errors()
        assert alarm == f"payout alarm: {reason}, transfer {self.transfer}", errors
        assert self.engine.discrepancies()[-1] == (reason, self.transfer, stripe_transfer)
        assert self.engine.open_holds() == [("transfer", str(self.transfer), reason)]

    def assert_nothing_more_is_sent(self) -> None:
        """Check that neither time nor another claim lets a request leave."""
        sent = len(self.double.sends)
        self.engine.make_due()
        self.engine.let_pass("1 hour")
        self.engine.sweep()
        self.carry()
        assert len(self.double.sends) == sent

    def assert_paid_once(self) -> None:
        """Check that the transfer is paid, by one transfer of Stripe's under one key."""
        [[made]] = self.double.effects_by_payout_ref().values()
        progress = self.engine.progress(self.transfer)
        assert (progress.state, progress.stripe_transfer_id) == ("paid", made["id"])
        assert len({send.key for send in self.double.sends}) == 1


@pytest.fixture
def story(
    db: Connection,
    connect: Callable[..., Connection],
    dsn: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Story]:
    listener = connect("payout_operator")
    listener.execute("listen payout_alarms")
    db.execute(
        "update payout.engine_settings set stripe_account_id = %s, is_livemode = false",
        ["acct_platform"],
    )
    with StripeDouble.in_thread() as double, asyncio.Runner() as runner:
        settings = Settings.read(
            {
                "DATABASE_URL": dsn("payout_worker"),
                "STRIPE_API_KEY": "sk_test_wrong",
                "STRIPE_API_BASE": double.url,
            }
        )
        story = Story(Engine(db), double, lambda: open_engine(settings), listener, caplog, runner)
        yield story
        runner.run(story.stack.aclose())
    assert story.engine.differences_in_the_books() == []


# A 2xx that contradicts the request: the money may have moved, so an operator must look.


@pytest.mark.parametrize("lie", CONTRADICTIONS.values(), ids=list(CONTRADICTIONS))
def test_a_success_that_contradicts_the_request_is_parked_and_notifies_operators(
    story: Story, lie: dict[str, Any]
) -> None:
    story.settle()
    story.double.inject("wrong_amount", **{"changes": {}, **lie})
    story.carry()
    reason = "answer_contradicts_request"
    assert story.state() == "parked"
    assert story.engine.progress(story.transfer).has_unknown_send
    assert story.stored() == [("response", "alarm", "parked", 200, reason)]
    [[made]] = story.double.effects_by_payout_ref().values()
    is_told = "body" not in lie and "id" not in {*lie.get("changes", {}), *lie.get("removes", ())}
    story.assert_operators_were_notified(reason, made["id"] if is_told else None)
    assert story.engine.entries(story.transfer)[-1].kind == "reserve"
    story.assert_nothing_more_is_sent()


def test_a_success_with_the_id_of_another_transfer_is_parked_and_notifies_operators(
    story: Story,
) -> None:
    story.settle(settlement_id="set_0")
    story.carry()
    [paid] = story.double.transfers()
    story.settle()
    story.double.inject("wrong_amount", changes={"id": paid["id"]})
    story.carry()
    assert story.state() == "parked"
    reason = "stripe_id_of_another_transfer"
    assert story.stored()[-1] == ("response", "alarm", "parked", 200, reason)
    story.assert_operators_were_notified(reason, paid["id"])
    story.assert_nothing_more_is_sent()


# No whole answer: no alarm, the same key is sent again, and the true answer counts.


@pytest.mark.parametrize(("fault", "changes", "signal"), UNREADABLE.values(), ids=list(UNREADABLE))
def test_half_an_answer_leaves_the_transfer_unknown_until_the_same_key_is_answered(
    story: Story, fault: str, changes: dict[str, Any], signal: str
) -> None:
    story.engine.set(http_deadline_for="2 seconds")
    story.settle()
    story.double.inject(fault, **changes)
    story.carry()
    assert story.state() == "unknown"
    assert story.engine.progress(story.transfer).has_unknown_send
    [(was_signal, verdict, moved_to, _, _)] = story.stored()
    assert (was_signal, verdict, moved_to) == (signal, "ok", "unknown")
    assert (story.alarms(), story.errors(), story.engine.discrepancies()) == ([], [], [])

    story.engine.make_due()
    story.carry()
    assert [replayed.is_replayed for replayed in story.double.sends] == [False, True]
    story.assert_paid_once()


def test_the_key_does_not_follow_a_redirect(story: Story) -> None:
    story.settle()
    story.double.inject("redirected", headers={"Location": f"{story.double.url}/elsewhere"})
    story.carry()
    assert [request.path for request in story.double.requests] == ["/v1/account", "/v1/transfers"]


# An error that no rule knows: a failure once it came three times, or for good.


@pytest.mark.parametrize("answer", UNHEARD_OF, ids=lambda answer: str(answer["status"]))
def test_an_error_without_a_rule_is_no_failure_at_once(
    story: Story, answer: dict[str, Any]
) -> None:
    story.settle()
    story.double.inject("rate_limited", headers={}, **({"error_code": None} | answer))
    story.carry()
    [(signal, verdict, moved_to, status, _)] = story.stored()
    assert (signal, verdict, moved_to) == ("response", "ok", story.state())
    assert story.state() in ("retry_wait", "unknown")
    assert status == answer["status"]

    story.engine.make_due()
    story.carry()
    story.assert_paid_once()


def test_an_error_without_a_rule_that_stays_is_a_failure_and_notifies_operators(
    story: Story,
) -> None:
    story.settle()
    story.double.inject("rate_limited", headers={}, status=418, error_code=None, times=None)
    for _ in range(3):
        assert story.alarms() == []
        story.engine.make_due()
        story.carry()
    assert story.state() == "failed"
    assert story.alarms() == ["refused_by_stripe"]
    assert story.errors() == [f"payout alarm: refused_by_stripe, transfer {story.transfer}"]
    story.assert_nothing_more_is_sent()


# Answers that come when everything has changed meanwhile.


def test_a_success_under_a_closed_key_stops_the_next_one_and_notifies_operators(
    story: Story,
) -> None:
    """Stripe moved the money, declined the repeat, and then gives the true answer."""
    latch = Latch()
    story.settle()
    story.double.inject("slow", execution_seconds=0, hold_after=latch)

    async def main() -> None:
        async with story.open_worker() as first:
            carrying = asyncio.create_task(first.pump.execute(story.job()))
            await asyncio.to_thread(latch.wait_until_reached)
            await asyncio.to_thread(decline_and_open_the_next_key)
            latch.open()
            await carrying

    def decline_and_open_the_next_key() -> None:
        story.engine.let_pass("1 hour")
        story.engine.sweep()
        assert story.state() == "unknown"
        story.double.inject(
            "rate_limited",
            status=400,
            error_code="balance_insufficient",
            headers={"Stripe-Should-Retry": "false"},
        )
        story.carry()
        assert story.state() == "failed"
        story.engine.make_due()
        assert story.engine.sweep().transfers_reopened == 1
        assert story.alarms() == ["balance_insufficient"]
        story.log.clear()

    asyncio.run(main())
    reason = "success_under_closed_key"
    assert story.state() == "parked"
    assert story.stored()[-1] == ("response", "alarm", "parked", 200, reason)
    [made] = story.double.transfers()
    story.assert_operators_were_notified(reason, made["id"])
    story.assert_nothing_more_is_sent()


def test_a_second_transfer_at_stripe_is_kept_and_notifies_operators(story: Story) -> None:
    """The network holds a request for longer than Stripe keeps its key."""
    latch = Latch()
    story.settle()
    story.double.inject("slow", execution_seconds=0, hold_before=latch)

    async def main() -> None:
        async with story.open_worker() as first:
            carrying = asyncio.create_task(first.pump.execute(story.job()))
            await asyncio.to_thread(latch.wait_until_reached)
            await asyncio.to_thread(pay_and_forget_the_key)
            latch.open()
            await carrying

    def pay_and_forget_the_key() -> None:
        story.engine.let_pass("1 hour")
        story.engine.sweep()
        story.carry()
        assert story.state() == "paid"
        story.double.advance(hours=25)

    asyncio.run(main())
    first, second = story.double.transfers()
    reason = "second_transfer_at_stripe"
    progress = story.engine.progress(story.transfer)
    assert (progress.state, progress.stripe_transfer_id) == ("paid", first["id"])
    assert story.stored()[-1] == ("response", "alarm", None, 200, reason)
    story.assert_operators_were_notified(reason, second["id"])
    assert [entry.kind for entry in story.engine.entries(story.transfer)].count("paid") == 1
