"""The application's side: the outcomes and the status of its settlements, as it reads them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from tests.engine import Engine

READ: Final = "select * from payout_api.outcomes_since(p_after => %s, p_limit => %s)"
DRAWN: Final = (
    "select coalesce(pg_sequence_last_value('payout.outcomes_outcome_id_seq'::regclass), 0)"
)


class Outcome(NamedTuple):
    """A row of `outcomes_since`."""

    outcome_id: int
    settlement_id: str
    payee_id: str
    source_transaction: str | None
    amount_minor: int
    currency: str
    status: str
    reason: str | None
    stripe_transfer_id: str | None
    changed_at: datetime
    reversed_minor: int


class Status(NamedTuple):
    """A row of `payout_status`."""

    settlement_id: str
    payee_id: str
    source_transaction: str | None
    amount_minor: int
    currency: str
    status: str
    reason: str | None
    stripe_transfer_id: str | None
    pay_after: datetime | None
    paid_at: datetime | None
    reversed_minor: int
    changed_at: datetime


def read(connection: Any, after: int = 0, limit: int = 100) -> list[Outcome]:
    """Read outcomes as the application does."""
    return [Outcome(*row) for row in connection.execute(READ, [after, limit])]


def drawn(connection: Any) -> int:
    """Return the last id that was drawn; a test that is undone does not give its ids back."""
    ((last,),) = connection.execute(DRAWN).fetchall()
    return int(last)


def told(engine: Engine, after: int) -> list[tuple[str, str | None]]:
    """Return status and reason of each outcome since then."""
    return [(outcome.status, outcome.reason) for outcome in read(engine.app, after)]


def statuses(engine: Engine, settlement_id: str = "set_1") -> list[Status]:
    """Return the rows of a settlement, in the order of the payees."""
    rows = engine.app.execute(
        "select * from payout_api.payout_status where settlement_id = %s order by payee_id",
        [settlement_id],
    )
    return [Status(*row) for row in rows]


def status(engine: Engine) -> tuple[str, str | None]:
    """Return status and reason of the only transfer of set_1."""
    (row,) = statuses(engine)
    return row.status, row.reason
