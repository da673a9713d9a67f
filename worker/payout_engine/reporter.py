"""Tells the database what Stripe said: outcomes that fall together share one call, none is lost.

A call that cannot be made now is repeated for as long as the process lives.
"""

from __future__ import annotations

import asyncio
import collections
import logging
import math
from collections.abc import Callable
from typing import Final

from psycopg.types.json import Jsonb

from payout_engine import errors
from payout_engine.database import Database, Row
from payout_engine.stripe_payout_adapter import Outcome

logger = logging.getLogger(__name__)

GATHERING_SECONDS: Final = 0.01
REFUSED_AGAIN_AFTER_SECONDS: Final = 30.0
MOST_IN_A_REPORT: Final = 500


class Reporter:
    """Reports outcomes, many in a call; one that is refused, or waits, holds up no other."""

    def __init__(
        self, *, database: Database, on_reported: Callable[[Outcome, Row], None] | None = None
    ) -> None:
        self._database = database
        self._on_reported = on_reported or log_reported
        self._waiting: list[Outcome] = []
        self._task: asyncio.Task[None] | None = None
        self.unreported = 0
        """How many outcomes the database does not have yet."""

    def add(self, outcome: Outcome) -> None:
        """Take an outcome over."""
        self.unreported += 1
        self._enqueue(outcome)

    async def flush(self, *, seconds: float = math.inf) -> None:
        """Return when nothing is left to report, or when the time is over."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=seconds)

    async def close(self, *, seconds: float) -> None:
        """Report for so many seconds more; what remains then is left to the leases."""
        await self.flush(seconds=seconds)
        if self._task is not None:
            self._task.cancel()
        if self.unreported:
            logger.error("%d outcomes could not be reported", self.unreported)

    def _enqueue(self, outcome: Outcome) -> None:
        self._waiting.append(outcome)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._report_all())

    async def _report_all(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHERING_SECONDS)
            outcomes = self._waiting[:MOST_IN_A_REPORT]
            del self._waiting[:MOST_IN_A_REPORT]
            await self._report(outcomes)

    async def _report(self, outcomes: list[Outcome]) -> None:
        try:
            rows = await self._database.call(
                "report_outcomes",
                patience_seconds=math.inf,
                waits_for_others=False,  # one outcome may wait for a person's open transaction
                p_outcomes=Jsonb(outcomes),
            )
        except Exception as error:
            if len(outcomes) == 1:
                await self._report_refused(outcomes[0], error)
            else:
                for outcome in outcomes:
                    await self._report([outcome])
            return
        self.unreported -= len(outcomes)
        try:
            self._tell(outcomes, rows)
        except Exception:  # a broken pipe, say; other outcomes still wait for their report
            logger.exception("what was reported could not be told")

    def _tell(self, outcomes: list[Outcome], rows: list[Row]) -> None:
        by_identity = {_identity(row): row for row in rows}
        for outcome in outcomes:
            row = by_identity.get(_identity(outcome))
            if row is None:
                logger.error("no answer of the database to %s", describe(outcome))
            else:
                self._on_reported(outcome, row)
        states = collections.Counter(str(row["state"]) for row in rows)
        logger.info("reported %s", ", ".join(f"{n} {state}" for state, n in states.items()))

    async def _report_refused(self, outcome: Outcome, error: Exception) -> None:
        plain = _plain(outcome)
        logger.error("refused: %s: %s", describe(outcome), errors.tell(error))
        if not errors.is_data_refused(error):
            loop = asyncio.get_running_loop()
            loop.call_later(REFUSED_AGAIN_AFTER_SECONDS, self._enqueue, outcome)
        elif outcome != plain:
            await self._report([plain])
        else:  # nothing is left that could be said
            logger.critical("given up, to be found when its lease runs out: %s", describe(outcome))
            self.unreported -= 1


def describe(outcome: Outcome) -> str:
    """Return one line that tells which transfer it is and what came back."""
    transfer, generation, attempt = _identity(outcome)
    parts = (
        outcome["signal"],
        outcome.get("http_status"),
        outcome.get("stripe_transfer_id") or outcome.get("error_code"),
        outcome.get("detail"),
    )
    told = " ".join(str(part) for part in parts if part is not None)
    told = " ".join(told.split())  # one line, whatever Stripe wrote
    return f"transfer {transfer} (generation {generation}, attempt {attempt}): {told}"


def log_reported(outcome: Outcome, row: Row) -> None:
    """Log what became of an outcome: at ERROR an alarm, which calls for a person."""
    verdict, state = row.get("verdict"), row.get("state")
    level = logging.INFO
    if verdict == "alarm":
        level = logging.ERROR
    elif verdict == "ok" and state == "paid":
        level = logging.DEBUG
    if logger.isEnabledFor(level):
        logger.log(level, "%s -> %s, %s", describe(outcome), verdict, state)


def _identity(row: Row) -> tuple[object, object, object]:
    return row["payout_transfer_id"], row["generation"], row["attempt"]


def _plain(outcome: Outcome) -> Outcome:
    """Return the outcome without anything that Stripe, or the network, could have written."""
    kept = (
        "payout_transfer_id",
        "generation",
        "attempt",
        "idempotency_key",
        "signal",
        "http_status",
    )
    plain = {name: outcome[name] for name in kept if name in outcome}
    if plain["signal"] == "response":
        plain["signal"] = "unreadable"
    return plain
