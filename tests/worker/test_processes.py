"""Several workers run under one parent, as one service; none of them is left behind or given up."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from payout_engine import cli
from payout_engine_sandbox.stripe_double import StripeDouble
from tests.crash.workers import CANARY, OURS, Worker, wait_until
from tests.worker.managers import Manager
from tests.worker.test_app import settle, wait_until_paid

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="several processes need Linux")

# A parent with less patience, whose workers are this code.
PARENT = """
import asyncio, os, sys
from payout_engine import logs, processes
processes.FIRST_PAUSE_SECONDS, processes.LONGEST_PAUSE_SECONDS = 0.1, 0.4
processes.TICK_SECONDS, processes.SILENT_TICKS = 0.1, 30
command = [sys.executable, "-c", '''{child}''']
lines = logs.start("INFO")
code = asyncio.run(processes.run([command] * {count}))
logs.finish(lines)
os._exit(code)
"""
CHILD = """
import os, pathlib, signal, sys, time
from payout_engine import service
signal.signal(signal.SIGTERM, lambda *_: sys.exit({at_sigterm}))
file = pathlib.Path(os.environ['PIDS'])
with file.open('a') as pids: pids.write(f'{{os.getpid()}}\\\\n')
service.notify('READY=1')
{then}
"""
WAIT = "while True: time.sleep(0.1); service.notify('WATCHDOG=1')"


@pytest.fixture
def double() -> Iterator[StripeDouble]:
    with StripeDouble.in_thread() as double:
        yield double


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(tmp_path / "notify") as manager:
        yield manager


class Family:
    """A parent whose workers are stand-ins."""

    def __init__(self, parent: Worker, pids: Path) -> None:
        self.parent = parent
        self._pids = pids

    def started(self) -> list[int]:
        """Return the process ids of all workers so far, in the order of their starts."""
        return [int(line) for line in self._pids.read_text(encoding="ascii").split()]

    def wait_for_starts(self, count: int) -> list[int]:
        """Return the process ids once so many workers have started."""
        wait_until(lambda: len(self.started()) >= count, tell=self.parent.log)
        return self.started()


@pytest.fixture
def begin(launch: Callable[..., Worker], manager: Manager, tmp_path: Path) -> Callable[..., Family]:
    def begin_one(then: str = WAIT, *, count: int = 2, at_sigterm: int = 0) -> Family:
        pids = tmp_path / "pids"
        pids.touch()
        child = CHILD.format(then=then, at_sigterm=at_sigterm)
        parent = launch(
            ("-c", PARENT.format(child=child, count=count)),
            database_url="",
            stripe="",
            NOTIFY_SOCKET=manager.address,
            PIDS=str(pids),
        )
        return Family(parent, pids)

    return begin_one


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return status.rpartition(") ")[2][0] != "Z"


@pytest.mark.timeout(180)
def test_several_workers_pay_as_one_service(
    manager: Manager, dsn: Callable[..., str], double: StripeDouble, launch: Callable[..., Worker]
) -> None:
    command = (*OURS, "--processes", "3", "--log-format", "json")
    parent = launch(
        command,
        database_url=dsn("payout_worker"),
        stripe=double.url,
        NOTIFY_SOCKET=manager.address,
        WATCHDOG_USEC="3000000",
    )
    manager.wait_for("READY=1", seconds=90)
    assert "STATUS=2 of 3 workers are ready" in manager.lines
    settle(dsn(), "set_1")
    wait_until_paid(dsn(), 1)
    manager.wait_for("WATCHDOG=1")
    with psycopg.connect(dsn()) as connection:
        names = {name for (name,) in connection.execute("select worker from payout.workers")}
    assert len(names) == 3
    assert all(str(parent.pid) not in name for name in names)
    parent.terminate()
    assert parent.wait() == 0
    manager.wait_for("STOPPING=1")
    lines = [json.loads(line) for line in parent.log().splitlines()]
    assert {line["worker"] for line in lines if line["event"] == "ready"} == names
    assert {line["worker"] for line in lines if line["event"] == "stopping"} == names


@pytest.mark.timeout(180)
def test_a_key_that_stripe_refuses_ends_the_workers_and_then_their_parent(
    manager: Manager, dsn: Callable[..., str], double: StripeDouble, launch: Callable[..., Worker]
) -> None:
    double.revoke_key(api_key=CANARY)
    parent = launch(
        (*OURS, "--processes", "2"),
        database_url=dsn("payout_worker"),
        stripe=double.url,
        NOTIFY_SOCKET=manager.address,
    )
    assert parent.wait(seconds=90) == 2
    assert parent.log().count(" stops, because Stripe refuses its key: ") == 2
    assert not manager.has("READY=1")
    assert CANARY not in parent.log()


def test_a_wrong_setting_ends_the_parent_before_it_starts_any(
    launch: Callable[..., Worker],
) -> None:
    parent = launch((*OURS, "--processes", "2"), database_url="", stripe="")
    assert parent.wait() == 2
    assert parent.log().startswith("payout-engine: DATABASE_URL is not set")
    assert len(parent.log().splitlines()) == 1


@pytest.mark.parametrize("number", ["0", "65", "-1", "two"])
def test_a_number_of_processes_that_makes_no_sense_is_explained(
    capsys: pytest.CaptureFixture[str], number: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["worker", f"--processes={number}"])
    assert ended.value.code == 2
    assert "argument --processes: a whole number from 1 to 64" in capsys.readouterr().err


def test_a_worker_that_is_killed_is_started_again(
    begin: Callable[..., Family], manager: Manager
) -> None:
    family = begin()
    manager.wait_for("READY=1")
    first, second = family.wait_for_starts(2)
    os.kill(first, signal.SIGKILL)
    *_, third = family.wait_for_starts(3)
    assert is_alive(second)
    manager.wait_for("STATUS=1 of 2 workers are ready")
    family.parent.wait_for_log(f"worker process {first} ended with exit code 137")
    family.parent.terminate()
    assert family.parent.wait() == 0
    assert not is_alive(second)
    assert not is_alive(third)


def test_a_worker_that_fails_at_its_start_is_started_at_a_bounded_pace(
    begin: Callable[..., Family],
) -> None:
    family = begin("sys.exit(1)", count=1)
    family.wait_for_starts(3)
    began_at, before = time.monotonic(), len(family.started())
    family.wait_for_starts(before + 5)
    assert time.monotonic() - began_at > 4 * 0.4
    family.parent.terminate()
    assert family.parent.wait() == 1


def test_a_worker_that_is_refused_is_not_started_again_and_the_others_go_on(
    begin: Callable[..., Family], manager: Manager
) -> None:
    family = begin()
    manager.wait_for("READY=1")
    family.parent.terminate()
    assert family.parent.wait() == 0
    family = begin(f"if file.read_text().split()[2:3] == [str(os.getpid())]: sys.exit(2)\n{WAIT}")
    family.parent.wait_for_log("ended with exit code 2")
    family.wait_for_starts(4)
    time.sleep(0.6)
    assert len(family.started()) == 4
    assert sum(map(is_alive, family.started())) == 1
    family.parent.terminate()
    assert family.parent.wait() == 2


def test_all_are_refused_and_the_parent_ends_so_too(begin: Callable[..., Family]) -> None:
    family = begin("sys.exit(2)", count=3)
    assert family.parent.wait() == 2
    assert len(family.started()) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_every_worker_and_a_second_one_too(
    begin: Callable[..., Family], manager: Manager, number: signal.Signals
) -> None:
    twice = (
        "signals = []\n"
        "def take(number, frame):\n"
        "    signals.append(number)\n"
        "    if len(signals) == 2: os._exit(128 + number)\n"
        "for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, take)\n"
        "service.notify('STATUS=listening', 'READY=1')\n"
    )
    family = begin(twice + WAIT)
    family.wait_for_starts(2)
    manager.wait_for("READY=1")
    time.sleep(0.5)
    # A terminal sends Ctrl-C to all of its group: a worker would hear it twice, and end at once.
    groups = {os.getpgid(pid) for pid in (family.parent.pid, *family.started())}
    assert len(groups) == 3
    os.kill(family.parent.pid, number)
    manager.wait_for("STOPPING=1")
    time.sleep(0.5)
    assert all(map(is_alive, family.started()))
    os.kill(family.parent.pid, number)
    assert family.parent.wait() == 128 + number
    assert not any(map(is_alive, family.started()))


def test_a_worker_that_ends_badly_at_its_stop_shows_in_the_exit_code(
    begin: Callable[..., Family], manager: Manager
) -> None:
    family = begin(at_sigterm=70)
    manager.wait_for("READY=1")
    family.parent.terminate()
    assert family.parent.wait() == 70


def test_a_worker_that_hangs_is_killed_and_started_again(
    begin: Callable[..., Family], manager: Manager
) -> None:
    family = begin(f"if len(file.read_text().split()) == 1: time.sleep(60)\n{WAIT}", count=1)
    hanging, fresh = family.wait_for_starts(2)
    assert not is_alive(hanging)
    family.parent.wait_for_log("a worker process hangs, and is killed")
    time.sleep(4)
    assert family.started() == [hanging, fresh]


def test_no_worker_outlives_a_parent_that_is_killed(
    dsn: Callable[..., str], double: StripeDouble, launch: Callable[..., Worker], manager: Manager
) -> None:
    parent = launch(
        (*OURS, "--processes", "2"),
        database_url=dsn("payout_worker"),
        stripe=double.url,
        NOTIFY_SOCKET=manager.address,
    )
    manager.wait_for("READY=1", seconds=90)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text(encoding="ascii")
    pids = [int(pid) for pid in children.split()]
    assert len(pids) == 2
    parent.kill()
    wait_until(lambda: not any(map(is_alive, pids)))
