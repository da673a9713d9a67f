"""The queue as a test looks at it: which bells wait, who fetched one, how old it is."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tests.conftest import Connection

OUR_TASK: Final = "payout.execute"
FETCH: Final = "select id from procrastinate_fetch_job_v2(array['payouts'], null)"
REGISTER: Final = "select payout_api.register_payee(%s, %s)"


class Bell(NamedTuple):
    """A queue job of ours."""

    payout_job_id: int | None
    status: str


def bells(db: Connection) -> dict[int, Bell]:
    """Return every bell in the queue by its id, in the order in which they rang."""
    rows = db.execute(
        "select id, (args ->> 'payout_job_id')::bigint, status::text "
        "from procrastinate.procrastinate_jobs where task_name = %s order by id",
        [OUR_TASK],
    )
    return {bell_id: Bell(payout_job_id, status) for bell_id, payout_job_id, status in rows}


def bells_of_transfers(db: Connection) -> list[int | None]:
    """Return the bell of each transfer, in the order of the transfers."""
    rows = db.execute("select doorbell_id from payout.transfer_states order by payout_transfer_id")
    return [doorbell_id for (doorbell_id,) in rows]


def shares(db: Connection) -> list[int]:
    """Return for how many transfers each bell rings, in the order in which they rang."""
    rows = db.execute(
        "select count(*) from payout.transfer_states where doorbell_id is not null "
        "group by doorbell_id order by doorbell_id"
    )
    return [count for (count,) in rows]


def rung(db: Connection) -> int:
    """Sweep, and return how many bells it rang."""
    return int(db.execute("select doorbells_rung from payout_api.sweep()").fetchall()[0][0])


def queue(db: Connection, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """Run a statement as procrastinate does, which names its tables bare."""
    db.execute("set search_path = procrastinate")
    cursor = db.execute(statement, parameters)
    rows = cursor.fetchall() if cursor.description else []
    db.execute("reset search_path")
    return rows


def fetch_bell(db: Connection) -> int:
    """Fetch the oldest bell as a worker of procrastinate, and return its id."""
    return int(queue(db, FETCH)[0][0])


def lose_bells(db: Connection) -> None:
    """Empty the queue."""
    db.execute(
        "truncate procrastinate.procrastinate_jobs, procrastinate.procrastinate_events cascade"
    )


def age_bells(db: Connection, interval: str) -> None:
    """Let everything that happened in the queue have happened so much earlier."""
    db.execute("update procrastinate.procrastinate_events set at = at - %s::interval", [interval])
