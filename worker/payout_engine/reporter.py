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
from payout_engine.rows import Outcome, Report, claim_of
from payout_engine.stripe_payout_adapter import boot_seconds

logger = logging.getLogger(__name__)

GATHERING_SECONDS: Final = 0.01
# A refusal may pass: of a lock soon, of a missing right once somebody has granted it.
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
MOST_IN_A_REPORT: Final = 500


class Item(NamedTuple):
    """An outcome, with the facts of its transfer that its report does not tell."""

    outcome: Outcome
    settlement_id: str | None
    due_at: float | None
    """On the clock of `boot_seconds`."""

    @property
    def fields(self) -> dict[str, object]:
        """The fields by which the log names the outcome."""
        names = ("payout_transfer_id", "generation", "attempt", "stripe_request_id")
        found: dict[str, object] = {name: self.outcome.get(name) for name in names}
        return found | {"settlement_id": self.settlement_id}


class Reporter:
    """Reports outcomes, many in a call; one that is refused, or waits, delays no other."""

    def __init__(
        self, *, database: Database, on_reported: Callable[[Outcome, Report], None] | None = None
    ) -> None:
        self._database = database
        self._on_reported = on_reported
        self._waiting: list[Item] = []
        self._refused: list[Item] = []
        self._task: asyncio.Task[None] | None = None
        self._repeating: asyncio.Task[None] | None = None
        self.unreported = 0
        """The number of outcomes that the database does not have yet."""
        metrics.UNREPORTED.set_function(lambda: self.unreported)

    def add(
        self, outcome: Outcome, *, settlement_id: str | None = None, due_at: float | None = None
    ) -> None:
        """Take an outcome over."""
        self.unreported += 1
        self._waiting.append(Item(outcome, settlement_id, due_at))
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
            items = self._waiting[:MOST_IN_A_REPORT]
            del self._waiting[:MOST_IN_A_REPORT]
            await self._report(items)

    async def _report_again(self) -> None:
        """Report each refused outcome by itself, beside the others, after pauses that grow."""
        backoff = Backoff(first_seconds=FIRST_PAUSE_SECONDS, longest_seconds=LONGEST_PAUSE_SECONDS)
        while self._refused:
            await backoff.pause()
            items, self._refused = self._refused, []
            for item in items:
                await self._report([item])

    async def _report(self, items: list[Item]) -> None:
        try:
            reports: list[Report] = await self._database.call(
                "report_outcomes",
                retry_seconds=math.inf,
                retry_timeouts=False,  # one outcome may wait for an operator's open transaction
                p_outcomes=Jsonb([item.outcome for item in items]),
            )
        except Exception as error:
            if len(items) == 1:
                await self._report_refused(items[0], error)
            else:
                for item in items:
                    await self._report([item])
            return
        self.unreported -= len(items)
        try:
            self._hand_on(items, reports)
        except Exception:  # a broken pipe, say; other outcomes still wait for their report
            logger.exception("a report could not be handed on", extra={"event": "report_failed"})

    def _hand_on(self, items: list[Item], reports: list[Report]) -> None:
        by_attempt = {_attempt(report): report for report in reports}
        for item in items:
            report = by_attempt.get(_attempt(item.outcome))
            if report is None:
                told = "no answer of the database to %s"
                extra = {"event": "no_verdict", **item.fields}
                logger.error(told, describe(item.outcome), extra=extra)
                continue
            metrics.note_report(report, due_at=item.due_at, now=boot_seconds())
            if self._on_reported is not None:
                self._on_reported(item.outcome, report)
            else:
                log_reported(item.outcome, report, **item.fields)
        states = collections.Counter(str(report["state"]) for report in reports)
        counts = ", ".join(f"{n} {state}" for state, n in states.items())
        logger.info("reported %s", counts, extra={"event": "reported"})

    async def _report_refused(self, item: Item, error: Exception) -> None:
        told, reason = describe(item.outcome), errors.one_line(error)
        extra = {"event": "report_refused", **item.fields}
        logger.error("refused: %s: %s", told, reason, extra=extra)
        plain = _plain(item.outcome)
        if not errors.is_data_refused(error):
            self._refused.append(item)
            if self._repeating is None or self._repeating.done():
                self._repeating = asyncio.create_task(self._report_again())
        elif item.outcome != plain:
            await self._report([item._replace(outcome=plain)])
        else:  # even the plain form is refused
            self.unreported -= 1
            extra |= {"event": "outcome_given_up"}
            logger.critical("given up, to be found when its lease runs out: %s", told, extra=extra)


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


def _attempt(row: Outcome | Report) -> tuple[int, int, int]:
    return row["payout_transfer_id"], row["generation"], row["attempt"]


def _plain(outcome: Outcome) -> Outcome:
    """Return the outcome without any text that Stripe, or the network, could have written."""
    signal = "unreadable" if outcome["signal"] == "response" else outcome["signal"]
    plain: Outcome = claim_of(outcome) | {"signal": signal}
    if "http_status" in outcome:
        plain["http_status"] = outcome["http_status"]
    return plain
