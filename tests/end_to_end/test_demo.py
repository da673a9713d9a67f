"""A small demo: it reconciles, it can be stopped, and it names every disagreement.

The tests look for processes left behind by a mark that every process of a demo has in its
environment.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from payout_engine_sandbox.demo.reconciliation import Facts, find_problems
from payout_engine_sandbox.demo.scenario import MARKETS, Batch, Line, draw_batches

CHECKOUT: Final = Path(__file__).resolve().parents[2]
SMALL: Final = ("--settlements=30", "--crowd=100", "--lease-seconds=8")

SUPERUSERS: Final = """
    select count(*) from pg_stat_activity as a join pg_roles as r on r.rolname = a.usename
    where r.rolsuper and a.backend_type = 'client backend'
"""

needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")


class Demo:
    """A demo in a process of its own."""

    def __init__(self, *options: str, scratch: Path, **environment: str) -> None:
        self.mark = f"DEMO_MARK={secrets.token_hex(8)}"
        self._scratch = scratch
        name, _, value = self.mark.partition("=")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "payout_engine_sandbox.demo", *SMALL, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=CHECKOUT,
            env=os.environ | {name: value, "TMPDIR": str(scratch)} | environment,
        )

    def read_until(self, text: str) -> str:
        """Return its output up to the line with a text."""
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if text in line:
                return "".join(lines)
        pytest.fail(f"it ended without saying {text!r}: {lines}")

    def finish(self) -> tuple[int, str, str]:
        """Wait for its end; return the exit code and the rest of its output."""
        out, err = self.process.communicate()
        return self.process.returncode, out, err

    def leftovers(self) -> list[str]:
        """Return the files and command lines of processes that are left of it."""
        left = [str(path) for path in self._scratch.iterdir()]
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(FileNotFoundError, PermissionError, ProcessLookupError):
                if self.mark in (process / "environ").read_bytes().decode(errors="replace"):
                    left.append((process / "cmdline").read_text().replace("\0", " "))
        return left


def ask(psql: str, uri: str, query: str) -> str:
    """Return the one value that psql prints."""
    command = [psql, "-X", "-A", "-t", "-c", query, uri]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    demos: list[Demo] = []

    def start_demo(*options: str, **environment: str) -> Demo:
        demos.append(Demo(*options, scratch=tmp_path, **environment))
        return demos[-1]

    yield start_demo
    for demo in demos:
        demo.process.kill()
        demo.process.communicate()


@pytest.mark.proof
@pytest.mark.long
@needs_proc
def test_the_demo_pays_each_transfer_once_although_a_worker_is_killed(
    start: Callable[..., Demo],
) -> None:
    demo = start("--keep", DATABASE_URL="postgresql://nobody@nowhere/", PGOPTIONS="-c no_such=1")
    out = demo.read_until("Ctrl-C ends it.")
    for line in (
        "DATABASE_URL is set and not used",
        "killed with SIGKILL, holding ",
        "failed: balance insufficient",
        "failed: payee cannot receive",
        "failed: payee account",
        "Made more than once at Stripe, counted by payout_ref: 0",
        "Everything reconciles: ",
        "the others sent them again under the same keys",
        "none twice, none forgotten.",
        "Why is seller_07 not paid?",
        "transfers that waited are paid to acct_seller_07_b ",
    ):
        assert line in out
    assert "NOT EQUAL" not in out
    for login in ("demo_operator", "demo_auditor"):
        found = re.search(rf"^  (\S+/psql) (postgresql://{login}:\S+)$", out, re.MULTILINE)
        assert found is not None
        assert (
            ask(found[1], found[2], "select sum(transfers) > 200 from payout_api.overview") == "t"
        )
        assert ask(found[1], found[2], SUPERUSERS) == "0"
    demo.process.send_signal(signal.SIGINT)
    assert demo.finish() == (0, "\nEvery process of the demo has ended.\n", "")
    assert demo.leftovers() == []


# The second moment is while it watches, before its workers have begun: they cost the most.
@needs_proc
@pytest.mark.parametrize(
    ("moment", "how"),
    [("payout-engine demo", signal.SIGTERM), ("crowd: 1 settlements", signal.SIGINT)],
)
def test_a_signal_ends_the_demo_with_one_line_and_leaves_nothing(
    start: Callable[..., Demo], moment: str, how: signal.Signals
) -> None:
    demo = start()
    demo.read_until(moment)
    demo.process.send_signal(how)
    demo.process.send_signal(how)
    code, out, err = demo.finish()
    assert (code, err) == (128 + how, "")
    assert out.splitlines()[-1] == f"Stopped by {how.name}; every process of the demo has ended."
    assert demo.leftovers() == []


@needs_proc
def test_a_killed_demo_leaves_nothing(start: Callable[..., Demo]) -> None:
    demo = start()
    demo.read_until("worker-2 started")
    # The first worker may have been killed by now, as the demo does.
    running = "\n".join(demo.leftovers())
    for part in ("payout_engine worker", "payout_engine_sandbox.stripe_double", "bin/postgres"):
        assert part in running
    demo.process.kill()
    demo.finish()
    deadline = time.monotonic() + 20
    while left := demo.leftovers():
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_two_runs_pay_the_same() -> None:
    assert draw_batches(settlements=20, crowd=3) == draw_batches(settlements=20, crowd=3)


BATCHES: Final = [
    Batch(
        name="eur",
        market=MARKETS["eur"],
        lines=[Line("set_1", 1, "a", 5), Line("set_1", 2, "b", 7)],
    )
]
PAID: Final = {
    "payout_ref": "payout_a",
    "currency": "eur",
    "amount_minor": 5,
    "destination": "acct_a",
    "state": "paid",
    "reason": None,
    "stripe_transfer_id": "tr_a",
}
FAILED: Final = PAID | {
    "payout_ref": "payout_b",
    "amount_minor": 7,
    "destination": "acct_b",
    "state": "failed",
    "stripe_transfer_id": None,
}
MADE: Final = {"id": "tr_a", "currency": "eur", "amount": 5, "destination": "acct_a"}
BALANCE: Final = {
    "currency": "eur",
    "difference_minor": 0,
    "in_flight_minor": 0,
    "open_transfers_minor": 0,
}
GOOD: Final = Facts(
    transfers=[PAID, FAILED],
    unpaid=[],
    booked=[PAID],
    trial_balance=[BALANCE],
    failed_checks=[],
    effects={"payout_a": [MADE]},
    traffic={},
)


def test_facts_that_agree_are_no_problem() -> None:
    assert find_problems(GOOD, BATCHES) == []


def test_an_unknown_transfer_may_exist_at_stripe() -> None:
    unknown = FAILED | {"state": "unknown"}
    facts = replace(
        GOOD, transfers=[PAID, unknown], effects=GOOD.effects | {"payout_b": [MADE | {"amount": 7}]}
    )
    assert find_problems(facts, BATCHES) == []
    assert facts.in_doubt == [unknown]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"effects": {"payout_a": [MADE, MADE]}}, "payout_a is at Stripe 2 times"),
        (
            {"effects": GOOD.effects | {"": [MADE]}},
            "tr_a is at Stripe, and no transfer here explains it",
        ),
        ({"effects": {}}, "payout_a is paid in the books and not at Stripe"),
        (
            {"effects": GOOD.effects | {"payout_b": [MADE]}},
            "payout_b is failed in the books, and Stripe has made it",
        ),
        (
            {"effects": {"payout_a": [MADE | {"amount": 6}]}},
            "payout_a: amount_minor is 5, at Stripe 6",
        ),
        (
            {"transfers": [PAID]},
            "eur: the files owe 2 transfers of 12, the books 1 transfers of 5",
        ),
        (
            {"booked": []},
            "eur: the ledger paid 0 transfers of 0, paid are 1 transfers of 5",
        ),
        (
            {"trial_balance": [BALANCE | {"difference_minor": 1}]},
            "eur: the books are off by 1",
        ),
        (
            {"trial_balance": [BALANCE | {"in_flight_minor": 1}]},
            "eur: 1 in the account in_flight, 0 in open transfers",
        ),
        (
            {"failed_checks": [{"check_name": "every guard stands", "detail": "1 does not"}]},
            "doctor fails: every guard stands (1 does not)",
        ),
    ],
)
def test_facts_that_disagree_are_named(changes: dict[str, Any], problem: str) -> None:
    assert find_problems(replace(GOOD, **changes), BATCHES) == [problem]
