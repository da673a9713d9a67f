"""The sweep and the readings outlive failures; a process whose event loop hangs is ended."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from payout_engine import engine as engine_module
from payout_engine.engine import EXIT_HANGING, Engine
from payout_engine.pump import Pump
from payout_engine.reconcile import Reconciler
from payout_engine.reporter import Reporter
from payout_engine.rows import ReadReport
from payout_engine.settings import Settings
from payout_engine.stripe_payout_adapter import Refused
from tests.crash.workers import Worker
from tests.worker.fakes import CANARY, FakeAdapter, FakeDatabase

ROOT = Path(__file__).resolve().parents[2]
WATCHED = """
import asyncio, time
from payout_engine import engine

async def main():
    engine.TICK_SECONDS, engine.HANGING_TICKS = 0.1, 5
    is_over = engine.watch(asyncio.get_running_loop())
    {}
    is_over.set()

asyncio.run(main())
"""


class SweepingDatabase(FakeDatabase):
    """Also sweeps: each entry of `sweeps` is raised or returned, then an empty sweep."""

    def __init__(self, sweeps: list[Any]) -> None:
        super().__init__(orders=1)
        self.sweeps = sweeps

    async def call(self, function: str, **arguments: Any) -> list[Any]:
        if function != "sweep":
            return await super().call(function, **arguments)
        found = self.sweeps.pop(0) if self.sweeps else {"wakeups_queued": 0}
        if isinstance(found, Exception):
            raise found
        return [found]


class ReadingNothing(Reconciler):
    """Reads nothing; each entry of `failures` is raised first, then `is_done` is set."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.is_done = asyncio.Event()

    async def read(self, kind: str, on_progress: Any = None) -> list[ReadReport]:
        if self.failures:
            raise self.failures.pop(0)
        self.is_done.set()
        return []

    async def run(self, on_progress: Any = None) -> dict[str, int | None]:
        await self.read("comparison")
        return {}


def make_engine(reconciler: Reconciler) -> Engine:
    pump: Any = None
    return Engine(database=FakeDatabase(), adapter=FakeAdapter(), pump=pump, reconciler=reconciler)


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("looking up", lambda engine: partial(engine.reconciler.read, "lookup")),
        ("reconciling", lambda engine: engine.reconciler.run),
    ],
)
def test_readings_outlive_failures_and_are_logged_without_secrets(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, of: Any
) -> None:
    monkeypatch.setattr(engine_module, "FIRST_PAUSE_SECONDS", 0.01)

    async def main() -> None:
        reconciler = ReadingNothing(
            psycopg.OperationalError("gone"), Refused(401, f"Invalid API Key {CANARY}")
        )
        engine = make_engine(reconciler)
        reading = asyncio.create_task(engine.repeat(name, of(engine), between=(0, 0)))
        await asyncio.wait_for(reconciler.is_done.wait(), 10)
        reading.cancel()

    asyncio.run(main())
    logged = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert logged == [
        ("WARNING", f"{name} failed: OperationalError('gone')"),
        ("ERROR", f"{name} failed: Refused('HTTP status 401: Invalid API Key ***')"),
    ]


def test_the_newest_transfers_are_compared_again_and_again_and_failures_are_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine_module, "FIRST_PAUSE_SECONDS", 0.01)

    async def main() -> None:
        reconciler = ReadingNothing(Refused(403, f"The key {CANARY} may not."))
        engine = make_engine(reconciler)
        compare = engine.repeat("comparing", reconciler.compare_newest, between=(0, 0))
        reading = asyncio.create_task(compare)
        await asyncio.wait_for(reconciler.is_done.wait(), 10)
        reading.cancel()

    asyncio.run(main())
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "comparing failed: NewestUnread" in record.getMessage()
    assert "The key *** may not." in record.getMessage()


def test_pauses_grow_while_readings_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 10:
            raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    failures = [ValueError("odd")] * 8
    engine = make_engine(ReadingNothing(*failures))
    run = engine.reconciler.run
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(engine.repeat("reading", run, first=(0, 3600), between=(3240, 3960)))
    assert pauses == [3600, 5, 10, 20, 40, 80, 160, 160, 160, 66 * 60]


def test_the_engine_reads_beside_the_queue_and_stops_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[str] = []
    ended: list[str] = []

    async def repeat(engine: Engine, name: str, act: Any, **pauses: tuple[float, float]) -> None:
        started.append(name)
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(name)

    monkeypatch.setattr(Engine, "repeat", repeat)
    names = (
        "the heartbeat",
        "the sweep",
        "looking up",
        "comparing the newest transfers",
        "reconciling",
    )

    @asynccontextmanager
    async def open_nothing(settings: Settings) -> AsyncIterator[Engine]:
        yield make_engine(ReadingNothing())

    monkeypatch.setattr(engine_module, "open_engine", open_nothing)

    async def main(minutes: str) -> None:
        settings = Settings.read(
            {
                "DATABASE_URL": "postgresql:///x",
                "STRIPE_API_KEY": CANARY,
                "PAYOUT_RECONCILE_MINUTES": minutes,
            }
        )
        async with engine_module.run_engine(settings):
            await asyncio.sleep(0)

    asyncio.run(main("60"))
    assert started == ended == list(names)
    asyncio.run(main("0"))
    assert started[5:] == ended[5:] == list(names[:4])


@asynccontextmanager
async def sweeping_engine(database: SweepingDatabase) -> AsyncIterator[Engine]:
    """Run the pump of an engine that sweeps."""
    adapter, reconciler = FakeAdapter(), ReadingNothing()
    async with Pump(
        database=database,
        adapter=adapter,
        reporter=Reporter(database=database),
        compare_newest=reconciler.compare_newest,
    ) as pump:
        yield Engine(database=database, adapter=adapter, pump=pump, reconciler=reconciler)


def test_the_sweep_outlives_failures(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")

    async def main() -> None:
        found = {"leases_expired": 2, "wakeups_queued": 0}
        database = SweepingDatabase([ConnectionError("gone"), ValueError("odd"), found])
        async with sweeping_engine(database) as engine:
            sweep = engine.repeat("the sweep", engine.sweep, between=(0.0, 0.01))
            sweeping = asyncio.create_task(sweep)
            while "swept" not in caplog.text:
                await asyncio.sleep(0.01)
            sweeping.cancel()

    asyncio.run(main())
    assert "a sweep failed: ConnectionError('gone')" in caplog.text
    assert "swept: leases_expired 2" in caplog.text


@pytest.mark.parametrize("sweeps", [[], [ConnectionError("gone")]], ids=["well", "badly"])
def test_a_sweep_wakes_the_pump_whether_or_not_it_fails(sweeps: list[Any]) -> None:
    """A pending wake-up job keeps others from being queued: the sweep may be the only wake-up."""

    async def main() -> None:
        database = SweepingDatabase(sweeps)
        async with sweeping_engine(database) as engine:
            await engine.sweep()
            await database.is_quiet.wait()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("action", "code"), [("time.sleep(60)", EXIT_HANGING), ("await asyncio.sleep(1)", 0)]
)
def test_the_watchdog_ends_a_process_whose_loop_hangs_and_no_other(
    launch: Callable[..., Worker], action: str, code: int
) -> None:
    process = launch(("-c", WATCHED.format(action)), database_url="", stripe="")
    assert process.wait(seconds=50) == code


def test_the_watchdog_spares_a_process_that_was_stopped_for_long() -> None:
    action = "print(flush=True); await asyncio.to_thread(input); await asyncio.sleep(0.3)"
    with subprocess.Popen(
        [sys.executable, "-c", WATCHED.format(action)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.2)  # twice the time that the watchdog allows
        process.send_signal(signal.SIGCONT)
        process.communicate("\n", timeout=20)
    assert process.returncode == 0
