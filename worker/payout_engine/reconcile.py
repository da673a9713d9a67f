"""Carries pages of Stripe's lists to the database, which compares them with its books.

One page is in memory at a time; SQL says which list is read next and judges each page.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, Final, TypeAlias

import aiohttp
from psycopg.types.json import Jsonb

from payout_engine import errors, rows
from payout_engine.backoff import Backoff
from payout_engine.database import Database, R
from payout_engine.stripe_payout_adapter import Page, Refused, StripePayoutAdapter, Unreadable

logger = logging.getLogger(__name__)

OnProgress: TypeAlias = Callable[[rows.ReconcileRun | rows.ReconcileReport], None]

TRANSFERS: Final = "/v1/transfers"
EVENTS: Final = "/v1/events"
# Stripe allows 25 a second for each endpoint, to all workers and other programs of the account.
READS_PER_SECOND: Final = 10.0
LOOKUPS_AT_ONCE: Final = 3
TRIES: Final = 6
FIRST_PAUSE_SECONDS: Final = 0.5
RETRY_SECONDS: Final = 30.0


class Reconciler:
    """Reads Stripe's lists for the database. It is safe to repeat, and to cancel anywhere.

    A transient failure of a page (the connection, 429, 5xx, half an answer) is repeated: six tries
    in some fifteen seconds. Then, and at once for any other refusal, 401 and 403 among them, the
    error is raised: the caller comes back later. A 403 or 404 of one listing says nothing of the
    others, so one failing reading delays no other.
    """

    def __init__(
        self,
        *,
        database: Database,
        adapter: StripePayoutAdapter,
        worker: str,
        is_livemode: bool | None,
        reads_per_second: float = READS_PER_SECOND,
    ) -> None:
        self._database = database
        self._adapter = adapter
        self._worker = worker
        self._is_livemode = is_livemode
        self._gap_seconds = 1 / reads_per_second
        self._next_read_at = 0.0

    async def run(self, on_progress: OnProgress = lambda _: None) -> dict[str, int | None]:
        """Read everything there is to read now; return counts, None for a reading that failed.

        Only the comparison of all transfers raises: a key may read transfers but no events.
        Reversals come last, with those that events and comparison brought up.
        """
        await self._adapter.account_id()
        found = {
            "look-ups": await _attempt("looking up", self.look_up),
            "new events": await _attempt("reading events", self.read_events),
        }
        compared = await self.reconcile(on_progress)
        return found | {
            "reversals booked": await _attempt("reading reversals", self.book_reversals),
            "transfers compared": compared["transfers_seen"],
            "discrepancies found": compared["discrepancies_found"],
        }

    async def look_up(self) -> int:
        """Look up the transfers whose outcome is unknown until none is due; return how many."""
        count = 0
        while True:
            lookups: list[rows.Lookup] = await self._call(
                "claim_lookups", p_worker=self._worker, p_limit=LOOKUPS_AT_ONCE
            )
            count += await _all_of(map(self._carry_lookup, lookups))
            if len(lookups) < LOOKUPS_AT_ONCE:
                return count

    async def read_events(self) -> int:
        """Read the events feed since the database last did; return how many were new."""
        count = 0
        events: rows.EventsQuery
        report: rows.EventsReport
        [events] = await self._call("next_events_query")
        async for starting_after, page in self._pages(EVENTS, events["query"]):
            [report] = await self._report(
                "report_events_page",
                p_query=Jsonb(events["query"]),
                p_starting_after=starting_after,
                p_events=Jsonb(page.data),
                p_has_more=page.has_more,
            )
            count += report["events_new"]
        return count

    async def book_reversals(self) -> int:
        """Read reversals where more was reversed than is booked; return how many were booked."""
        count = 0
        seen: set[str] = set()
        while True:
            claimed: list[rows.ReversalLookup] = await self._call(
                "claim_reversal_lookups", p_worker=self._worker, p_limit=LOOKUPS_AT_ONCE
            )
            transfer_ids = {row["stripe_transfer_id"] for row in claimed} - seen
            if not transfer_ids:
                return count  # any that come again do not add up yet: they wait for the next time
            count += await _all_of(map(self._book_reversals_of, sorted(transfer_ids)))
            seen |= transfer_ids

    async def reconcile(self, on_progress: OnProgress = lambda _: None) -> rows.ReconcileReport:
        """Go on with the unfinished run, or begin one, and carry it to its end.

        `on_progress` gets the rows of `begin_reconcile` and `report_reconcile_page`; the last one
        is returned. Two processes may carry one run: the one that falls behind goes on where the
        other is.
        """
        run = await self._begin()
        while True:
            on_progress(run)
            try:
                return await self._carry_run(run, on_progress)
            except errors.BadArgument:
                again = await self._begin()
                if _position(again) == _position(run):
                    raise
                run = again

    async def _begin(self) -> rows.ReconcileRun:
        run: rows.ReconcileRun
        [run] = await self._call("begin_reconcile", p_worker=self._worker)
        return run

    async def _carry_run(
        self, run: rows.ReconcileRun, on_progress: OnProgress
    ) -> rows.ReconcileReport:
        report: rows.ReconcileReport
        pages = self._pages(TRANSFERS, run["query"], starting_after=run["starting_after"])
        async for starting_after, page in pages:
            [report] = await self._report(
                "report_reconcile_page",
                p_reconcile_run_id=run["reconcile_run_id"],
                p_query=Jsonb(run["query"]),
                p_starting_after=starting_after,
                p_transfers=Jsonb(page.data),
                p_has_more=page.has_more,
            )
            on_progress(report)
            if report["is_finished"]:
                break
        # The database has notified operators of the new ones among them.
        level = logging.WARNING if report["discrepancies_found"] else logging.INFO
        counts = report["transfers_seen"], report["discrepancies_found"]
        logger.log(level, "compared %s transfers of Stripe's: %s discrepancies", *counts)
        return report

    async def _carry_lookup(self, lookup: rows.Lookup) -> int:
        report: rows.LookupReport
        for number, query in enumerate(lookup["queries"]):
            async for starting_after, page in self._pages(TRANSFERS, query):
                [report] = await self._report(
                    "report_lookup_page",
                    p_lookup_id=lookup["lookup_id"],
                    p_query_number=number,
                    p_query=Jsonb(query),
                    p_starting_after=starting_after,
                    p_transfers=Jsonb(page.data),
                    p_has_more=page.has_more,
                )
                if report["is_complete"]:
                    level = logging.ERROR if report["verdict"] == "alarm" else logging.INFO
                    result = lookup["payout_transfer_id"], report["verdict"], report["state"]
                    logger.log(level, "looked for transfer %s -> %s, %s", *result)
        return 1

    async def _book_reversals_of(self, transfer_id: str) -> int:
        reversals: list[dict[str, Any]] = []
        async for _, page in self._pages(f"{TRANSFERS}/{transfer_id}/reversals", {}):
            reversals += page.data
        report: rows.ReversalsReport
        [report] = await self._report(
            "report_reversals", p_stripe_transfer_id=transfer_id, p_reversals=Jsonb(reversals)
        )
        return report["reversals_booked"]

    async def _call(self, function: str, **arguments: object) -> list[R]:
        """Call a function that hands out readings of the account of the worker's key."""
        return await self._database.call(
            function,
            retry_seconds=0,
            retry_timeouts=True,
            p_stripe_account_id=await self._adapter.account_id(),
            p_is_livemode=self._is_livemode,
            **arguments,
        )

    async def _report(self, function: str, **arguments: object) -> list[R]:
        return await self._database.call(
            function, retry_seconds=RETRY_SECONDS, retry_timeouts=True, **arguments
        )

    async def _pages(
        self, path: str, query: Mapping[str, Any], *, starting_after: str | None = None
    ) -> AsyncIterator[tuple[str | None, Page]]:
        """Yield each page of a list and the cursor it was asked with, one after the other."""
        has_more = True
        while has_more:
            cursor = {"starting_after": starting_after} if starting_after else {}
            page = await self._page(path, {**query, **cursor})
            yield starting_after, page
            has_more = page.has_more
            if has_more:
                starting_after = page.data[-1]["id"]

    async def _page(self, path: str, params: Mapping[str, Any]) -> Page:
        """Read a page; after a transient failure again, several times."""
        backoff = Backoff(first_seconds=FIRST_PAUSE_SECONDS, longest_seconds=8.0, jitter=0.5)
        tries_left = TRIES
        while True:
            await self._wait_for_turn()
            tries_left -= 1
            try:
                return await self._adapter.list_page(path, params)
            except Exception as error:
                if not tries_left or not _is_transient(error):
                    raise
                logger.warning("%s fails, to be repeated: %s", path, errors.one_line(error))
            await backoff.pause()

    async def _wait_for_turn(self) -> None:
        """Keep a distance between any two reads of this process."""
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next_read_at)
        self._next_read_at = turn + self._gap_seconds
        await asyncio.sleep(turn - now)


async def _attempt(name: str, read: Callable[[], Awaitable[int]]) -> int | None:
    try:
        return await read()
    except Exception as error:
        logger.error("%s failed, and comes up again: %s", name, errors.one_line(error))
        return None


async def _all_of(readings: Iterable[Coroutine[Any, Any, int]]) -> int:
    """Read at once and add up; one that fails delays no other. Raises only if all fail."""
    ended = await asyncio.gather(*readings, return_exceptions=True)
    failures = [result for result in ended if isinstance(result, BaseException)]
    if failures and len(failures) == len(ended):
        raise failures[0]
    for failure in failures:
        logger.error("a reading failed, and comes up again: %s", errors.one_line(failure))
    return sum(result for result in ended if isinstance(result, int))


def _position(run: rows.ReconcileRun) -> tuple[object, ...]:
    # A copy of the database may use the same number for another query.
    return run["reconcile_run_id"], run["query"], run["starting_after"]


def _is_transient(error: Exception) -> bool:
    if isinstance(error, Refused):
        return error.status == 429 or (error.status or 0) >= 500
    return isinstance(error, aiohttp.ClientError | Unreadable | TimeoutError)
