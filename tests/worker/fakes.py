"""Stand-ins for the database and the adapter, and a server that answers with given bytes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from payout_engine.database import Database
from payout_engine.errors import PayoutError
from payout_engine.rows import Order, Outcome, Report
from payout_engine.stripe_payout_adapter import Page, StripePayoutAdapter

CANARY = "sk_test_canary0123456789"
STRIPE_NOW = datetime(2030, 1, 1, tzinfo=UTC)


def make_order(number: int = 1, **changes: object) -> Order:
    """Return an order as `claim_transfers` hands it out."""
    payout_ref = f"payout_{number}"
    order: Any = {
        "payout_transfer_id": number,
        "generation": 1,
        "attempt": 1,
        "idempotency_key": f"{payout_ref}:1",
        "claim_token": f"token_{number}",
        "request": {
            "amount": 1500,
            "currency": "usd",
            "destination": "acct_1",
            "transfer_group": payout_ref,
            "metadata": {
                "payout_ref": payout_ref,
                "settlement_id": "set_1",
                "payee_id": "seller_1",
            },
        },
        "lease_seconds": 30.0,
        "deadline_seconds": 20.0,
        "send_in_seconds": 0.0,
        "due_for_seconds": 0.5,
    }
    return order | changes  # type: ignore[no-any-return]


class FakeDatabase(Database):
    """Hands out orders and takes reports, as the payout functions do; remembers every call.

    `on_claim` and `on_report` are awaited first and may raise.
    """

    def __init__(self, orders: int = 0) -> None:
        self.due = [make_order(number) for number in range(1, orders + 1)]
        self.claims: list[dict[str, Any]] = []
        self.reports: list[list[Outcome]] = []
        self.is_quiet = asyncio.Event()
        """Set once every order that was claimed has been reported."""
        self.on_claim: Callable[[], Any] | None = None
        self.on_report: Callable[[list[Outcome]], Any] | None = None
        self._open = 0

    @property
    def reported(self) -> list[Outcome]:
        return list(itertools.chain.from_iterable(self.reports))

    async def call(
        self,
        function: str,
        *,
        retry_seconds: float = 0,
        retry_timeouts: bool = True,
        **arguments: Any,
    ) -> list[Any]:
        if function == "claim_transfers":
            return await self._claim(arguments)
        assert function == "report_outcomes"
        assert retry_seconds > 60
        assert not retry_timeouts
        return await self._report(arguments["p_outcomes"].obj)

    async def _claim(self, arguments: dict[str, Any]) -> list[Order]:
        self.claims.append(arguments)
        await asyncio.sleep(0)
        if self.on_claim is not None:
            await self.on_claim()
        limit = arguments["p_limit"]
        assert limit > 0
        orders, self.due = self.due[:limit], self.due[limit:]
        self._open += len(orders)
        return orders

    async def _report(self, outcomes: list[Outcome]) -> list[Report]:
        await asyncio.sleep(0)
        if self.on_report is not None:
            await self.on_report(outcomes)
        self.reports.append(outcomes)
        self._open -= len(outcomes)
        if not self._open and not self.due:
            self.is_quiet.set()
        return [
            {
                "payout_transfer_id": outcome["payout_transfer_id"],
                "generation": outcome["generation"],
                "attempt": outcome["attempt"],
                "verdict": "ok",
                "state": "paid",
            }
            for outcome in outcomes
        ]


class FakeAdapter(StripePayoutAdapter):
    """Answers each order at once, or when `may_answer` is set; counts the requests under way."""

    _api_key = CANARY

    def __init__(self, *, signal: str = "response", http_status: int = 200) -> None:
        self.signal = signal
        self.http_status = http_status
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.under_way = 0
        self.most_under_way = 0
        self.claimed_at: list[float] = []
        self.doubts = 0

    async def account_id(self) -> str:
        return "acct_platform"

    def stripe_now(self) -> datetime | None:
        return None

    def doubt_time(self) -> None:
        self.doubts += 1

    async def send(self, order: Order, *, claimed_at: float) -> Outcome:
        self.claimed_at.append(claimed_at)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        signal = self.signal
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            signal = "no_response"
        self.under_way -= 1
        return {
            "payout_transfer_id": order["payout_transfer_id"],
            "generation": order["generation"],
            "attempt": order["attempt"],
            "signal": signal,
            "http_status": self.http_status,
        }


@dataclass
class RawServer:
    """A server on loopback that reads, then writes given bytes and closes."""

    port: int
    received: list[bytes] = field(default_factory=list)
    """The bytes that came over each connection, in the order of their acceptance."""


@asynccontextmanager
async def raw_server(
    answer: bytes = b"", *, tls: ssl.SSLContext | None = None, abort: bool = False
) -> AsyncIterator[RawServer]:
    """Run a `RawServer`; it answers when the headers are there, or aborts at the first bytes."""
    state = RawServer(port=0)
    connections: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())
        number = len(state.received)
        state.received.append(b"")
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65536):
                state.received[number] += chunk
                if abort:
                    writer.transport.abort()
                if answer and b"\r\n\r\n" in state.received[number]:
                    writer.write(answer)
                    break
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    state.port = server.sockets[0].getsockname()[1]
    async with server:
        yield state
        await asyncio.gather(*filter(None, connections))


def http_answer(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    """Return the bytes of an HTTP answer with a JSON content type."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class RecordingDatabase(Database):
    """Answers each function with its next rows, the last ones for ever; remembers every call.

    An exception in place of rows is raised.
    """

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def call(
        self,
        function: str,
        *,
        retry_seconds: float = 0,
        retry_timeouts: bool = True,
        **arguments: Any,
    ) -> list[Any]:
        plain = {name: getattr(value, "obj", value) for name, value in arguments.items()}
        self.calls.append((function, plain))
        await asyncio.sleep(0)
        answers = self.answers[function]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        rows: list[Any] = answer
        return rows

    def arguments(self, function: str) -> list[dict[str, Any]]:
        """Return the arguments of every call of a function, oldest first."""
        return [arguments for name, arguments in self.calls if name == function]


class FakeListings(StripePayoutAdapter):
    """Answers with these pages, or raises, one after the other; remembers every request."""

    _api_key = CANARY

    def __init__(self, *pages: Page | Exception) -> None:
        self.pages = list(pages)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def account_id(self) -> str:
        return "acct_platform"

    def stripe_now(self) -> datetime | None:
        return STRIPE_NOW

    async def list_page(self, path: str, params: Any) -> Page:
        self.asked.append((path, dict(params)))
        await asyncio.sleep(0)
        page = self.pages.pop(0)
        if isinstance(page, Exception):
            raise page
        return page


def bad_argument(message: str) -> PayoutError:
    """Return the exception for an argument that the database refuses."""
    error = PayoutError(psycopg.Error())
    error.args = (message,)
    return error
