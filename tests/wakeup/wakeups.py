"""The queue as a test reads it: the wake-up jobs that wait, their fetchers and their age."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tests.conftest import Connection

OUR_TASK: Final = "payout.execute"
FETCH: Final = "select id from procrastinate_fetch_job_v2(array['payouts'], null)"
REGISTER: Final = "select payout_api.register_payee(%s, %s)"


class Wakeup(NamedTuple):
    """A queue job of ours."""

    payout_job_id: int | None
    status: str


def wakeups(db: Connection) -> dict[int, Wakeup]:
    """Return every wake-up job in the queue by its id, in the order of queueing."""
    rows = db.execute(
        "select id, (args ->> 'payout_job_id')::bigint, status::text "
        "from procrastinate.procrastinate_jobs where task_name = %s order by id",
        [OUR_TASK],
    )
    return {wakeup_id: Wakeup(payout_job_id, status) for wakeup_id, payout_job_id, status in rows}


def wakeups_of_transfers(db: Connection) -> list[int | None]:
    """Return the wake-up job of each transfer, in the order of the transfers."""
    rows = db.execute("select wakeup_id from payout.transfer_states order by payout_transfer_id")
    return [wakeup_id for (wakeup_id,) in rows]


def shares(db: Connection) -> list[int]:
    """Return for how many transfers each wake-up job is, in the order of queueing."""
    rows = db.execute(
        "select count(*) from payout.transfer_states where wakeup_id is not null "
        "group by wakeup_id order by wakeup_id"
    )
    return [count for (count,) in rows]


def rung(db: Connection) -> int:
    """Sweep, and return how many wake-up jobs it queued."""
    return int(db.execute("select wakeups_queued from payout_api.sweep()").fetchall()[0][0])


def queue(db: Connection, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """Run a statement as procrastinate does, which names its tables bare."""
    db.execute("set search_path = procrastinate")
    cursor = db.execute(statement, parameters)
    rows = cursor.fetchall() if cursor.description else []
    db.execute("reset search_path")
    return rows


def fetch_wakeup(db: Connection) -> int:
    """Fetch the oldest wake-up job as a worker of procrastinate, and return its id."""
    return int(queue(db, FETCH)[0][0])


def lose_wakeups(db: Connection) -> None:
    """Empty the queue."""
    db.execute(
        "truncate procrastinate.procrastinate_jobs, procrastinate.procrastinate_events cascade"
    )


def age_wakeups(db: Connection, interval: str) -> None:
    """Let everything that happened in the queue have happened so much earlier."""
    db.execute("update procrastinate.procrastinate_events set at = at - %s::interval", [interval])
