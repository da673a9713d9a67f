"""Runs several workers under one parent: it passes signals on and starts one again that ended.

Each worker tells its parent how it is by the protocol of `payout_engine.service`, on a socket of
its own; the parent tells the service manager about all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import select
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Final

from payout_engine import service
from payout_engine.backoff import Backoff

logger = logging.getLogger(__name__)

# The exit code of a worker that is refused: to start it again does not help.
EXIT_REFUSED: Final = 2
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
TICK_SECONDS: Final = 1.0
SILENT_TICKS: Final = 60


class Place(asyncio.DatagramProtocol):
    """A place for a worker process: the one that runs, or waits to be started again."""

    def __init__(self, on_news: Callable[[], None]) -> None:
        self._on_news = on_news
        self._process: asyncio.subprocess.Process | None = None
        self._is_stopping = False
        self.is_ready = False
        self.silent_ticks = 0
        self.exit_code = 0

    def datagram_received(self, data: bytes, address: object) -> None:
        """Take a message of the process: that it is ready, stops, or gives a sign of life."""
        self.silent_ticks = 0
        lines = data.split(b"\n")
        if b"READY=1" in lines or b"STOPPING=1" in lines:
            self.is_ready = b"READY=1" in lines
            self._on_news()

    async def run(self, command: Sequence[str], *, address: str) -> None:
        """Run the command, again and again, until it is to stop or is refused."""
        clock = asyncio.get_running_loop().time
        backoff = Backoff(first_seconds=FIRST_PAUSE_SECONDS, longest_seconds=LONGEST_PAUSE_SECONDS)
        patience_us = str(int(SILENT_TICKS * TICK_SECONDS * 1e6))
        manager = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": patience_us, "WATCHDOG_PID": ""}
        while not self._is_stopping:
            began_at = clock()
            self.is_ready = False  # a message of the one before may have come last
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                env=os.environ | manager,
                process_group=0,  # Ctrl-C reaches the parent alone, which passes it on
            )
            code = await self._process.wait()
            self.exit_code = code if code >= 0 else 128 - code
            self.is_ready = False
            self._on_news()
            if self._is_stopping:
                if code in (-signal.SIGTERM, -signal.SIGINT):  # it had not yet begun to work
                    self.exit_code = 0
                return
            told, pid = "worker process %d ended with exit code %d", self._process.pid
            logger.error(told, pid, self.exit_code, extra={"event": "process_ended"})
            if self.exit_code == EXIT_REFUSED:
                return
            await backoff.pause(after_seconds=clock() - began_at)

    def stop(self, number: int) -> bool:
        """Pass a signal on; return whether a process runs that takes it."""
        self._is_stopping = True
        return self._send(number)

    def tick(self) -> None:
        """Kill a process that is ready and gave no sign of life for long."""
        self.silent_ticks += 1
        if self.is_ready and self.silent_ticks > SILENT_TICKS:
            logger.error("a worker process hangs, and is killed", extra={"event": "process_hangs"})
            self.is_ready = False
            self._send(signal.SIGKILL)

    def _send(self, number: int) -> bool:
        if self._process is None or self._process.returncode is not None:
            return False
        self._process.send_signal(number)
        return True


async def run(commands: Sequence[Sequence[str]]) -> int:
    """Run a worker for each command until SIGTERM or SIGINT; return their highest exit code.

    One that is refused (exit code 2) is not started again; the others go on without it.
    """
    loop = asyncio.get_running_loop()
    prefix = f"payout-engine/{secrets.token_hex(8)}"
    places: list[Place] = []
    tasks: list[asyncio.Task[None]] = []

    def tell() -> None:
        ready = sum(place.is_ready for place in places)
        if ready == len(commands):
            service.notify("READY=1")
        service.show(f"{ready} of {len(commands)} workers are ready")

    def on_signal(number: signal.Signals) -> None:
        service.notify("STOPPING=1")
        for place, task in zip(places, tasks, strict=True):
            if not place.stop(number):
                task.cancel()

    for number, command in enumerate(commands):
        _, place = await loop.create_datagram_endpoint(
            lambda: Place(tell), local_addr=f"\0{prefix}/{number}", family=socket.AF_UNIX
        )
        places.append(place)
        tasks.append(asyncio.create_task(place.run(command, address=f"@{prefix}/{number}")))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    ticking = asyncio.create_task(_tick(places))
    await asyncio.wait(tasks)
    ticking.cancel()
    return max(place.exit_code for place in places)


async def _tick(places: Sequence[Place]) -> None:
    """Count, rather than read a clock: processes that were all stopped have missed one at most."""
    while True:
        if service.watchdog_pause():
            service.notify("WATCHDOG=1")
        for place in places:
            place.tick()
        await asyncio.sleep(TICK_SECONDS)


def end_with(parent: int) -> None:
    """Stop this process once its parent is gone, however it went (Linux)."""

    def wait() -> None:
        with contextlib.suppress(ProcessLookupError):
            select.select([os.pidfd_open(parent)], [], [])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="end with parent", daemon=True).start()
