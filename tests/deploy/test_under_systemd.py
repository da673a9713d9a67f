"""The unit under a systemd that is PID 1: started, watched, started again and stopped by it.

The unit is installed by the lines of docs/deploy.md, in a machine of its own.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest

from payout_engine import processes
from payout_engine_sandbox.stripe_double import Latch, StripeDouble
from tests.conftest import ROOT
from tests.crash.workers import CANARY, wait_until
from tests.deploy.machine import Machine
from tests.deploy.test_systemd import STOP_SECONDS
from tests.worker.test_app import settle, wait_until_paid

PAGE: Final = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
DROP_IN: Final = "/etc/systemd/system/payout-engine.service.d/override.conf"
UNIT: Final = "payout-engine"
WHY_NOT: Final = Machine.why_not()

pytestmark = [
    pytest.mark.proof,
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.skipif(WHY_NOT is not None, reason=f"no systemd can be started: {WHY_NOT}"),
]


@pytest.fixture
def double() -> Iterator[StripeDouble]:
    with StripeDouble.in_thread() as double:
        yield double


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as machine:
        yield machine


@pytest.fixture
def install(
    machine: Machine, double: StripeDouble, dsn: Callable[..., str]
) -> Callable[..., list[str]]:
    """Install the unit as the page says, without starting it; return the lines that start it."""

    def install(drop_in: str = "") -> list[str]:
        [block] = re.findall(r"## systemd\n.*?```sh\n(.*?)```", PAGE, re.DOTALL)
        _, folder, *secrets, unit, start, look = block.splitlines()
        texts = [dsn("payout_worker"), CANARY]
        for line, text in zip([folder, *secrets, unit], ["", *texts, ""], strict=True):
            machine.do("sh", "-ec", f"umask 077\n{line}", text=f"{text}\n")
        modes = machine.ask("sh", "-c", "stat -c %a /etc/payout-engine /etc/payout-engine/*")
        assert modes.split() == ["700", "600", "600"]
        # Python looks for its library where it was built, which may be in a home.
        settings = ("LD_LIBRARY_PATH=/opt/python/lib", f"STRIPE_API_BASE={double.url}")
        machine.write("/etc/payout-engine/environment", "\n".join(settings))
        if drop_in:
            machine.write(DROP_IN, f"[Service]\n{drop_in}")
        return [start, look]

    return install


def state(machine: Machine) -> list[str]:
    return machine.show(UNIT, "ActiveState", "Result", "NRestarts")


def runs(machine: Machine, *, restarts: int) -> None:
    """Return when the service is ready after so many restarts."""
    wait_until(
        lambda: state(machine) == ["active", "success", str(restarts)],
        tell=lambda: (state(machine), machine.log()),
    )


def test_it_is_started_once_it_is_ready_and_stopped_in_time_with_a_request_under_way(
    machine: Machine,
    install: Callable[..., list[str]],
    double: StripeDouble,
    dsn: Callable[..., str],
) -> None:
    named, answered = Latch(), Latch()
    account = {"method": "GET", "path": "/v1/account", "times": None}
    double.inject("answer_delayed", **account, hold_before=named)
    start, look = install()
    machine.do("sh", "-ec", start.replace("--now", "--now --no-block"))
    named.wait_until_reached()
    assert state(machine) == ["activating", "success", "0"]
    named.open()
    double.clear_faults()
    # systemctl returns when the service is ready.
    machine.do("systemctl", "start", UNIT)
    assert state(machine) == ["active", "success", "0"]
    [status] = machine.show(UNIT, "StatusText")
    assert "Stripe account acct_platform in test mode" in status
    settle(dsn(), "set_1")
    wait_until_paid(dsn(), 1)
    told = machine.run("sh", "-c", look)
    ready = [line for line in told.stdout.splitlines() if '"event": "ready"' in line]
    assert [json.loads(line)["message"] for line in ready[-1:]] == [status], told.stdout
    assert CANARY not in told.stdout

    double.inject("answer_delayed", hold_after=answered)
    settle(dsn(), "set_2")
    answered.wait_until_reached()
    began_at = time.monotonic()
    machine.do("systemctl", "stop", UNIT)
    assert time.monotonic() - began_at < STOP_SECONDS
    answered.open()
    assert state(machine) == ["inactive", "success", "0"]
    with psycopg.connect(dsn()) as connection:
        states = connection.execute("select state from payout.transfer_states order by state")
        assert states.fetchall() == [("paid",), ("unknown",)]


def test_it_is_started_again_when_it_is_killed_or_gives_no_sign_of_life(
    machine: Machine, install: Callable[..., list[str]], dsn: Callable[..., str]
) -> None:
    start, _ = install("WatchdogSec=4\nTimeoutAbortSec=1\n")
    machine.do("sh", "-ec", start)
    runs(machine, restarts=0)
    [first] = machine.show(UNIT, "MainPID")
    machine.run("systemctl", "kill", "--signal=KILL", UNIT)
    runs(machine, restarts=1)
    settle(dsn(), "set_1")
    wait_until_paid(dsn(), 1)

    machine.run("systemctl", "kill", "--signal=STOP", UNIT)
    runs(machine, restarts=2)
    assert "Watchdog timeout (limit 4s)!" in machine.log()
    assert machine.show(UNIT, "MainPID") != [first]
    settle(dsn(), "set_2")
    wait_until_paid(dsn(), 2)
    machine.do("systemctl", "stop", UNIT)


def test_it_stays_down_while_stripe_refuses_its_key_until_a_person_restarts_it(
    machine: Machine,
    install: Callable[..., list[str]],
    double: StripeDouble,
    dsn: Callable[..., str],
) -> None:
    double.revoke_key(api_key=CANARY)
    start, _ = install()
    assert machine.run("sh", "-ec", start).returncode != 0
    assert state(machine) == ["failed", "exit-code", "0"]
    assert machine.show(UNIT, "ExecMainStatus") == [str(processes.EXIT_REFUSED)]
    time.sleep(3)  # longer than RestartSec
    assert state(machine) == ["failed", "exit-code", "0"]

    machine.write("/etc/payout-engine/stripe-api-key", "sk_test_another\n")
    machine.do("systemctl", "restart", UNIT)
    assert state(machine) == ["active", "success", "0"]
    settle(dsn(), "set_1")
    wait_until_paid(dsn(), 1)


def test_several_processes_are_one_service_that_is_ready_and_stopped_as_one(
    machine: Machine,
    install: Callable[..., list[str]],
    dsn: Callable[..., str],
) -> None:
    port = random.randrange(9_500, 15_000)
    [command] = re.findall(r"`(ExecStart=/opt/\S+ worker .*)`, each on a line", PAGE)
    command = re.sub(":9464 --processes 4$", f":{port} --processes 2", command)
    start, _ = install(f"ExecStart=\n{command}\n")
    machine.do("sh", "-ec", start)
    runs(machine, restarts=0)
    with psycopg.connect(dsn()) as connection:
        alive = connection.execute("select from payout_api.workers where is_alive")
        assert alive.rowcount == 2
    for number in (port, port + 1):
        address = f"http://127.0.0.1:{number}/readyz"
        assert machine.ask("curl", "--silent", "--show-error", address) == "ready"
    settle(dsn(), "set_1")
    wait_until_paid(dsn(), 1)
    machine.do("systemctl", "stop", UNIT)
    assert state(machine) == ["inactive", "success", "0"]
