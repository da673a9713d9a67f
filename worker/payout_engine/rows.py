"""The rows that `payout_api` hands to a worker, and the outcomes that it takes from one.

A test compares each type with the columns of its function, in names, order and types.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NotRequired, TypedDict, final


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


class Outcome(TypedDict):
    """An element of the array that `report_outcomes` takes, of the type `payout.outcome`.

    The last three attributes of that type are for look-ups; SQL fills them itself.
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
    retry_after_seconds: NotRequired[float | None]
    error_type: NotRequired[str | None]
    error_code: NotRequired[str | None]
    error_message: NotRequired[str | None]
    error_param: NotRequired[str | None]
    object: NotRequired[str | None]
    stripe_transfer_id: NotRequired[str | None]
    amount_minor: NotRequired[int | None]
    currency: NotRequired[str | None]
    destination: NotRequired[str | None]
    is_livemode: NotRequired[bool | None]
    payout_ref: NotRequired[str | None]
    amount_reversed_minor: NotRequired[int | None]


class Report(TypedDict):
    """A row of `report_outcomes`: the verdict on one outcome."""

    payout_transfer_id: int
    generation: int
    attempt: int
    verdict: str
    state: str | None


class Lookup(TypedDict):
    """A row of `claim_lookups`: the queries that find a transfer at Stripe, if it is there."""

    lookup_id: int
    payout_transfer_id: int
    queries: list[dict[str, Any]]


class LookupReport(TypedDict):
    """The row of `report_lookup_page`; the last page of a look-up brings the verdict."""

    is_complete: bool
    verdict: str | None
    state: str


class EventsQuery(TypedDict):
    """The row of `next_events_query`."""

    query: dict[str, Any]


class EventsReport(TypedDict):
    """The row of `report_events_page`."""

    events_new: int


class ReversalLookup(TypedDict):
    """A row of `claim_reversal_lookups`: a transfer whose reversals are to be read."""

    stripe_transfer_id: str


class ReversalsReport(TypedDict):
    """The row of `report_reversals`."""

    reversals_booked: int
    is_complete: bool


@final
class ReconcileRun(TypedDict):
    """The row of `begin_reconcile`: the run under way and where it continues."""

    reconcile_run_id: int
    query: dict[str, Any]
    starting_after: str | None
    transfers_seen: int
    transfers_expected: int


@final
class ReconcileReport(TypedDict):
    """The row of `report_reconcile_page`: the counts of the run so far."""

    transfers_seen: int
    discrepancies_found: int
    is_finished: bool


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


class Check(TypedDict):
    """A row of `doctor`."""

    check_name: str
    status: str
    detail: str
    hint: str | None
