"""The log delays nothing, contains no secret, and loses lines rather than time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
