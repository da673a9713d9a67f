"""Forks workers off a process that has imported everything already: a start costs next to nothing.

A fork runs as Python would with the same arguments, in a process, and with signals, of its own.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

Programs: TypeAlias = Mapping[str, Callable[[], int | None]]

ROOT: Final = Path(__file__).resolve().parents[2]
MODULE: Final = "tests.crash.preloaded"


class ForkedWorker:
    """A worker off the `Nursery`, to be treated like a subprocess.Popen."""

    def __init__(self, *, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self._nursery = nursery
        self._pidfd = os.pidfd_open(pid)
        self._returncode: int | None = None

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has been waited for."""
        if self._returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while it lives."""
        try:
            return self.wait(timeout=0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code when it has ended. Raises subprocess.TimeoutExpired."""
        if self._returncode is None:
            waiting = select.poll()
            waiting.register(self._pidfd, select.POLLIN)
            if not waiting.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(MODULE, timeout or 0)
            self._returncode = self._nursery.ask(wait=self.pid)
            os.close(self._pidfd)
        return self._returncode


class Nursery:
    """The process that has imported everything. Use it as a context manager."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()

    def fork(
        self, command: tuple[str, ...], *, environment: Mapping[str, str], log: Path
    ) -> ForkedWorker:
        """Run Python with these arguments; its output goes to a file."""
        log.touch()
        pid = self.ask(command=command, environment=dict(environment), log=str(log))
        return ForkedWorker(nursery=self, pid=pid)

    def ask(self, **order: Any) -> int:
        """Give an order to the process and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())


def serve() -> None:
    """Carry out orders until the input ends; then no worker is left either."""
    # Only this process needs them, and none that imports `Nursery`.
    import stripe
    from procrastinate import cli as procrastinate

    from payout_engine import cli as ours

    # Modules that the SDK imports only when it is used for the first time.
    assert stripe.StripeClient("sk_test_none").v1.transfers
    assert stripe.Invoice
    gc.freeze()
    programs: Programs = {"payout_engine": ours.main, "procrastinate": procrastinate.main}
    living: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
            living.remove(order["wait"])
        elif (answer := os.fork()) == 0:
            become_worker(programs, order)
        else:
            living.add(answer)
        print(answer, flush=True)
    for pid in living:
        os.kill(pid, signal.SIGKILL)


def become_worker(programs: Programs, order: dict[str, Any]) -> None:
    """Be the worker that was ordered, and nothing of the process it was forked from."""
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, file in enumerate((nothing, log, log)):
        os.dup2(file, number)
    os.environ.update(order["environment"])
    try:
        code = run(programs, *order["command"])
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    os._exit(code)


def run(programs: Programs, option: str, program: str, *arguments: str) -> int:
    """Run a program as Python does with ``-m``, or a code as with ``-c``."""
    sys.argv = [program, *arguments]
    if option == "-c":
        exec(program, {"__name__": "__main__"})
        return 0
    return programs[program]() or 0


if __name__ == "__main__":
    serve()
