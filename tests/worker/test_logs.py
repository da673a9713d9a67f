"""The log delays nothing, contains no secret, and loses lines rather than time."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.worker.fakes import CANARY

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "deploy.md"
START = "import logging, sys; from payout_engine import logs; lines = logs.start('INFO')\n"


def run(code: str, *, form: str = "text") -> subprocess.CompletedProcess[str]:
    start = START.replace("'INFO'", f"'INFO', form='{form}', worker='worker_1'")
    command = [sys.executable, "-c", start + code]
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


def read(stderr: str) -> list[dict[str, Any]]:
    """Return the objects of a log, one of each line."""
    return [json.loads(line) for line in stderr.splitlines()]


def test_an_event_is_one_json_object_with_its_ids_and_the_time_in_utc() -> None:
    code = (
        "extra = {'event': 'outcome', 'payout_transfer_id': 7, 'settlement_id': 'set_1', "
        "'generation': 2, 'attempt': 3, 'stripe_request_id': 'req_1', 'verdict': None, 'odd': 1}\n"
        "logging.getLogger('payout_engine.x').warning('a %s\\nb', 'ü', extra=extra)\n"
        "logs.finish(lines)"
    )
    done = run(code, form="json")
    [line] = read(done.stderr)
    at = datetime.fromisoformat(line.pop("time"))
    assert at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)
    assert line == {
        "level": "WARNING",
        "event": "outcome",
        "worker": "worker_1",
        "payout_transfer_id": 7,
        "settlement_id": "set_1",
        "generation": 2,
        "attempt": 3,
        "stripe_request_id": "req_1",
        "logger": "payout_engine.x",
        "message": "a ü\nb",
    }
    assert done.stdout == ""


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_are_struck_out_in_either_form(form: str) -> None:
    code = (
        f"key = '{CANARY}'; log = logging.getLogger('x')\n"
        "token = 'ct_0123456789abcdef'\n"
        "extra = {'event': key, 'settlement_id': 'password=hidden'}\n"
        "log.warning('with \"%s\"', key, extra=extra)\n"
        "log.warning(f'\"password=hidden\" postgresql://u:hidden@h:1/d {token}')\n"
        "try: raise ValueError('postgresql://u:hidden@h/d ' + key)\n"
        "except ValueError as error:\n"
        "    try: raise KeyError(token) from error\n"
        "    except KeyError: log.exception('failed')\n"
        "import warnings; warnings.warn(key)\n"
        "logging.getLogger('procrastinate').error('p', extra={'action': 'run password=hidden'})\n"
        "logs.finish(lines)"
    )
    logged = run(code, form=form).stderr
    for secret in (CANARY, "hidden", "ct_0123456789abcdef"):
        assert secret not in logged
    assert logged.count("***") >= 6
    assert "KeyError" in logged
    if form == "json":
        lines = read(logged)
        assert [line["logger"] for line in lines] == [*["x"] * 3, "py.warnings", "procrastinate"]
        assert [line["event"] for line in lines] == ["***", "log", "log", "log", "run password=***"]
        assert lines[2]["exception"].startswith("Traceback (most recent call last):\n")
        assert lines[2]["message"] == "failed"


@pytest.mark.parametrize("text", ["message", "exception"])
@pytest.mark.parametrize("character", ["a", "\n", "\x00", "ü", "\U0001f600", "\ud800"])
def test_a_long_line_is_cut_and_stays_an_object(text: str, character: str) -> None:
    """A line of up to 4,096 bytes is written whole, also where processes share a pipe."""
    code = {
        "message": f"logging.error({character!r} * 9000 + 'end')",
        "exception": f"try: raise ValueError({character!r} * 9000 + 'end')\n"
        "except ValueError: logging.exception('failed')",
    }[text]
    done = run(f"{code}\nlogs.finish(lines)", form="json")
    assert 1000 < len(done.stderr.encode()) <= 4096
    [line] = read(done.stderr)
    if text == "exception":
        assert line["exception"].endswith("end")
        assert line["message"] == "failed"


def test_a_fault_in_a_call_that_logs_is_no_fault_of_the_caller() -> None:
    code = "logging.raiseExceptions = False; logging.error('%d', 'x'); print('through')"
    assert run(code, form="json").stdout == "through\n"


@pytest.mark.parametrize("name", ["procrastinate.utils", "asyncio"])
def test_a_lost_connection_of_the_queue_is_left_to_the_line_that_says_it_once(name: str) -> None:
    """asyncio tells of a task of procrastinate's that nobody waited for."""
    code = (
        "from procrastinate.exceptions import ConnectorException\n"
        f"log = logging.getLogger('{name}')\n"
        "for error in (ConnectorException('gone'), ValueError('odd')):\n"
        "    try: raise error\n"
        "    except Exception: log.exception('listener error')\n"
        "logs.finish(lines)"
    )
    [line] = read(run(code, form="json").stderr)
    assert line["exception"].endswith("ValueError: odd")


def calls_that_log() -> list[tuple[str, ast.Call]]:
    """Return every call of a logger in the package."""
    found = []
    for file in sorted((ROOT / "worker" / "payout_engine").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger."):
                found.append((f"{file.name}:{node.lineno}", node))
    return [(at, node) for at, node in found if "isEnabledFor" not in ast.unparse(node.func)]


def test_each_line_of_ours_names_its_event_and_each_event_is_documented() -> None:
    """An event is the text at `event` of the `extra` of its call."""
    events = set()
    for at, call in calls_that_log():
        named = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert "extra" in named, f"{at} names no event"
    package = ROOT / "worker" / "payout_engine"
    text = "".join(file.read_text(encoding="utf-8") for file in sorted(package.glob("*.py")))
    events |= set(re.findall(r'"event": "(\w+)"', text))
    documented = set(
        re.findall(r"^\| `(\w+)` \| [A-Z]{2}", DOCUMENT.read_text(), flags=re.MULTILINE)
    )
    assert documented == events | {"alarm", "database_warning"}
