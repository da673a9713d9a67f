"""Reports outcomes to the database: those that come together share a call, and none is lost.

A call that fails for the moment is repeated for as long as the process lives.
"""

from __future__ import annotations

import asyncio
import collections
import logging
import math
from collections.abc import Callable
from typing import Final, NamedTuple

from psycopg.types.json import Jsonb

from payout_engine import errors, metrics
from payout_engine.backoff import Backoff
from payout_engine.database import Database
from payout_engine.rows import Outcome, Report
from payout_engine.stripe_payout_adapter import boot_seconds

logger = logging.getLogger(__name__)

GATHERING_SECONDS: Final = 0.01
# A refusal may pass: of a lock soon, of a missing right once somebody has granted it.
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
MOST_IN_A_REPORT: Final = 500


class Origin(NamedTuple):
    """The facts of a transfer that its report does not tell."""

    settlement_id: str | None = None
    due_at: float | None = None
    """On the clock of `boot_seconds`."""


NOWHERE: Final = Origin()


class Reporter:
    """Reports outcomes, many in a call; one that is refused, or waits, delays no other."""

    def __init__(
        self, *, database: Database, on_reported: Callable[[Outcome, Report], None] | None = None
    ) -> None:
        self._database = database
        self._on_reported = on_reported
        self._waiting: list[Outcome] = []
        self._refused: list[Outcome] = []
        self._task: asyncio.Task[None] | None = None
        self._repeating: asyncio.Task[None] | None = None
        self._origins: dict[tuple[int, int, int], Origin] = {}
        metrics.UNREPORTED.set_function(lambda: self.unreported)

    @property
    def unreported(self) -> int:
        """The number of outcomes that the database does not have yet."""
        return len(self._origins)

    def add(self, outcome: Outcome, origin: Origin = NOWHERE) -> None:
        """Take an outcome over."""
        self._origins[_attempt(outcome)] = origin
        self._waiting.append(outcome)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._report_all())

    async def flush(self, *, seconds: float = math.inf) -> None:
        """Return when nothing is left but refused outcomes, or when the time is over."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=seconds)

    async def close(self, *, seconds: float) -> None:
        """Report for so many seconds more; the rest is left to the leases."""
        await self.flush(seconds=seconds)
        for task in (self._task, self._repeating):
            if task is not None:
                task.cancel()
        if self.unreported:
            told = "%d outcomes could not be reported"
            logger.error(told, self.unreported, extra={"event": "outcomes_unreported"})

    async def _report_all(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHERING_SECONDS)
            outcomes = self._waiting[:MOST_IN_A_REPORT]
            del self._waiting[:MOST_IN_A_REPORT]
            await self._report(outcomes)

    async def _report_again(self) -> None:
        """Report each refused outcome by itself, beside the others, after pauses that grow."""
        backoff = Backoff(first_seconds=FIRST_PAUSE_SECONDS, longest_seconds=LONGEST_PAUSE_SECONDS)
        while self._refused:
            await backoff.pause()
            outcomes, self._refused = self._refused, []
            for outcome in outcomes:
                await self._report([outcome])

    async def _report(self, outcomes: list[Outcome]) -> None:
        try:
            reports: list[Report] = await self._database.call(
                "report_outcomes",
                retry_seconds=math.inf,
                retry_timeouts=False,  # one outcome may wait for an operator's open transaction
                p_outcomes=Jsonb(outcomes),
            )
        except Exception as error:
            if len(outcomes) == 1:
                await self._report_refused(outcomes[0], error)
            else:
                for outcome in outcomes:
                    await self._report([outcome])
            return
        origins = self._forget(outcomes)
        try:
            self._hand_on(outcomes, reports, origins)
        except Exception:  # a broken pipe, say; other outcomes still wait for their report
            logger.exception("a report could not be handed on", extra={"event": "report_failed"})

    def _forget(self, outcomes: list[Outcome]) -> list[Origin]:
        return [self._origins.pop(_attempt(outcome), NOWHERE) for outcome in outcomes]

    def _hand_on(
        self, outcomes: list[Outcome], reports: list[Report], origins: list[Origin]
    ) -> None:
        by_attempt = {_attempt(report): report for report in reports}
        for outcome, origin in zip(outcomes, origins, strict=True):
            report = by_attempt.get(_attempt(outcome))
            fields = _fields(outcome, origin)
            if report is None:
                told = "no answer of the database to %s"
                logger.error(told, describe(outcome), extra={"event": "no_verdict", **fields})
                continue
            metrics.note_report(report, due_at=origin.due_at, now=boot_seconds())
            if self._on_reported is not None:
                self._on_reported(outcome, report)
            else:
                log_reported(outcome, report, **fields)
        states = collections.Counter(str(report["state"]) for report in reports)
        counts = ", ".join(f"{n} {state}" for state, n in states.items())
        logger.info("reported %s", counts, extra={"event": "reported"})

    async def _report_refused(self, outcome: Outcome, error: Exception) -> None:
        plain = _plain(outcome)
        told, reason = f"refused: {describe(outcome)}", errors.one_line(error)
        fields = _fields(outcome, self._origins.get(_attempt(outcome), NOWHERE))
        logger.error("%s: %s", told, reason, extra={"event": "report_refused", **fields})
        if not errors.is_data_refused(error):
            self._refused.append(outcome)
            if self._repeating is None or self._repeating.done():
                self._repeating = asyncio.create_task(self._report_again())
        elif outcome != plain:
            await self._report([plain])
        else:  # even the plain form is refused
            told = "given up, to be found when its lease runs out: %s"
            logger.critical(told, describe(outcome), extra={"event": "outcome_given_up", **fields})
            self._forget([outcome])


def describe(outcome: Outcome) -> str:
    """Return one line with the transfer, its attempt and the answer."""
    transfer, generation, attempt = _attempt(outcome)
    body = outcome.get("body", {})
    error = body.get("error")
    named = error.get("code") if isinstance(error, dict) else body.get("id")
    parts = (
        outcome["signal"],
        outcome.get("http_status"),
        named[:255] if isinstance(named, str) else None,
        outcome.get("detail"),
    )
    answer = " ".join(str(part) for part in parts if part is not None)
    answer = " ".join(answer.split())  # one line, even if Stripe wrote several
    return f"transfer {transfer} (generation {generation}, attempt {attempt}): {answer}"


def log_reported(outcome: Outcome, report: Report, **fields: object) -> None:
    """Log the verdict on an outcome, an alarm at ERROR: operators must see it."""
    verdict, state = report["verdict"], report["state"]
    level = logging.INFO
    if verdict == "alarm":
        level = logging.ERROR
    elif verdict == "ok" and state == "paid":
        level = logging.DEBUG
    if logger.isEnabledFor(level):
        extra = {"event": "outcome", "verdict": verdict, "state": state, **fields}
        logger.log(level, "%s -> %s, %s", describe(outcome), verdict, state, extra=extra)


def _fields(outcome: Outcome, origin: Origin) -> dict[str, object]:
    """Return the fields by which the log names an outcome."""
    names = ("payout_transfer_id", "generation", "attempt", "stripe_request_id")
    found: dict[str, object] = {name: outcome.get(name) for name in names}
    return found | {"settlement_id": origin.settlement_id}


def _attempt(row: Outcome | Report) -> tuple[int, int, int]:
    return row["payout_transfer_id"], row["generation"], row["attempt"]


def _plain(outcome: Outcome) -> Outcome:
    """Return the outcome without any text that Stripe, or the network, could have written."""
    plain: Outcome = {
        "payout_transfer_id": outcome["payout_transfer_id"],
        "generation": outcome["generation"],
        "attempt": outcome["attempt"],
        "idempotency_key": outcome["idempotency_key"],
        "claim_token": outcome["claim_token"],
        "signal": "unreadable" if outcome["signal"] == "response" else outcome["signal"],
    }
    if "http_status" in outcome:
        plain["http_status"] = outcome["http_status"]
    return plain
