"""Carries pages of Stripe's lists to the database, which judges them and says what is read next.

One page is in memory at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import aiohttp
from psycopg.types.json import Jsonb

from payout_engine import errors, rows
from payout_engine.backoff import Backoff
from payout_engine.database import Database, worker_name
from payout_engine.stripe_payout_adapter import Page, Refused, StripePayoutAdapter, Unreadable

logger = logging.getLogger(__name__)

# It takes how many objects are seen, and about how many there are.
OnProgress: TypeAlias = Callable[[int, int], None]

READ_FAILURES: Final = (Refused, Unreadable, aiohttp.ClientError, TimeoutError)
READS_AT_ONCE: Final = 3
RATE_LIMITED: Final = 429
TRIES: Final = 6
FIRST_PAUSE_SECONDS: Final = 0.5
RETRY_SECONDS: Final = 30.0


class NewestUnread(Exception):
    """Stripe's newest transfers cannot be read, so nothing may be claimed."""

    def __init__(self, error: Exception) -> None:
        is_forbidden = isinstance(error, Refused) and error.status in (401, 403)
        super().__init__(
            "nothing is claimed, because Stripe's newest transfers cannot be compared with the "
            f"books: {type(error).__name__}: {error}"
            + ("; the key needs the right to read transfers" if is_forbidden else "")
        )


class Reconciler:
    """Reads Stripe's lists for the database. It is safe to repeat, and to cancel anywhere.

    A transient failure of a page (the connection, 429, 5xx, half an answer) is repeated: six tries
    in some fifteen seconds. Then, and at once for any other refusal, 401 and 403 among them, the
    error is raised: the caller comes back later. A 403 or 404 of one list says nothing of the
    others, so one failing read delays no other.
    """

    def __init__(self, *, database: Database, adapter: StripePayoutAdapter) -> None:
        self._database = database
        self._adapter = adapter

    async def run(self, on_progress: OnProgress = lambda *_: None) -> dict[str, int | None]:
        """Read everything there is to read now; return counts, None for a kind that failed.

        Only the comparison of all transfers raises: a key may read transfers but no events.
        Reversals come last, with those that events and comparison brought up.
        """
        await self._adapter.account_id()
        lookups, events = await self._try("lookup"), await self._try("events")
        [compared] = await self.read("comparison", on_progress)
        return {
            "look-ups": lookups,
            "new events": events,
            "reversals booked": await self._try("reversals"),
            "transfers compared": compared["objects_seen"],
            "discrepancies found": compared["objects_found"],
        }

    async def compare_newest(self) -> None:
        """Compare Stripe's newest transfers with the books, if the database wants that now.

        Raises NewestUnread, with Stripe's error, if they cannot be read.
        """
        try:
            await self.read("newest")
        except READ_FAILURES as error:
            raise NewestUnread(error) from None

    async def read(
        self, kind: str, on_progress: OnProgress = lambda *_: None
    ) -> list[rows.ReadReport]:
        """Read all of a kind that the database hands out; return the last report of each read.

        One that fails delays no other, and comes up again. Raises only if all that were handed
        out together fail.
        """
        reports: list[rows.ReadReport] = []
        while True:
            reads: list[rows.Read] = await self._database.call(
                "claim_reads",
                p_worker=worker_name(),
                p_limit=READS_AT_ONCE,
                p_kind=kind,
                **await self._adapter.identity(),
            )
            ended = await asyncio.gather(
                *(self._carry(read, on_progress) for read in reads), return_exceptions=True
            )
            failures = [result for result in ended if isinstance(result, BaseException)]
            if failures and len(failures) == len(ended):
                raise failures[0]
            for failure in failures:
                reason = errors.one_line(failure)
                told = "a read failed, and comes up again: %s"
                logger.error(told, reason, extra={"event": "read_failed"})
            reports += [result for result in ended if not isinstance(result, BaseException)]
            if len(reads) < READS_AT_ONCE:
                return reports

    async def _try(self, kind: str) -> int | None:
        """Read all of a kind; return the look-ups, or the sum of what the others found."""
        try:
            reports = await self.read(kind)
        except Exception as error:
            reason = errors.one_line(error)
            told = "reading %s failed, and comes up again: %s"
            logger.error(told, kind, reason, extra={"event": "read_failed"})
            return None
        return sum(1 if kind == "lookup" else report["objects_found"] for report in reports)

    async def _carry(self, read: rows.Read, on_progress: OnProgress) -> rows.ReadReport:
        """Carry a read to its end. Where another process is ahead, go on where that one is."""
        on_progress(read["objects_seen"], read["objects_expected"])
        parameters: dict[str, Any] | None = read["parameters"]
        turn_in_seconds = read["read_in_seconds"]
        while parameters is not None:
            await asyncio.sleep(turn_in_seconds)
            page = await self._page(read, parameters)
            report = await self._report(read, parameters, page)
            on_progress(report["objects_seen"], read["objects_expected"])
            parameters, turn_in_seconds = report["next_parameters"], report["read_in_seconds"]
        level = logging.ERROR if report["is_alarm"] else logging.INFO
        logger.log(level, "%s", report["result"], extra={"event": "read_ended"})
        return report

    async def _report(
        self, read: rows.Read, parameters: Mapping[str, Any], page: Page | None
    ) -> rows.ReadReport:
        """Report a page, or that Stripe refused it for its rate."""
        report: rows.ReadReport
        [report] = await self._database.call(
            "report_page",
            retry_seconds=RETRY_SECONDS,
            p_read_id=read["read_id"],
            p_token=read["token"],
            p_parameters=Jsonb(parameters),
            p_objects=page and Jsonb(page.data),
            p_has_more=page and page.has_more,
            p_is_rate_limited=page is None,
        )
        return report

    async def _page(self, read: rows.Read, parameters: Mapping[str, Any]) -> Page:
        """Read a page; after a transient failure again, several times."""
        path = read["path"]
        backoff = Backoff(first_seconds=FIRST_PAUSE_SECONDS, longest_seconds=8.0, jitter=0.5)
        tries_left = TRIES
        while True:
            tries_left -= 1
            try:
                return await self._adapter.list_page(path, parameters)
            except Exception as error:
                if not tries_left or not _is_transient(error):
                    raise
                told, reason = "%s fails, to be repeated: %s", errors.one_line(error)
                logger.warning(told, path, reason, extra={"event": "page_failed"})
                is_rate_limited = isinstance(error, Refused) and error.status == RATE_LIMITED
            if is_rate_limited:
                refused = await self._report(read, parameters, None)
                await asyncio.sleep(refused["read_in_seconds"])
            else:
                await backoff.pause()


def _is_transient(error: Exception) -> bool:
    if isinstance(error, Refused):
        return error.status == RATE_LIMITED or (error.status or 0) >= 500
    return isinstance(error, aiohttp.ClientError | Unreadable | TimeoutError)
