"""The demo's processes, none of which outlives it, and the signals that end it.

They form one process group beside a guard, which kills the group when the demo is gone.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from types import FrameType
from typing import Final, Self

# Waits until the process that holds the other end of its standard input is gone, however it went.
GUARD: Final = 'cat > /dev/null; rm -rf -- "$1"; kill -KILL 0'
PATIENCE_SECONDS: Final = 30.0


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


class Stopped(KeyboardInterrupt):
    """A signal asks the demo to end."""


class Stop:
    """Turns the first SIGINT, SIGTERM or SIGHUP into Stopped; later ones disturb no tidying up."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def listen(self) -> None:
        """Take over the signals, save a SIGHUP that is to be ignored (``nohup``)."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._receive)

    def check(self) -> None:
        """Raise Stopped after a signal: one that came inside a destructor has raised in vain."""
        if self.signal is not None:
            raise Stopped

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = signal.Signals(number)
            # A query under way ends with its server; that is no warning.
            logging.getLogger("psycopg").setLevel(logging.ERROR)
            raise Stopped


class Processes:
    """Starts programs, each with a log in `directory`; leaving it kills them and removes that."""

    def __enter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix="payout-engine-demo-"))
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "guard", str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            process_group=0,
        )
        return self

    def __exit__(self, *error: object) -> None:
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        for process in (self._guard, *self._started.values()):
            process.wait()

    def start(
        self, name: str, *command: str, cwd: Path | None = None, **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start a program in `directory` or elsewhere, out of reach of the terminal's Ctrl-C."""
        with self._log_path(name).open("wb") as log:
            self._started[name] = process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=cwd or self.directory,
                env=os.environ | environment,
                process_group=self._guard.pid,
            )
        return process

    def run(self, name: str, *command: str, cwd: Path) -> None:
        """Run a program to its end. Raises DemoError with its output if it fails."""
        if self.start(name, *command, cwd=cwd).wait(PATIENCE_SECONDS):
            raise DemoError(f"{name} failed:\n{self.log(name)}")
        del self._started[name]

    def kill(self, name: str) -> None:
        """Kill a program with SIGKILL: no chance to finish or to report anything."""
        process = self._started.pop(name)
        process.kill()
        process.wait()

    def check(self) -> None:
        """Raise DemoError if a program has ended by itself, with the end of its output."""
        for name, process in self._started.items():
            if (code := process.poll()) is not None:
                raise DemoError(f"{name} ended by itself ({code}):\n{self.log(name)[-2000:]}")

    def log(self, name: str) -> str:
        """Return the output of a program so far."""
        return self._log_path(name).read_text(encoding="utf-8", errors="replace").strip()

    def _log_path(self, name: str) -> Path:
        return self.directory / f"{name}.log"
