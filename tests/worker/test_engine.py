"""The sweep goes on whatever happens, and a process whose event loop hangs is ended."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.worker.fakes import FakeAdapter, FakeDatabase
from worker import engine as engine_module
from worker.engine import EXIT_HANGING, Engine
from worker.pump import Pump
from worker.reporter import Reporter

ROOT = Path(__file__).resolve().parents[2]
WATCHED = """
import asyncio, time
from worker import engine

async def main():
    engine.TICK_SECONDS, engine.HANGING_TICKS = 0.1, 5
    is_over = engine.watch(asyncio.get_running_loop())
    {}
    is_over.set()

asyncio.run(main())
"""


class SweepingDatabase(FakeDatabase):
    """Also sweeps: each entry of `sweeps` is raised or returned, then nothing is found."""

    def __init__(self, sweeps: list[Any]) -> None:
        super().__init__(orders=1)
        self.sweeps = sweeps

    async def call(self, function: str, **arguments: Any) -> list[dict[str, Any]]:
        if function != "sweep":
            return await super().call(function, **arguments)
        found = self.sweeps.pop(0) if self.sweeps else {"doorbells_rung": 0}
        if isinstance(found, Exception):
            raise found
        return [found]


def test_the_sweep_outlives_failures_and_wakes_the_pump(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine_module, "SWEEP_SECONDS", (0.0, 0.01))
    caplog.set_level("INFO")

    async def main() -> None:
        found = {"leases_expired": 2, "doorbells_rung": 0}
        database = SweepingDatabase([ConnectionError("gone"), ValueError("odd"), found])
        async with Pump(
            database=database,
            adapter=FakeAdapter(),
            reporter=Reporter(database=database),
            worker="test",
        ) as pump:
            engine = Engine(database=database, pump=pump)
            sweeping = asyncio.create_task(engine.sweep_for_ever())
            await database.is_quiet.wait()
            sweeping.cancel()

    asyncio.run(main())
    assert "a sweep failed: ConnectionError('gone')" in caplog.text
    assert "swept: leases_expired 2" in caplog.text


@pytest.mark.parametrize(
    ("deed", "code"), [("time.sleep(60)", EXIT_HANGING), ("await asyncio.sleep(1)", 0)]
)
def test_the_watchdog_ends_a_process_whose_loop_hangs_and_no_other(deed: str, code: int) -> None:
    command = [sys.executable, "-c", WATCHED.format(deed)]
    assert subprocess.run(command, cwd=ROOT, timeout=50).returncode == code


def test_a_process_that_was_stopped_for_long_is_not_taken_for_hanging() -> None:
    deed = "print(flush=True); await asyncio.to_thread(input); await asyncio.sleep(0.3)"
    with subprocess.Popen(
        [sys.executable, "-c", WATCHED.format(deed)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.2)  # twice what the watchdog allows
        process.send_signal(signal.SIGCONT)
        process.communicate("\n", timeout=20)
    assert process.returncode == 0
