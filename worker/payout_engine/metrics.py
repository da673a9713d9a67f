"""The metrics of a worker process: counters of its own work, and the gauges of the whole engine.

The gauges are read by one worker at a time (`payout_api.measure`). No label has an id, a name that
a person gave, or a secret. To count costs a transfer some microseconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from payout_engine import RELEASE
from payout_engine.rows import Measurement, Order, Outcome, Report

ANSWERS: Final = ("2xx", "3xx", "4xx", "429", "5xx", "not_sent", "no_response", "unreadable")
CLAIM_RESULTS: Final = ("transfers", "nothing", "refused", "failed")
# Gauges that are not read again within this time are no longer told.
GAUGES_LAST_SECONDS: Final = 45.0

disable_created_metrics()  # type: ignore[no-untyped-call]
registry: Final = CollectorRegistry()
ProcessCollector(registry=registry)

counter: Final = partial(Counter, registry=registry)
gauge: Final = partial(Gauge, registry=registry)
histogram: Final = partial(Histogram, registry=registry)

INFO: Final = gauge("payout_worker_info", "One for each worker, with its release.", ["release"])
READY: Final = gauge("payout_worker_ready", "One while /readyz says so.")
CLAIMS: Final = counter("payout_claims", "Claims, by result.", ["result"])
CLAIMED: Final = counter("payout_claimed_transfers", "Transfers claimed.")
SENDS: Final = counter("payout_sends", "Requests for a transfer to Stripe, by answer.", ["answer"])
UNDER_WAY: Final = gauge("payout_sends_under_way", "Requests for a transfer without an answer.")
SEND_SECONDS: Final = histogram(
    "payout_send_seconds",
    "Time from the send of a request to its answer.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 20),
)
UNREPORTED: Final = gauge("payout_unreported_outcomes", "Outcomes that the database does not have.")
REPORTS: Final = counter(
    "payout_reports",
    "Outcomes reported, by verdict and state of the transfer.",
    ["verdict", "state"],
)
LATENCY_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400)
TO_STRIPE_SECONDS: Final = histogram(
    "payout_settlement_to_stripe_seconds",
    "Time from when a transfer was due, as a rule its settlement's commit, to its first send.",
    buckets=LATENCY_BUCKETS,
)
TO_PAID_SECONDS: Final = histogram(
    "payout_settlement_to_paid_seconds",
    "Time from when a transfer was due under its key to the report that it is paid.",
    buckets=LATENCY_BUCKETS,
)
CALL_SECONDS: Final = histogram(
    "payout_call_seconds",
    "Time of a call of a database function.",
    ["function"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
)
CALL_FAILURES: Final = counter(
    "payout_call_failures", "Calls of a database function that failed.", ["function"]
)
ALARMS: Final = counter("payout_alarms", "Alarms that this worker's calls raised.")
DELIVERIES: Final = counter(
    "payout_alarm_deliveries", "Deliveries to the alarm hook, by result.", ["result"]
)

for _answer in ANSWERS:
    SENDS.labels(_answer)
for _result in CLAIM_RESULTS:
    CLAIMS.labels(_result)
for _result in ("delivered", "failed"):
    DELIVERIES.labels(_result)
INFO.labels(RELEASE).set(1)

_problems: dict[str, str] = {}
READY.set_function(lambda: not _problems)


def note_problem(part: str, problem: str | None) -> None:
    """Note why this worker is not ready for a part of its work; None: it is."""
    if problem is None:
        _problems.pop(part, None)
    else:
        _problems[part] = problem


def problems() -> list[str]:
    """Return why this worker is not ready, one sentence for each part."""
    return [f"{part}: {problem}" for part, problem in _problems.items()]


def note_send(order: Order, *, due_at: float, now: float) -> None:
    """Note that a request is about to be sent."""
    if order["attempt"] == 1:
        TO_STRIPE_SECONDS.observe(max(0.0, now - due_at))


def note_answer(outcome: Outcome, *, seconds: float) -> None:
    """Note the outcome of a request."""
    SENDS.labels(_answer_of(outcome)).inc()
    SEND_SECONDS.observe(seconds)


def note_report(report: Report, *, due_at: float | None, now: float) -> None:
    """Note the verdict of the database on an outcome, of a transfer that was due at a time."""
    REPORTS.labels(report["verdict"], report["state"] or "none").inc()
    if due_at is not None and (report["verdict"], report["state"]) == ("ok", "paid"):
        TO_PAID_SECONDS.observe(max(0.0, now - due_at))


def _answer_of(outcome: Outcome) -> str:
    status = outcome.get("http_status")
    if outcome["signal"] != "response" or status is None:
        return outcome["signal"]
    if status == 429:
        return "429"
    return f"{status // 100}xx" if 200 <= status < 600 else "unreadable"


class EngineGauges(Collector):
    """The gauges of the engine, as the database told them last; none once they are old."""

    def __init__(self) -> None:
        self._rows: list[Measurement] = []
        self._told_at = 0.0

    def tell(self, rows: list[Measurement]) -> None:
        """Take the newest rows: none, where another worker measures."""
        self._rows, self._told_at = rows, time.monotonic()

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name none: they are the database's."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give each gauge with its series."""
        if time.monotonic() - self._told_at > GAUGES_LAST_SECONDS:
            return
        families: dict[str, GaugeMetricFamily] = {}
        for row in self._rows:
            labels = sorted(row["labels"])
            family = families.setdefault(
                row["metric"], GaugeMetricFamily(row["metric"], row["meaning"], labels=labels)
            )
            family.add_metric([row["labels"][name] for name in labels], row["value"])
        yield from families.values()


engine_gauges: Final = EngineGauges()
registry.register(engine_gauges)
