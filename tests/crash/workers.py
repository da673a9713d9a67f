"""Workers as processes of their own, which a test kills, stops, continues and restarts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.conftest import ROOT
from tests.crash.preloaded import ForkedWorker

PATIENCE_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.05
CANARY: Final = "sk_test_canary0123456789"
OURS: Final = ("-m", "payout_engine", "worker")
# Tells of each claim that is refused, not only of the first for a reason.
TALKATIVE: Final = (*OURS, "--log-level=DEBUG")
PLAIN: Final = ("-m", "procrastinate", "--app=payout_engine.app.app", "worker")
RECONCILE: Final = ("-m", "payout_engine", "reconcile")


def wait_until(
    condition: Callable[[], object],
    *,
    seconds: float = PATIENCE_SECONDS,
    tell: Callable[[], object] = lambda: "",
) -> None:
    """Return as soon as the condition holds. Fails with the text of `tell` if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to pass in time: {tell()}"
        time.sleep(POLL_SECONDS)


def environment(*, database_url: str, stripe: str) -> dict[str, str]:
    """Return the settings by which a worker finds its database and Stripe."""
    return {
        "DATABASE_URL": database_url,
        "STRIPE_API_KEY": CANARY,
        "STRIPE_API_BASE": stripe,
        "PAYOUT_RECONCILE_MINUTES": "0",  # it begins at random, and its requests would be counted
    }


def run(
    command: tuple[str, ...], *, environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Run Python with these arguments; its output goes to a file."""
    with log.open("wb") as output:
        return subprocess.Popen(
            (sys.executable, *command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=os.environ | environment,
        )


class Worker:
    """One worker process; its log is a file."""

    def __init__(self, process: subprocess.Popen[bytes] | ForkedWorker, *, log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Its process id; the name of its database sessions ends with it."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs, or is stopped."""
        return self._process.poll() is None

    def log(self) -> str:
        """Return its log so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_for_log(self, text: str) -> None:
        """Return when it has logged this."""

        def is_logged() -> bool:
            assert self.is_alive or text in self.log(), f"it ended without {text!r}: {self.log()}"
            return text in self.log()

        wait_until(is_logged)

    def wait_for_reports(self, *, paid: int) -> None:
        """Return when its log says that so many are paid, in one report or several."""

        def have_it() -> bool:
            assert self.is_alive, self.log()
            counts = re.findall(r"reported .*?(\d+) paid", self.log())
            return sum(map(int, counts)) == paid

        wait_until(have_it, tell=self.log)

    def kill(self) -> None:
        """Kill it with SIGKILL, and return when it is gone."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Stop it with SIGSTOP, and return when it stands still (Linux only)."""
        self._process.send_signal(signal.SIGSTOP)
        state = Path(f"/proc/{self.pid}/stat")
        wait_until(lambda: state.read_text(encoding="utf-8").rpartition(") ")[2][0] == "T")

    def thaw(self) -> None:
        """Continue it with SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Ask it to end, with SIGTERM."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self, *, seconds: float = PATIENCE_SECONDS) -> int:
        """Return its exit code when it has ended."""
        return self._process.wait(timeout=seconds)

    def stop(self) -> None:
        """Let it end as a service manager does, which must go well."""
        self.terminate()
        assert self.wait() == 0, self.log()
        self.check_log()

    def check_log(self) -> None:
        """Check that the log has neither a bug of ours nor the key."""
        assert f'File "{ROOT / "worker"}' not in self.log(), self.log()
        assert CANARY not in self.log()
