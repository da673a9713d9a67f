"""Carries pages of Stripe's lists to the database, which compares them with its books.

One page is in memory at a time; what a page means, and what is read next, is SQL.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, Final

import aiohttp
from psycopg.types.json import Jsonb

from payout_engine import errors
from payout_engine.database import Database, Row
from payout_engine.stripe_payout_adapter import Page, Refused, StripePayoutAdapter, Unreadable

logger = logging.getLogger(__name__)

TRANSFERS: Final = "/v1/transfers"
EVENTS: Final = "/v1/events"
# Stripe allows 25 a second for each endpoint, to all workers and to whoever else uses the account.
READS_PER_SECOND: Final = 10.0
LOOKUPS_AT_ONCE: Final = 3
TRIES: Final = 6
FIRST_PAUSE_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 30.0


class Reconciler:
    """Looks at Stripe for the database. All it does is safe to repeat, and to cancel anywhere.

    A page that fails in passing (the connection, 429, 5xx, half an answer) is read again, six times
    in some fifteen seconds. What Stripe refuses otherwise, 401 and 403 among it, is raised at once,
    as is what keeps failing: the caller comes back later. A 403 or 404 of one listing says nothing
    of the others, so one reading that fails holds up no other.
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

    async def run(
        self, on_progress: Callable[[Row], None] = lambda _: None
    ) -> dict[str, int | None]:
        """Read everything there is to read now; return how much came of it, None for what failed.

        Only the comparison of all transfers is raised for: a key may read transfers but no events.
        Reversals come last, with those that events and comparison came upon.
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
        """Look for the transfers whose outcome is unknown until none is due; return how many."""
        count = 0
        while True:
            lookups = await self._call(
                "claim_lookups", p_worker=self._worker, p_limit=LOOKUPS_AT_ONCE
            )
            count += await _all_of(map(self._look_for, lookups))
            if len(lookups) < LOOKUPS_AT_ONCE:
                return count

    async def read_events(self) -> int:
        """Read the events feed since the database last did; return how many were new."""
        count = 0
        [row] = await self._call("next_events_query")
        async for starting_after, page in self._pages(EVENTS, row["query"]):
            [taken] = await self._report(
                "report_events_page",
                p_query=Jsonb(row["query"]),
                p_starting_after=starting_after,
                p_events=Jsonb(page.data),
                p_has_more=page.has_more,
            )
            count += taken["events_new"]
        return count

    async def book_reversals(self) -> int:
        """Fetch the reversals of transfers of which more was reversed than is booked.

        Returns how many were booked.
        """
        count = 0
        seen: set[str] = set()
        while True:
            claimed = await self._call(
                "claim_reversal_lookups", p_worker=self._worker, p_limit=LOOKUPS_AT_ONCE
            )
            transfer_ids = {row["stripe_transfer_id"] for row in claimed} - seen
            if not transfer_ids:
                return count  # those that come again do not add up yet: the next time
            count += await _all_of(map(self._book_reversals_of, sorted(transfer_ids)))
            seen |= transfer_ids

    async def reconcile(self, on_progress: Callable[[Row], None] = lambda _: None) -> Row:
        """Go on with the unfinished run, or begin one, and carry it to its end.

        `on_progress` gets the rows of `begin_reconcile` and `report_reconcile_page`; the last one
        is returned. Two processes may carry one run: who falls behind goes on where the other is.
        """
        begun = await self._begin()
        while True:
            on_progress(begun)
            try:
                return await self._carry(begun, on_progress)
            except errors.BadArgument:
                again = await self._begin()
                if _place(again) == _place(begun):
                    raise
                begun = again

    async def _begin(self) -> Row:
        [row] = await self._call("begin_reconcile", p_worker=self._worker)
        return row

    async def _carry(self, begun: Row, on_progress: Callable[[Row], None]) -> Row:
        row: Row = {}
        pages = self._pages(TRANSFERS, begun["query"], starting_after=begun["starting_after"])
        async for starting_after, page in pages:
            [row] = await self._report(
                "report_reconcile_page",
                p_reconcile_run_id=begun["reconcile_run_id"],
                p_query=Jsonb(begun["query"]),
                p_starting_after=starting_after,
                p_transfers=Jsonb(page.data),
                p_has_more=page.has_more,
            )
            on_progress(row)
            if row["is_finished"]:
                break
        # What is new among them, the database has called a person for.
        level = logging.WARNING if row["discrepancies_found"] else logging.INFO
        told = row["transfers_seen"], row["discrepancies_found"]
        logger.log(level, "compared %s transfers of Stripe's: %s discrepancies", *told)
        return row

    async def _look_for(self, lookup: Row) -> int:
        for number, query in enumerate(lookup["queries"]):
            async for starting_after, page in self._pages(TRANSFERS, query):
                [row] = await self._report(
                    "report_lookup_page",
                    p_lookup_id=lookup["lookup_id"],
                    p_query_number=number,
                    p_query=Jsonb(query),
                    p_starting_after=starting_after,
                    p_transfers=Jsonb(page.data),
                    p_has_more=page.has_more,
                )
                if row["is_complete"]:
                    level = logging.ERROR if row["verdict"] == "alarm" else logging.INFO
                    told = lookup["payout_transfer_id"], row["verdict"], row["state"]
                    logger.log(level, "looked for transfer %s -> %s, %s", *told)
        return 1

    async def _book_reversals_of(self, transfer_id: str) -> int:
        reversals: list[Row] = []
        async for _, page in self._pages(f"{TRANSFERS}/{transfer_id}/reversals", {}):
            reversals += page.data
        [row] = await self._report(
            "report_reversals", p_stripe_transfer_id=transfer_id, p_reversals=Jsonb(reversals)
        )
        booked: int = row["reversals_booked"]
        return booked

    async def _call(self, function: str, **arguments: object) -> list[Row]:
        """Call a function that hands out what is to be read in the account of the worker's key."""
        account = {
            "p_stripe_account_id": await self._adapter.account_id(),
            "p_is_livemode": self._is_livemode,
        }
        return await self._database.call(
            function, patience_seconds=0, waits_for_others=True, **arguments, **account
        )

    async def _report(self, function: str, **arguments: object) -> list[Row]:
        return await self._database.call(
            function, patience_seconds=PATIENCE_SECONDS, waits_for_others=True, **arguments
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
        """Read a page; again, after a growing pause, where that may help."""
        pause = FIRST_PAUSE_SECONDS
        for _ in range(TRIES - 1):
            await self._wait_for_turn()
            try:
                return await self._adapter.list_page(path, params)
            except Exception as error:
                if not _is_passing(error):
                    raise
                logger.warning("%s fails, to be repeated: %s", path, errors.tell(error))
            await asyncio.sleep(random.uniform(pause / 2, pause))
            pause *= 2
        await self._wait_for_turn()
        return await self._adapter.list_page(path, params)

    async def _wait_for_turn(self) -> None:
        """Keep a distance between any two reads of this process."""
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next_read_at)
        self._next_read_at = turn + self._gap_seconds
        await asyncio.sleep(turn - now)


async def _attempt(what: str, read: Callable[[], Awaitable[int]]) -> int | None:
    try:
        return await read()
    except Exception as error:
        logger.error("%s failed, and comes up again: %s", what, errors.tell(error))
        return None


async def _all_of(readings: Iterable[Coroutine[Any, Any, int]]) -> int:
    """Read at once and add up; one that fails holds up no other. Raises only if all fail."""
    ended = await asyncio.gather(*readings, return_exceptions=True)
    failures = [result for result in ended if isinstance(result, BaseException)]
    if failures and len(failures) == len(ended):
        raise failures[0]
    for failure in failures:
        logger.error("a reading failed, and comes up again: %s", errors.tell(failure))
    return sum(result for result in ended if isinstance(result, int))


def _place(begun: Row) -> tuple[object, ...]:
    # A copy of the database may give out the same number for another query.
    return begun["reconcile_run_id"], begun["query"], begun["starting_after"]


def _is_passing(error: Exception) -> bool:
    if isinstance(error, Refused):
        return error.status == 429 or (error.status or 0) >= 500
    return isinstance(error, aiohttp.ClientError | Unreadable | TimeoutError)
