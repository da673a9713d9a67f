"""The parts of the worker put together, with the sweep, the readings and the watchdog beside them.

The queue only wakes the pump; where the queue fails, the sweep does it, a few seconds later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

from payout_engine import RELEASE, errors, metrics
from payout_engine.alarms import AlarmHook
from payout_engine.backoff import Backoff
from payout_engine.database import Database, worker_name
from payout_engine.pump import Pump
from payout_engine.reconcile import Reconciler
from payout_engine.reporter import Reporter
from payout_engine.rows import Beat, Measurement, Outcome, Report, Sweep
from payout_engine.settings import Settings
from payout_engine.stripe_payout_adapter import StripePayoutAdapter

logger = logging.getLogger(__name__)

Seconds: TypeAlias = tuple[float, float]
# A name, an act, and between how many seconds it comes first, and then again.
Round: TypeAlias = tuple[str, Callable[[], Awaitable[object]], Seconds, Seconds]

AT_ONCE: Final = (0.0, 0.0)
SWEEP_SECONDS: Final = (2.0, 5.0)
LOOK_UP_SECONDS: Final = (2.0, 5.0)
BEAT_SECONDS: Final = (8.0, 12.0)
FIRST_MEASURE_SECONDS: Final = (0.5, 0.5)
MEASURE_SECONDS: Final = (12.0, 18.0)
# The database wants them compared after half an hour, and refuses claims after an hour.
NEWEST_SECONDS: Final = (300.0, 600.0)
# While readings fail, the pauses between them grow to some two minutes.
FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 160.0
TICK_SECONDS: Final = 1.0
HANGING_TICKS: Final = 25
EXIT_HANGING: Final = 70
STOP_SECONDS: Final = 2.0


@dataclass(kw_only=True)
class Engine:
    """The parts that the tasks of the queue work with."""

    database: Database
    adapter: StripePayoutAdapter
    pump: Pump
    reconciler: Reconciler
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once this process can do nothing more in this database."""
    refusal: errors.UserError | None = None
    """Why it has ended."""

    async def sweep(self) -> None:
        """Close leases that ran out, queue wake-up jobs for due transfers, and wake this pump.

        A sweep that fails is logged, since the next one comes soon, and wakes the pump too: the
        transfers are due all the same.
        """
        try:
            swept: list[Sweep] = await self.database.call("sweep")
            counts = ", ".join(f"{name} {count}" for name, count in swept[0].items() if count)
            if counts:
                logger.info("swept: %s", counts, extra={"event": "swept"})
        except Exception as error:
            level, reason = self.database.level(error, logging.WARNING), errors.one_line(error)
            logger.log(level, "a sweep failed: %s", reason, extra={"event": "sweep_failed"})
        finally:
            self.pump.wake()

    async def beat(self, *, is_last: bool = False) -> None:
        """Tell the database that this worker is alive, or that it ends. Raises its refusal.

        A worker that an upgrade has left behind claims no more and ends."""
        beat: Beat
        try:
            [beat] = await self.database.call(
                "heartbeat", p_worker=worker_name(), p_release=RELEASE, p_is_last=is_last
            )
        except errors.OtherRelease as error:
            self.pump.stop()
            self.refusal = errors.UserError(str(error))
            self.ended.set()
            raise
        except Exception:
            metrics.note_problem("database", "it does not take the heartbeat")
            raise
        metrics.note_problem("database", None)
        refused = "Stripe refused its key, and it is on hold"
        metrics.note_problem("worker", refused if beat["is_on_hold"] else None)

    async def measure(self) -> None:
        """Read the gauges of the engine, where no other worker does.

        The database hands them to a worker whose heartbeat it knows.
        """
        gauges: list[Measurement] = await self.database.call("measure", p_worker=worker_name())
        metrics.engine_gauges.tell(gauges)

    async def repeat(
        self,
        name: str,
        act: Callable[[], Awaitable[object]],
        *,
        first: Seconds = AT_ONCE,
        between: Seconds,
    ) -> None:
        """Act for ever: first after so many seconds, then again after others.

        While it fails, the pauses grow instead.
        """
        backoff = Backoff(
            first_seconds=FIRST_PAUSE_SECONDS, longest_seconds=LONGEST_PAUSE_SECONDS, jitter=0.6
        )
        await asyncio.sleep(random.uniform(*first))
        while True:
            try:
                await act()
            except Exception as error:
                usual = logging.WARNING if errors.is_transient(error) else logging.ERROR
                level, reason = self.database.level(error, usual), errors.one_line(error)
                logger.log(level, "%s failed: %s", name, reason, extra={"event": "round_failed"})
                await backoff.pause()
            else:
                backoff.reset()
                await asyncio.sleep(random.uniform(*between))


@asynccontextmanager
async def open_engine(
    settings: Settings, *, on_reported: Callable[[Outcome, Report], None] | None = None
) -> AsyncIterator[Engine]:
    """Put an engine together; leaving it is a graceful stop, of about 25 seconds at most."""
    async with (
        AlarmHook(settings, worker=worker_name()) as alarms,
        Database(settings.database_url, on_alarm=alarms.add) as database,
        StripePayoutAdapter(
            api_key=settings.stripe_api_key,
            key_file=settings.key_file,
            api_base=settings.stripe_api_base,
            max_in_flight=settings.max_in_flight,
        ) as adapter,
    ):
        reconciler = Reconciler(database=database, adapter=adapter)
        async with Pump(
            database=database,
            adapter=adapter,
            reporter=Reporter(database=database, on_reported=on_reported),
            compare_newest=reconciler.compare_newest,
            max_in_flight=settings.max_in_flight,
        ) as pump:
            yield Engine(database=database, adapter=adapter, pump=pump, reconciler=reconciler)


@asynccontextmanager
async def run_engine(settings: Settings) -> AsyncIterator[Engine]:
    """Open an engine that also sweeps and reads Stripe's lists, under a watchdog."""
    async with open_engine(settings) as engine:
        reconciler, minutes = engine.reconciler, settings.reconcile_minutes
        newest = reconciler.compare_newest
        # The newest transfers are compared for the first time with the first claim. A fleet that
        # starts together does not reconcile together, and one that restarts often does it too.
        rounds: list[Round] = [
            ("the heartbeat", engine.beat, AT_ONCE, BEAT_SECONDS),
            ("the sweep", engine.sweep, AT_ONCE, SWEEP_SECONDS),
            ("looking up", partial(reconciler.read, "lookup"), AT_ONCE, LOOK_UP_SECONDS),
            ("comparing the newest transfers", newest, NEWEST_SECONDS, NEWEST_SECONDS),
        ]
        if minutes:
            between = (54.0 * minutes, 66.0 * minutes)
            rounds.append(("reconciling", reconciler.run, (0.0, 60.0 * minutes), between))
        if settings.http:
            rounds.append(("measuring", engine.measure, FIRST_MEASURE_SECONDS, MEASURE_SECONDS))
        tasks = [
            asyncio.create_task(engine.repeat(name, act, first=first, between=between))
            for name, act, first, between in rounds
        ]
        is_over = watch(asyncio.get_running_loop())
        try:
            yield engine
        finally:
            is_over.set()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=STOP_SECONDS)
            with contextlib.suppress(Exception):  # a database that is away misses it soon
                async with asyncio.timeout(STOP_SECONDS):
                    await engine.beat(is_last=True)


def watch(loop: asyncio.AbstractEventLoop) -> threading.Event:
    """Start a thread that ends the process if its event loop hangs; set the event to end it.

    It counts its own ticks and reads no clock: a process that was stopped and continued has missed
    one at most. It goes on, refuses sends that are too late, and reports the rest.
    """
    is_over = threading.Event()
    unanswered = 0

    def answer() -> None:
        nonlocal unanswered
        unanswered = 0

    def ask() -> None:
        nonlocal unanswered
        while not is_over.wait(TICK_SECONDS):
            unanswered += 1
            if unanswered > HANGING_TICKS:
                os._exit(EXIT_HANGING)
            try:
                loop.call_soon_threadsafe(answer)
            except RuntimeError:  # the loop is closed: the process is ending by itself
                return

    threading.Thread(target=ask, name="watchdog", daemon=True).start()
    return is_over
