"""From the first settlement to the last answer: two workers pay, one is killed, another one comes.

Everything it knows it reads as the auditor; it tells the engine nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import psycopg
from psycopg.rows import DictRow
from rich.console import Console

from payout_engine_sandbox.demo.processes import Stop
from payout_engine_sandbox.demo.progress import SETTLED, Progress
from payout_engine_sandbox.demo.report import heading
from payout_engine_sandbox.demo.scenario import Batch
from payout_engine_sandbox.demo.stand import Stand

POLL_SECONDS: Final = 0.2
# Some 40 s are usual: the lease of the killed worker, and a few more.
DEADLINE_SECONDS: Final = 110.0
SOON_SECONDS: Final = 10.0
OVERVIEW: Final = """
    select s.state::text as state, count(*)::integer as transfers,
        coalesce(extract(epoch from min(s.next_attempt_at) filter (where s.hold_id is null)
            - clock_timestamp()), 'Infinity')::float8 as due_in_seconds
    from payout.transfer_states as s
    group by s.state
"""
# The name under which a worker claims ends with its process id.
HELD: Final = """
    select substring(a.worker from '[0-9]+$')::integer as pid, count(*) as transfers,
        extract(epoch from max(s.lease_until) - clock_timestamp())::float8 as seconds_left,
        clock_timestamp() as now
    from payout.transfer_states as s
    join payout.transfer_attempts as a
        on a.payout_transfer_id = s.payout_transfer_id and a.attempt = s.attempt
    where s.state = 'in_flight'
    group by pid
"""
SESSIONS: Final = "select from pg_stat_activity where application_name ~ %s"
TAKEN_OVER: Final = """
    select extract(epoch from min(l.claimed_at) - %(died_at)s)::float8 as resumed_after,
        extract(epoch from max(f.observed_at) - %(died_at)s)::float8 as settled_after,
        count(*) filter (where f.is_replayed and f.moved_to = 'paid') as made_before
    from payout.transfer_observations as o
    join payout.transfer_attempts as a
        on a.payout_transfer_id = o.payout_transfer_id and a.attempt = o.attempt
    join payout.transfer_attempts as l
        on l.payout_transfer_id = a.payout_transfer_id and l.attempt > a.attempt
    left join payout.transfer_observations as f
        on f.payout_transfer_id = l.payout_transfer_id and f.attempt = l.attempt
    where o.signal = 'lease_expired' and substring(a.worker from '[0-9]+$')::integer = %(pid)s
"""


@dataclass(frozen=True, kw_only=True)
class Crash:
    """A worker that was killed while it held transfers."""

    name: str
    pid: int
    after_seconds: float
    died_at: datetime
    """By the database's clock."""
    held: int
    """The transfers that it held then."""


class Run:
    """One run of the engine under the eyes of an auditor."""

    def __init__(
        self,
        *,
        stand: Stand,
        auditor: psycopg.Connection[DictRow],
        progress: Progress,
        stop: Stop,
    ) -> None:
        self._stand = stand
        self._auditor = auditor
        self._progress = progress
        self._stop = stop
        self._workers: dict[int, str] = {}
        self._crash: Crash | None = None
        self._states: Counter[str] = Counter()
        self._is_quiet = False

    def play(self, batches: list[Batch]) -> None:
        """Load everything, kill a worker on the way, and return when nothing moves any more."""
        with self._progress:
            payees = self._stand.register_payees(batches)
            self._progress.say(f"{payees:,} payees registered, each with a Stripe account")
            self._start_worker()
            self._start_worker()
            for batch in batches:
                self._stand.load(batch)
                self._progress.say(
                    f"{batch.name}: {len(batch.totals_minor)} settlements, {len(batch.lines):,} "
                    f"lines, {batch.transfers:,} transfers loaded with \\copy"
                )
            while not self._is_quiet and self._progress.seconds < DEADLINE_SECONDS:
                self._look()
                time.sleep(POLL_SECONDS)
            if self._is_quiet:
                self._progress.say("nothing is under way or due soon")

    def find_problems(self) -> list[str]:
        """Return the deviations from the plan, a line each."""
        problems = []
        if not self._is_quiet:
            left = ", ".join(
                f"{count} {state}" for state, count in self._states.items() if state not in SETTLED
            )
            problems.append(f"not finished after {DEADLINE_SECONDS:.0f} s: {left}")
        if self._crash is None:
            problems.append("no worker could be killed while it held transfers")
        return problems

    def show_crash(self, console: Console) -> None:
        """Print which worker was killed, and when its transfers were sent again."""
        if self._crash is None:
            return
        crash = self._crash
        heading(console, "The killed worker, and its transfers")
        console.print(
            f"{crash.name} was killed with SIGKILL at {crash.after_seconds:.1f} s, "
            f"holding {crash.held} transfers."
        )
        found = self._auditor.execute(
            TAKEN_OVER, {"pid": crash.pid, "died_at": crash.died_at}
        ).fetchone()
        if found and found["settled_after"] is not None:
            console.print(
                "When its leases had run out, the others sent them again under the same keys, "
                f"{found['resumed_after']:.1f} s to {found['settled_after']:.1f} s after the kill. "
                f"{found['made_before']} of them Stripe had made before: it made none twice."
            )

    def _start_worker(self) -> None:
        name = f"worker-{len(self._workers) + 1}"
        pid = self._stand.start_worker(name)
        self._workers[pid] = name
        self._progress.say(f"{name} started (pid {pid})")

    def _look(self) -> None:
        """Look once at the database, show it, and act on it."""
        self._stop.check()
        self._stand.processes.check()
        rows = self._auditor.execute(OVERVIEW).fetchall()
        held = self._held()
        self._states = Counter({row["state"]: row["transfers"] for row in rows})
        self._progress.show(self._states, note=self._describe_leases(held))
        self._is_quiet = not any(
            row["state"] == "in_flight"
            or (row["state"] not in SETTLED and row["due_in_seconds"] < SOON_SECONDS)
            for row in rows
        )
        is_well_under_way = self._states["paid"] * 20 >= self._states.total()
        if self._crash is None and is_well_under_way and held:
            self._kill(max(held, key=lambda pid: int(held[pid]["transfers"])))

    def _held(self) -> dict[int, DictRow]:
        """Return the transfers that each worker holds, by its pid."""
        return {row["pid"]: row for row in self._auditor.execute(HELD)}

    def _describe_leases(self, held: dict[int, DictRow]) -> str:
        if self._crash is None or self._crash.pid not in held:
            return ""
        row = held[self._crash.pid]
        seconds = max(0, row["seconds_left"])
        return f"{row['transfers']} wait for the killed worker's leases to run out, {seconds:.0f} s"

    def _kill(self, pid: int) -> None:
        """Kill a worker, and note the transfers that it held once the server has heard of it.

        The server carries out a report that it had before; what that one settles is held no more.
        """
        name = self._workers[pid]
        self._stand.processes.kill(name)
        while self._auditor.execute(SESSIONS, [f"^payout-engine .* {pid}$"]).fetchone():
            self._stop.check()
            time.sleep(POLL_SECONDS)
        if row := self._held().get(pid):
            self._crash = Crash(
                name=name,
                pid=pid,
                after_seconds=self._progress.seconds,
                died_at=row["now"],
                held=row["transfers"],
            )
            self._progress.say(f"{name} killed with SIGKILL, holding {row['transfers']} transfers")
        self._start_worker()
