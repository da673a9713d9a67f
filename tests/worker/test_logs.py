"""The log delays nothing, contains no secret, and loses lines rather than time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worker.fakes import CANARY

ROOT = Path(__file__).resolve().parents[2]
START = "import logging, sys; from payout_engine import logs; lines = logs.start('INFO'); "


def run(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", START + code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)


def test_an_event_is_one_line_on_standard_error() -> None:
    done = run("logging.getLogger('payout_engine.x').warning('a %s', 'b'); logs.finish(lines)")
    [line] = done.stderr.splitlines()
    assert line.endswith(" WARNING payout_engine.x: a b")
    assert done.stdout == ""


def test_secrets_are_struck_out_of_messages_and_tracebacks() -> None:
    code = (
        f"key = '{CANARY}'; log = logging.getLogger('x')\n"
        "log.warning('with %s', key)\n"
        "try: raise ValueError('postgresql://u:hidden@h/d ' + key)\n"
        "except ValueError: log.exception('failed')\n"
        "import warnings; warnings.warn(key)\n"
        "logs.finish(lines)"
    )
    logged = run(code).stderr
    assert "ValueError" in logged
    assert logged.count("***") >= 4
    assert CANARY not in logged
    assert "hidden" not in logged


@pytest.mark.parametrize("command", ["execute 1", "reconcile", "doctor"])
def test_the_other_commands_strike_secrets_out_as_well(command: str) -> None:
    token = "ct_0123456789abcdef0123456789abcdef"
    code = (
        "import logging\n"
        "from payout_engine import cli\n"
        "async def fail(*arguments):\n"
        f"    try: raise ValueError('sk_live_51AbCdEf with {token}')\n"
        "    except ValueError: logging.getLogger('payout_engine.pump').exception('failed')\n"
        "    return 3\n"
        "cli._settings_that_connect = lambda: None\n"
        "cli._execute = cli._reconcile = cli._doctor = fail\n"
        f"assert cli.main({command.split()}) == 3"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("ERROR failed\nTraceback")
    assert done.stderr.endswith("ValueError: *** with ***\n")


def test_a_reader_that_does_not_read_delays_nothing() -> None:
    code = (
        "import os\n"
        "for n in range(20_000): logging.getLogger('x').error('%d %s', n, 'a' * 200)\n"
        "os.write(1, b'through')\n"
        "logs.finish(lines)\n"
        "os._exit(0)"
    )
    reading, writing = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-c", START + code],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=writing,
            timeout=30,
        )
    finally:
        os.close(writing)
        os.close(reading)
    assert (done.returncode, done.stdout) == (0, b"through")


def test_the_sdk_logs_no_bodies_even_at_debug() -> None:
    code = "import payout_engine.stripe_payout_adapter; print(logging.getLogger('stripe').level)"
    assert run(code).stdout.strip() == "30"
