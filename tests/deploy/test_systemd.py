"""The unit is valid and hardened, and agrees with the worker in codes, time-outs and settings."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest

from payout_engine import app, engine, processes, pump, service
from payout_engine_sandbox.stripe_double import Latch, StripeDouble
from tests.conftest import ROOT
from tests.crash.workers import CANARY, Worker
from tests.worker.managers import Manager
from tests.worker.test_app import settle, wait_until_paid

UNIT: Final = ROOT / "deploy" / "systemd" / "payout-engine.service"
PROGRAM: Final = "/opt/payout-engine/bin/payout-engine"
ANALYZE: Final = shutil.which("systemd-analyze")
# Points of ten, as `systemd-analyze security` counts; below 2 is its best class.
MOST_EXPOSURE: Final = 1.5
# psycopg's pool and the log take these to close.
CLOSING_SECONDS: Final = 5 + 1
STOP_SECONDS: Final = (
    app.CANCEL_SECONDS
    + engine.STOP_SECONDS
    + pump.GRACE_SECONDS
    + pump.REPORT_SECONDS
    + CLOSING_SECONDS
)

with_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd is not installed")


@pytest.fixture
def double() -> Iterator[StripeDouble]:
    with StripeDouble.in_thread() as double:
        yield double


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(tmp_path / "notify") as manager:
        yield manager


def directives() -> dict[str, list[str]]:
    """Return the values of each directive of the unit, in order."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        name, is_directive, value = line.partition("=")
        if is_directive and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def only(name: str) -> str:
    [value] = directives()[name]
    return value


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit, with a program that exists."""
    unit = tmp_path / UNIT.name
    program = shutil.which("true")
    text = UNIT.read_text(encoding="utf-8")
    assert text.count(PROGRAM) == 1
    unit.write_text(text.replace(PROGRAM, str(program)), encoding="utf-8")
    return unit


@with_systemd
def test_systemd_takes_the_unit_without_a_word(installed: Path) -> None:
    done = subprocess.run(
        [str(ANALYZE), "verify", "--recursive-errors=no", "--man=no", str(installed)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@with_systemd
def test_systemd_finds_a_wrong_directive(installed: Path) -> None:
    """The test before shows something only if this holds."""
    installed.write_text(installed.read_text().replace("Restart=always", "Restart=ever"))
    done = subprocess.run(
        [str(ANALYZE), "verify", "--recursive-errors=no", str(installed)],
        capture_output=True,
        text=True,
    )
    assert "Failed to parse service restart specifier" in done.stderr


@with_systemd
@pytest.mark.parametrize("taken", ["", "CapabilityBoundingSet=", "DynamicUser=yes"])
def test_the_unit_is_hardened(installed: Path, taken: str) -> None:
    """Without one of these it is not, by the same measure."""
    text = installed.read_text(encoding="utf-8")
    assert f"\n{taken}" in text
    installed.write_text(text.replace(taken, "#") if taken else text, encoding="utf-8")
    threshold = f"--threshold={MOST_EXPOSURE * 10:.0f}"
    done = subprocess.run(
        [str(ANALYZE), "security", "--offline=yes", "--no-pager", threshold, str(installed)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode == 0) is not bool(taken), done.stdout


def test_the_unit_gives_up_on_the_exit_code_of_what_a_person_has_to_change() -> None:
    assert only("Restart") == "always"
    assert only("RestartPreventExitStatus") == str(processes.EXIT_REFUSED) == "2"
    assert only("StartLimitIntervalSec") == "0"


def test_the_unit_waits_until_a_worker_has_stopped_by_itself() -> None:
    assert STOP_SECONDS < 40
    assert int(only("TimeoutStopSec")) >= 40 + 10
    # A second signal ends a worker at once, and a parent of several passes its own on.
    assert only("KillMode") == "mixed"


def test_the_unit_hears_of_the_worker_before_it_loses_patience(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (only("Type"), only("NotifyAccess")) == ("notify", "main")
    assert only("TimeoutStartSec") == "infinity"
    monkeypatch.setenv("WATCHDOG_USEC", str(int(only("WatchdogSec")) * 1_000_000))
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert service.watchdog_pause() == 20
    # The process ends itself first when its event loop hangs: the log tells the exit code then.
    assert int(only("WatchdogSec")) - 20 > engine.HANGING_TICKS * engine.TICK_SECONDS


def test_the_command_of_the_unit_becomes_ready_with_its_secrets_in_files(
    manager: Manager,
    tmp_path: Path,
    dsn: Callable[..., str],
    double: StripeDouble,
    launch: Callable[..., Worker],
) -> None:
    secrets = {"database-url": dsn("payout_worker"), "stripe-api-key": CANARY}
    for name, secret in secrets.items():
        (tmp_path / name).write_text(f"{secret}\n", encoding="utf-8")
    credentials = [value.partition(":")[0] for value in directives()["LoadCredential"]]
    assert credentials == list(secrets)
    pairs = only("Environment").replace("%d", str(tmp_path)).split()
    settings = dict(pair.split("=") for pair in pairs)
    program, *arguments = shlex.split(only("ExecStart"))
    assert program == PROGRAM
    worker = launch(
        ("-m", "payout_engine", *arguments),
        stripe=double.url,
        NOTIFY_SOCKET=manager.address,
        **{"database_url": "", "STRIPE_API_KEY": "", **settings},
    )
    manager.wait_for("READY=1")
    worker.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of Linux")
def test_a_worker_pays_where_no_memory_may_become_executable(
    manager: Manager, dsn: Callable[..., str], double: StripeDouble, launch: Callable[..., Worker]
) -> None:
    """MemoryDenyWriteExecute, by the kernel's own switch."""
    assert only("MemoryDenyWriteExecute") == "yes"
    refuse = (
        "import ctypes, os, sys\n"
        "if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0): os._exit(99)\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'payout_engine', 'worker'])"
    )
    worker = launch(
        ("-c", refuse),
        is_fresh=True,
        database_url=dsn("payout_worker"),
        stripe=double.url,
        NOTIFY_SOCKET=manager.address,
    )
    if not worker.is_alive and worker.wait() == 99:
        pytest.skip("this kernel has no such switch: Linux 6.3 has")
    manager.wait_for("READY=1")
    settle(dsn(), "set_1")
    wait_until_paid(dsn(), 1)
    worker.stop()


@pytest.mark.proof
@pytest.mark.long
def test_a_worker_with_a_request_that_is_not_answered_stops_in_time_and_reports_it(
    dsn: Callable[..., str], double: StripeDouble, launch: Callable[..., Worker]
) -> None:
    latch = Latch()
    double.inject("answer_delayed", hold_after=latch)
    worker = launch(database_url=dsn("payout_worker"), stripe=double.url)
    worker.wait_for_log(" mode\n")
    settle(dsn(), "set_1")
    latch.wait_until_reached()
    began_at = time.monotonic()
    worker.terminate()
    assert worker.wait(seconds=STOP_SECONDS) == 0
    assert time.monotonic() - began_at > 1
    with psycopg.connect(dsn()) as connection:
        states = connection.execute("select state from payout.transfer_states").fetchall()
    assert states == [("unknown",)]
    latch.open()


def test_the_documented_exit_codes_are_those_of_the_program() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    for code in (processes.EXIT_REFUSED, engine.EXIT_HANGING, 0, 1):
        assert f"\n| {code} | " in text
