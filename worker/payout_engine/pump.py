"""Claims due transfers, sends them and hands on the outcomes, continuously, for a whole process.

One claim serves many transfers; no transaction is open while a request is under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Self

from payout_engine import errors, metrics
from payout_engine.backoff import Backoff
from payout_engine.database import Database, worker_name
from payout_engine.reporter import Reporter
from payout_engine.rows import Order, Outcome
from payout_engine.stripe_payout_adapter import StripePayoutAdapter, boot_seconds

logger = logging.getLogger(__name__)

LINGER_SECONDS: Final = 0.01
# A settlement may rely on a pending wake-up job that is served just before it commits.
SECOND_CLAIM_SECONDS: Final = 0.1
DRAIN_SECONDS: Final = 20.0
# The least that engine_settings.largest_claim may be: a larger claim is refused (SP311).
LARGEST_CLAIM: Final = 100
# A process begins with few requests at once, and has one slot more for each so many answers.
FIRST_SLOTS: Final = 8
ANSWERS_PER_SLOT: Final = 8
# A claim takes less by its own deadlines, even after a comparison that Stripe answers slowly.
LONGEST_TURN_SECONDS: Final = 600.0
# A pump that ends lets requests finish for so long, and then reports for so long.
GRACE_SECONDS: Final = 20.0
REPORT_SECONDS: Final = 5.0


class Pump:
    """Carries transfers for every wake-up job of the process. Use it as a context manager.

    A slot is a request to Stripe under way, or one that waits for its turn. Free slots are filled
    again for as long as claims find something. While the database takes no reports, the pump claims
    no more than there are slots. Where the database wants Stripe's newest transfers compared before
    it hands out any, `compare_newest` does that, and the pump claims again.
    """

    def __init__(
        self,
        *,
        database: Database,
        adapter: StripePayoutAdapter,
        reporter: Reporter,
        compare_newest: Callable[[], Awaitable[None]],
        max_in_flight: int = 100,
        clock: Callable[[], float] = boot_seconds,
    ) -> None:
        self._database = database
        self._adapter = adapter
        self._reporter = reporter
        self._compare_newest = compare_newest
        self._max_in_flight = max_in_flight
        self._slots: float = min(max_in_flight, FIRST_SLOTS)
        self._is_refused = self._is_cut_off = False
        self._unreachable = Backoff(first_seconds=0.1, longest_seconds=5.0)
        self._chunk = max(1, min(max_in_flight // 4, LARGEST_CLAIM))
        self._clock = clock
        self._sends: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._drains: list[asyncio.Future[None]] = []
        self._second_claim: asyncio.TimerHandle | None = None
        self._next_turns: asyncio.TimerHandle | None = None
        self._is_stopping = False

    async def __aenter__(self) -> Self:
        self._turned_at = asyncio.get_running_loop().time()
        self._claiming = asyncio.create_task(self._claim_when_woken())
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def wake(self) -> None:
        """Make the pump claim, without waiting for it."""
        self._woken.set()

    async def drain(self, *, seconds: float = DRAIN_SECONDS) -> None:
        """Wake the pump, and return once a claim that began after this found nothing more to take.

        Also returns when the time is over; the pump goes on by itself, so nothing needs to wake it
        again. Answers are not awaited: a slow Stripe must not hold up the next job.
        """
        drain = asyncio.get_running_loop().create_future()
        self._drains.append(drain)
        self.wake()
        if not self._is_stopping:
            await asyncio.wait([drain], timeout=seconds)

    async def execute(self, payout_job_id: int) -> None:
        """Carry the due transfers of one payout job, and return when the outcomes are reported."""
        while wait_seconds := await self._claim_and_send(payout_job_id):
            await asyncio.sleep(wait_seconds)
        while self._sends:
            await asyncio.wait(self._sends)
        await self._reporter.flush()

    def stop(self) -> None:
        """Claim no more; requests under way go on."""
        self._is_stopping = True
        self.wake()
        _finish(self._drains)

    def is_turning(self) -> bool:
        """Tell whether claims go on; a sweep wakes an idle pump every few seconds."""
        seconds = asyncio.get_running_loop().time() - self._turned_at
        return not self._claiming.done() and seconds < LONGEST_TURN_SECONDS

    async def close(self, *, grace_seconds: float = GRACE_SECONDS) -> None:
        """Stop, let requests finish within the grace, cancel the rest, and report all of them."""
        self.stop()
        give_up = asyncio.get_running_loop().call_later(grace_seconds, self._cancel)
        await asyncio.wait([self._claiming, *self._sends])
        while self._sends:
            await asyncio.wait(self._sends)
        give_up.cancel()
        await self._reporter.close(seconds=REPORT_SECONDS)

    def _cancel(self) -> None:
        self._claiming.cancel()
        for send in self._sends:
            send.cancel()  # the adapter answers with an outcome even then

    async def _claim_when_woken(self) -> None:
        backoff = Backoff(first_seconds=0.1, longest_seconds=5.0)
        refused: str | None = None
        while not self._is_stopping:
            await self._woken.wait()
            self._woken.clear()
            drains, self._drains = self._drains, []
            try:
                wait_seconds = await self._claim_and_send(None)
                backoff.reset()
                refused = None
                metrics.note_problem("claims", None)
                if wait_seconds:
                    self._next_turns = _again(self._next_turns, wait_seconds, self.wake)
                if drains:
                    # A moment after the last wake-up job that was served.
                    self._second_claim = _again(self._second_claim, SECOND_CLAIM_SECONDS, self.wake)
            except errors.NotNow as error:
                level = logging.DEBUG if str(error) == refused else logging.WARNING
                logger.log(level, "nothing is claimed now: %s", error, extra={"event": "no_claim"})
                refused = str(error)
                if isinstance(error, errors.Unsafe):
                    self._adapter.doubt_time()
                metrics.CLAIMS.labels("refused").inc()
                metrics.note_problem("claims", str(error))
            except Exception as error:
                # The next claim is a new one; orders in a lost answer are left to their leases.
                level, reason = self._database.level(error, logging.ERROR), errors.one_line(error)
                logger.log(level, "a claim failed: %s", reason, extra={"event": "claim_failed"})
                metrics.CLAIMS.labels("failed").inc()
                metrics.note_problem("claims", reason)
                await backoff.pause()
                self.wake()
            finally:
                _finish(drains)

    async def _claim_and_send(self, payout_job_id: int | None) -> float:
        """Claim and send until a claim finds less than there is room for.

        Return 0, or the seconds after which to claim again, where the last one was cut short by the
        pace: then half of its turns are left.
        """
        while True:
            self._turned_at = asyncio.get_running_loop().time()
            room = await self._wait_for_room()
            if self._is_stopping:
                return 0.0
            try:
                orders, claimed_at = await self._claim(room, payout_job_id)
            except errors.NotCompared:
                await self._compare_newest()
                orders, claimed_at = await self._claim(room, payout_job_id)
            metrics.CLAIMS.labels("transfers" if orders else "nothing").inc()
            metrics.CLAIMED.inc(len(orders))
            for order in orders:
                send = asyncio.create_task(self._send(order, claimed_at))
                self._sends.add(send)
                send.add_done_callback(self._sends.discard)
            if len(orders) < room:
                return max((order["send_in_seconds"] for order in orders), default=0.0) / 2

    async def _claim(self, limit: int, payout_job_id: int | None) -> tuple[list[Order], float]:
        """Return orders, and the time before the claim, from which their leases are counted."""
        identity = await self._adapter.identity()
        claimed_at = self._clock()
        orders: list[Order] = await self._database.call(
            "claim_transfers",
            p_worker=worker_name(),
            p_limit=limit,
            p_payout_job_id=payout_job_id,
            **identity,
        )
        return orders, claimed_at

    async def _send(self, order: Order, claimed_at: float) -> None:
        try:
            if order["send_in_seconds"]:
                await asyncio.sleep(claimed_at + order["send_in_seconds"] - self._clock())
            settlement_id = order["request"].get("metadata", {}).get("settlement_id")
            began_at = self._clock()
            due_at = claimed_at - order["due_for_seconds"]
            metrics.note_send(order, due_at=due_at, now=began_at)
            with metrics.UNDER_WAY.track_inprogress():
                outcome = await self._adapter.send(order, claimed_at=claimed_at)
            metrics.note_answer(outcome, seconds=self._clock() - began_at)
            self._reporter.add(outcome, settlement_id=settlement_id, due_at=due_at)
            self._learn(outcome)
        except Exception:  # the order has another shape than agreed: its lease will run out
            logger.exception("an order could not be carried out", extra={"event": "send_failed"})

    def _learn(self, outcome: Outcome) -> None:
        """Let an outcome make the pump send more at once, or less."""
        self._is_cut_off = outcome["signal"] == "not_sent" and not self._is_stopping
        if self._is_cut_off:
            return
        self._unreachable.reset()
        if outcome.get("http_status") == 429:
            self._is_refused = True
        else:
            self._slots = min(self._slots + 1 / ANSWERS_PER_SLOT, self._max_in_flight)

    async def _wait_for_room(self) -> int:
        """Return how many transfers to claim: at least one, and more if a moment brings more.

        It is never more than a quarter of the slots, so that one part is claimed, another under way
        and a third reported, rather than all in step. After a refusal for the rate the database has
        to know of it first; while Stripe is out of reach it is one, after a growing pause.
        """
        if self._room() < self._chunk:
            await asyncio.sleep(LINGER_SECONDS)
        while self._room() <= 0 and not self._is_stopping:
            self._turned_at = asyncio.get_running_loop().time()
            await asyncio.sleep(LINGER_SECONDS)
        if self._is_refused:
            self._is_refused = False
            await self._reporter.flush()
        if self._is_cut_off:
            await self._unreachable.pause()
            return 1
        return min(self._room(), self._chunk)

    def _room(self) -> int:
        if self._reporter.unreported >= self._max_in_flight:
            return 0
        return int(self._slots) - len(self._sends)


def _again(
    handle: asyncio.TimerHandle | None, seconds: float, act: Callable[[], None]
) -> asyncio.TimerHandle:
    """Act after so many seconds, in place of an earlier intention."""
    if handle is not None:
        handle.cancel()
    return asyncio.get_running_loop().call_later(seconds, act)


def _finish(drains: list[asyncio.Future[None]]) -> None:
    for drain in drains:
        drain.set_result(None)
    drains.clear()
