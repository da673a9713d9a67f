"""The rows that `payout_api` hands to a worker, and the outcomes that it takes from one.

A test compares each type with the columns of its function, in names, order and types.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NotRequired, TypedDict


class Order(TypedDict):
    """A row of `claim_transfers`: a request to send once, under a lease."""

    payout_transfer_id: int
    generation: int
    attempt: int
    idempotency_key: str
    claim_token: str
    request: dict[str, Any]
    lease_seconds: float
    deadline_seconds: float
    send_in_seconds: float
    due_for_seconds: float


class Outcome(TypedDict):
    """An element of the array that `report_outcomes` takes, of the type `payout.outcome`.

    `body` is the answer as it came. SQL reads it into the other attributes of that type.
    """

    payout_transfer_id: int
    generation: int
    attempt: int
    idempotency_key: str
    claim_token: str
    signal: str
    detail: NotRequired[str | None]
    http_status: NotRequired[int | None]
    stripe_request_id: NotRequired[str | None]
    is_tied: NotRequired[bool]
    is_replayed: NotRequired[bool]
    should_retry: NotRequired[str | None]
    rate_limited_reason: NotRequired[str | None]
    retry_after_seconds: NotRequired[int | None]
    body: NotRequired[dict[str, Any]]


def claim_of(row: Mapping[str, object]) -> Any:
    """Return the attributes by which an outcome names the claim of its order."""
    names = ("payout_transfer_id", "generation", "attempt", "idempotency_key", "claim_token")
    return {name: row[name] for name in names}


class Report(TypedDict):
    """A row of `report_outcomes`: the verdict on one outcome."""

    payout_transfer_id: int
    generation: int
    attempt: int
    verdict: str
    state: str | None


class Read(TypedDict):
    """A row of `claim_reads`: a list to read at Stripe, from these parameters on."""

    read_id: int
    kind: str
    token: str
    path: str
    parameters: dict[str, Any]
    objects_seen: int
    objects_expected: int
    read_in_seconds: float


class ReadReport(TypedDict):
    """The row of `report_page`; without next parameters the read is at its end."""

    next_parameters: dict[str, Any] | None
    objects_seen: int
    objects_found: int
    result: str | None
    is_alarm: bool
    read_in_seconds: float


class OpenDiscrepancies(TypedDict):
    """A row of `open_discrepancies`: those of one kind."""

    kind: str
    open_count: int
    since: datetime
    advice: str


class Sweep(TypedDict):
    """The row of `sweep`: counts of the rows that it changed."""

    leases_expired: int
    transfers_parked: int
    transfers_reopened: int
    wakeups_queued: int


class Beat(TypedDict):
    """The row of `heartbeat`."""

    is_on_hold: bool


class Measurement(TypedDict):
    """A row of `measure`: one value of a gauge."""

    metric: str
    meaning: str
    labels: dict[str, Any]
    value: float


class Check(TypedDict):
    """A row of `doctor`."""

    check_name: str
    status: str
    detail: str
    hint: str | None


class Entry(TypedDict):
    """A row of `ledger_page`: an entry of the ledger."""

    entry_id: int
    booked_at: datetime
    kind: str
    debit_account: str
    credit_account: str
    amount: Decimal | None
    amount_minor: int
    currency: str
    settlement_id: str
    payee_id: str
    transfer_id: int
    stripe_transfer_id: str | None
    stripe_reversal_id: str | None


class LedgerTotal(TypedDict):
    """A row of `ledger_totals`: an account, or those of all payees, over an interval."""

    account: str
    currency: str
    accounts: int
    debit_minor: Decimal
    credit_minor: Decimal
    opening: Decimal | None
    debit: Decimal | None
    credit: Decimal | None
    closing: Decimal | None


class Section(TypedDict):
    """A row of `summary`: the first rows of one list, and how many it has."""

    section: str
    row_count: int
    content: list[dict[str, Any]]
