"""The steps of a crash test, and the checks of Stripe and the books at its end.

Stripe's side is asked per `payout_ref`, never per key: a second key must not hide a second payment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql

from payout_engine_sandbox.stripe_double import RecordedRequest, StripeDouble
from tests.conftest import Connection
from tests.crash.workers import PATIENCE_SECONDS, Worker, wait_until
from tests.engine import Engine

PAID_BY_THE_BOOK: Final = """
select t.payout_ref, s.stripe_transfer_id, t.amount_minor, t.currency::text,
    (payout.destinations(t))[1]
from payout.payout_transfers as t
join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
where s.state = 'paid'
"""
IS_COMMITTED: Final = """
select from payout.transfer_attempts as a
join payout.payout_transfers as t on t.payout_transfer_id = a.payout_transfer_id
where t.payout_ref = %s and a.generation = %s
"""
SESSIONS: Final = """
select pid from pg_stat_activity
where datname = current_database() and application_name ~ %s
"""


class Story:
    """One marketplace, its engine and its Stripe, while workers come and go."""

    def __init__(self, *, engine: Engine, double: StripeDouble) -> None:
        self.engine = engine
        self.double = double
        self.db = engine.db

    # Steps.

    def settle(self, payees: int, *, settlement_id: str = "set_1", **terms: Any) -> list[int]:
        """Complete a settlement with so many payees; return its transfers."""
        sellers = (f"seller_{number}" for number in range(1, payees + 1))
        return self.engine.settle(*sellers, settlement_id=settlement_id, **terms)

    def let_leases_run_out(self) -> None:
        """Let the time of every worker that holds a transfer be over."""
        self.db.execute(
            "update payout.transfer_states set lease_until = payout.clock() - interval '1 second' "
            "where lease_until is not null"
        )

    def make_due(self) -> None:
        """Let every wait be over, wake the workers, and close leases and keys that ran out."""
        self.engine.make_due()
        self.engine.sweep()

    def empty_the_queue(self) -> None:
        """Lose every wake-up job, with its history."""
        self.db.execute("truncate procrastinate.procrastinate_jobs cascade")

    def wait_for_requests(self, count: int) -> list[RecordedRequest]:
        """Return when so many requests that move money have arrived at Stripe."""
        return self.double.wait_for_requests(count, where=lambda found: found.method == "POST")

    def wait_until_states(self, *, seconds: float = PATIENCE_SECONDS, **expected: int) -> None:
        """Return when exactly so many transfers stand in each state."""
        wait_until(lambda: self.states() == expected, seconds=seconds, tell=self.states)

    def wait_until_gone(self, worker: Worker) -> None:
        """Return when the server is done with the statement of a killed worker, a claim say."""
        wait_until(lambda: not self.sessions(worker))

    def sessions(self, worker: Worker, condition: str = "true") -> list[int]:
        """Return the server processes of a worker that are as described."""
        rows = self.db.execute(f"{SESSIONS} and {condition}", [f"^payout-engine .* {worker.pid}$"])
        return [pid for (pid,) in rows]

    def wait_for_sessions(self, worker: Worker, condition: str = "true") -> list[int]:
        """Return the server processes of a worker that are as described, once there are any."""
        found: list[int] = []

        def are_there() -> bool:
            assert worker.is_alive, worker.log()
            found.extend(self.sessions(worker, condition))
            return bool(found)

        wait_until(are_there)
        return found

    def wait_until_blocked(self, worker: Worker) -> int:
        """Return the server process in which a worker waits for a lock, once it does."""
        return self.wait_for_sessions(worker, "wait_event_type = 'Lock'")[0]

    @contextmanager
    def locked(self, statement: str) -> Iterator[None]:
        """Hold the locks of a statement until the block ends."""
        with (
            psycopg.connect(self.db.info.dsn, password=self.db.info.password) as other,
            other.transaction(),
        ):
            other.execute(sql.SQL(statement))
            yield

    # Results.

    def states(self) -> Counter[str]:
        """Return how many transfers stand in each state."""
        rows = self.db.execute("select state::text from payout.transfer_states")
        return Counter(state for (state,) in rows)

    def wakeup_jobs(self) -> int:
        """Return how many wake-up jobs are in the queue."""
        query = "select from procrastinate.procrastinate_jobs where task_name = 'payout.execute'"
        return self.db.execute(query).rowcount

    def waiting_wakeups(self) -> int:
        """Return how many wake-up jobs are not fetched yet; fetched ones may outlive a worker."""
        query = (
            "select from procrastinate.procrastinate_jobs "
            "where task_name = 'payout.execute' and status = 'todo'"
        )
        return self.db.execute(query).rowcount

    def verdicts(self) -> list[tuple[int, str, str]]:
        """Return attempt, signal and verdict of every observation, in order."""
        rows = self.db.execute(
            "select attempt, signal, verdict from payout.transfer_observations "
            "order by observation_id"
        )
        return [(attempt, signal, verdict) for attempt, signal, verdict in rows]

    def check_no_transfer_is_paid_twice(self) -> list[dict[str, Any]]:
        """Check that Stripe made no two transfers for the same debt; return those it made."""
        effects = self.double.effects_by_payout_ref()
        assert [ref for ref, transfers in effects.items() if len(transfers) != 1] == []
        return [found for (found,) in effects.values()]

    def check_money(self) -> None:
        """Check Stripe against the books: no transfer twice, none that the books deny."""
        made = {
            (
                found["metadata"]["payout_ref"],
                found["id"],
                found["amount"],
                found["currency"],
                found["destination"],
            )
            for found in self.check_no_transfer_is_paid_twice()
        }
        # One snapshot: the report of a worker that was killed may be committed between two.
        with self.db.transaction():
            self.db.execute("set transaction isolation level repeatable read")
            paid = set(self.db.execute(PAID_BY_THE_BOOK).fetchall())
            unpaid = {ref for ref, *_ in made - paid}
            states = self.db.execute(
                "select distinct s.state::text from payout.transfer_states as s "
                "join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id "
                "where t.payout_ref = any (%s)",
                [list(unpaid)],
            ).fetchall()
        assert paid - made == set()
        # Stripe has paid and the engine does not know it yet: the transfer must be in doubt.
        assert {state for (state,) in states} <= {"in_flight", "retry_wait", "unknown", "parked"}
        self.check_books()

    def check_books(self) -> None:
        """Check that the books balance and agree with the states."""
        rows = self.db.execute(
            "select currency::text, difference_minor, in_flight_minor - open_transfers_minor "
            "from payout_api.trial_balance"
        ).fetchall()
        assert rows
        assert [row for row in rows if row[1:] != (0, 0)] == []
        assert self.engine.differences_in_the_books() == []

    def check_each_transfer_is_paid_once(self) -> None:
        """Check that each transfer is paid, by exactly one transfer at Stripe."""
        (owed,) = self.db.execute("select count(*) from payout.payout_transfers").fetchall()[0]
        assert self.states() == {"paid": owed}
        assert len(self.double.transfers()) == owed
        self.check_money()


def key_is_committed(connection: Connection) -> Callable[[RecordedRequest], Any]:
    """Return a hook for the double: a key that arrives there has been committed in the database."""

    async def check(request: RecordedRequest) -> None:
        if request.method == "POST":
            payout_ref, _, generation = str(request.key).partition(":")
            found = connection.execute(IS_COMMITTED, [payout_ref, int(generation)])
            assert found.rowcount, f"Stripe was sent {request.key} before it was written down"

    return check
