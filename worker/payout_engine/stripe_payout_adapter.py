"""Sends one transfer to Stripe through the official SDK, and returns the outcome as far as known.

The signal follows from the events on the wire (had the request begun to leave, did a status come,
was the body whole), never from the class of an exception. The database reads the body.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import logging
import math
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Self

import aiohttp
import stripe

from payout_engine.errors import UserError, redact
from payout_engine.rows import Order, Outcome, claim_of
from payout_engine.settings import is_livemode, key_in, mode_of

READ_TIMEOUT_SECONDS: Final = 15.0
# From wanting a connection until it stands, TLS included; shorter than lease minus deadline.
CONNECT_TIMEOUT_SECONDS: Final = 8.0
# Fifty metadata of 540 characters, each of which JSON may write in twelve bytes, and the rest.
LARGEST_BODY_BYTES: Final = 400_000
# A hundred objects, each with fifty metadata of 500 characters, ten reversals and a description.
LARGEST_PAGE_BYTES: Final = 40_000_000
PAGE_LIMIT: Final = 100
PAGE_DEADLINE_SECONDS: Final = 60.0
READS_AT_ONCE: Final = 8
LONGEST_TEXT: Final = 500
# A new key that Stripe does not take is tried again only so soon.
NEW_KEY_PAUSE_SECONDS: Final = 30.0
# As far as clocks may differ (payout.clock_differs).
OLDEST_ANSWER_SECONDS: Final = 300.0
# A time at Stripe that the database does not believe is asked for again only so soon.
TIME_PAUSE_SECONDS: Final = 60.0
ANSWERS_KEPT: Final = 10_000
ACCOUNT_ID: Final = re.compile(r"acct_[A-Za-z0-9_]{1,250}")

logger = logging.getLogger(__name__)

stripe.enable_telemetry = False
# At DEBUG the SDK logs the bodies of requests and answers.
logging.getLogger("stripe").setLevel(logging.WARNING)


def boot_seconds() -> float:
    """Seconds since the machine started, asleep or not; this clock cannot be set."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class LeaseTooOld(Exception):
    """The order was claimed too long ago to begin sending: another worker may soon have it."""


class Unreadable(Exception):
    """An answer came, but it is not a whole JSON object of Stripe's."""


class AccountUnknown(Exception):
    """Stripe did not name the account of the key, so nothing may be claimed for it."""


class KeyRefused(AccountUnknown):
    """Stripe does not take the key: no repetition helps, another key does."""


class Refused(Exception):
    """Stripe answered a read with an error; the message is its status and Stripe's message."""

    def __init__(self, status: int | None, message: str | None) -> None:
        super().__init__(f"HTTP status {status}: {message}")
        self.status = status


@dataclass(frozen=True)
class Page:
    """One page of a list at Stripe, newest first."""

    data: list[dict[str, Any]]
    has_more: bool


@dataclass
class Exchange:
    """The events of one request, noted as they happen."""

    send_before: float
    """On the clock of `boot_seconds`: at this time or later the request may not begin to leave."""
    largest_body_bytes: int = LARGEST_BODY_BYTES
    has_left: bool = False
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """The whole body; None as long as any of it is missing."""


_exchange: contextvars.ContextVar[Exchange] = contextvars.ContextVar("exchange")


class _HttpClient(stripe.AIOHTTPClient):
    """The SDK's aiohttp client; it follows no redirect and notes the answer in the exchange.

    The SDK signs, encodes and addresses the request. It is handed an empty answer: its exceptions
    lose headers, and the objects it would build cost more than the request.
    """

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        exchange = _exchange.get()
        async with self._session.request(
            method,
            url,
            headers=headers,
            data=post_data,
            allow_redirects=False,
            trace_request_ctx=exchange,
        ) as response:
            exchange.status, exchange.headers = response.status, response.headers
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > exchange.largest_body_bytes:
                    raise Unreadable(f"the body is larger than {exchange.largest_body_bytes} bytes")
        exchange.body = bytes(body)
        return b"{}", 200, {}


class StripePayoutAdapter:
    """Stripe's transfers, as the pump sees them. Use it as a context manager."""

    def __init__(
        self,
        *,
        api_key: str,
        key_file: str = "",
        api_base: str,
        max_in_flight: int = 100,
        clock: Callable[[], float] = boot_seconds,
    ) -> None:
        self._api_key = api_key
        self._key_file = key_file
        self._key_file_seen: object = None
        self._replacing = asyncio.Lock()
        self._replace_after = -math.inf
        self._api_base = api_base
        self._max_in_flight = max_in_flight
        self._clock = clock
        self._account_id: str | None = None
        self._last_account_id: str | None = None
        self.key_refused = asyncio.Event()
        """Set once Stripe refused to name the account of the key."""
        self._stripe_is_ahead_seconds: float | None = None
        self._ask_time_after = -math.inf
        self._answers: dict[tuple[str, str | None, int], None] = {}

    async def __aenter__(self) -> Self:
        self._sessions: list[aiohttp.ClientSession] = []
        self._tls = ssl.create_default_context(cafile=stripe.ca_bundle_path)
        self._transfers = self._open_client(self._max_in_flight).v1.transfers
        self._reads = self._open_client(READS_AT_ONCE)
        return self

    async def __aexit__(self, *error: object) -> None:
        for session in self._sessions:
            await session.close()

    def _open_client(
        self, most_connections: int, *, api_key: str | None = None
    ) -> stripe.StripeClient:
        """Return a client with connections of its own: reads and sends share no queue."""
        trace = aiohttp.TraceConfig()
        trace.on_request_chunk_sent.append(self._before_write)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=most_connections, ssl=self._tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,  # a compressed body is unreadable, and no bomb
            timeout=aiohttp.ClientTimeout(
                connect=CONNECT_TIMEOUT_SECONDS, sock_read=READ_TIMEOUT_SECONDS
            ),
            trace_configs=[trace],
            trust_env=False,
        )
        self._sessions.append(session)
        return stripe.StripeClient(
            api_key or self._api_key,
            base_addresses={"api": self._api_base},
            max_network_retries=0,
            http_client=_HttpClient(session=session),
        )

    async def send(self, order: Order, *, claimed_at: float) -> Outcome:
        """Send the order's request and return its outcome for `report_outcomes`.

        `claimed_at` is the clock of `boot_seconds` from just before the claim. Never raises for a
        failure on the way; cancelled, it returns the outcome as known by then. A key that Stripe
        refuses is tried once more if its file has another one by now: under the same idempotency
        key and the same lease, and for the same account. If that is refused, and Stripe has not
        saved the refusal, the first answer stands: no more is known of the first request.
        """
        key = self._api_key
        exchange, outcome = await self._send_once(order, claimed_at)
        if exchange.status not in (401, 403):
            return outcome
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await self._replace_key()
            if self._api_key != key:
                again, second = await self._send_once(order, claimed_at)
                return second if again.has_left and not _is_unsaved_refusal(second) else outcome
        return outcome

    async def _send_once(self, order: Order, claimed_at: float) -> tuple[Exchange, Outcome]:
        deadline = order["deadline_seconds"]
        exchange = Exchange(send_before=claimed_at + order["lease_seconds"] - deadline)
        _exchange.set(exchange)
        failure: BaseException | None = None
        try:
            if not order["idempotency_key"]:
                raise ValueError("the order has no idempotency key")  # the SDK would invent one
            async with asyncio.timeout(deadline):
                request: Any = order["request"]  # byte for byte, as the database made it
                options: Any = {"idempotency_key": order["idempotency_key"]}
                await self._transfers.create_async(request, options)
        except (Exception, asyncio.CancelledError) as error:
            failure = error
        finally:
            exchange.send_before = -math.inf  # a request that has not begun to leave never will
        is_own = self._is_own(exchange, order["idempotency_key"])
        if is_own:
            self._stripe_is_ahead_seconds = self._ahead_seconds(exchange)
        else:
            # The next answer on its connection may belong elsewhere too: use none of them again.
            self._transfers = self._open_client(self._max_in_flight).v1.transfers
        if exchange.status in (401, 403):
            self._account_id = None  # the key may have become that of another account
        return exchange, _outcome(order, exchange, failure, is_own=is_own)

    async def _replace_key(self) -> None:
        """Take the key that is in the file by now, if it is another one of the same account.

        A request that is on its way keeps its own. Transfers are claimed for an account, so that a
        key of another account, or mode, is not for this process.
        """
        async with self._replacing:
            path = self._key_file
            if not path or self._clock() < self._replace_after:
                return
            present = _mark(path)
            if present in (None, self._key_file_seen):
                return
            self._key_file_seen = present
            try:
                key = key_in(path)
            except UserError as error:
                logger.error("the key in use is kept: %s", error, extra={"event": "key_not_taken"})
                return
            if key == self._api_key:
                return
            if mode_of(key) != mode_of(self._api_key):
                told = "the key in %s is of another mode: the one in use is kept"
                logger.error(told, path, extra={"event": "key_not_taken"})
                return
            client = self._open_client(READS_AT_ONCE, api_key=key)
            try:
                account_id = await self._ask_account_id(client)
            except Exception as error:
                self._key_file_seen = None  # it is asked for again
                self._replace_after = self._clock() + NEW_KEY_PAUSE_SECONDS
                told = "the key in %s cannot be used yet: %s"
                logger.error(told, path, _describe(error), extra={"event": "key_not_taken"})
                return
            if self._last_account_id not in (None, account_id):
                told = "the key in %s is of the account %s: the one in use, of %s, is kept"
                ours = self._last_account_id
                logger.error(told, path, account_id, ours, extra={"event": "key_not_taken"})
                return
            self._api_key, self._account_id, self._reads = key, account_id, client
            self._last_account_id = account_id
            self._transfers = self._open_client(self._max_in_flight).v1.transfers
            told = "the Stripe key is now the one in %s"
            logger.info(told, path, extra={"event": "key_taken"})

    async def account_id(self) -> str:
        """Return the id of the key's account, asked until Stripe answers, and after a refusal.

        Raises AccountUnknown with Stripe's error, or the connection's.
        """
        await self._replace_key()
        if self._account_id is None:
            try:
                self._account_id = await self._ask_account_id(self._reads)
                self._last_account_id = self._account_id
            except Exception as error:
                reason = f"Stripe does not say whose key it is: {_describe(error)}"
                if isinstance(error, Refused) and error.status in (401, 403):
                    self.key_refused.set()
                    raise KeyRefused(reason) from None
                raise AccountUnknown(reason) from None
        return self._account_id

    async def identity(self) -> dict[str, Any]:
        """Return account, mode and time of the key, as functions take them that hand out work.

        Raises AccountUnknown.
        """
        return {
            "p_stripe_account_id": await self.account_id(),
            "p_is_livemode": is_livemode(self._api_key),
            "p_stripe_now": self.stripe_now(),
        }

    def stripe_now(self) -> datetime | None:
        """Return the time at Stripe, by its last answer and this machine's boot clock since."""
        if self._stripe_is_ahead_seconds is None:
            return None
        return datetime.fromtimestamp(self._clock() + self._stripe_is_ahead_seconds, tz=UTC)

    def doubt_time(self) -> None:
        """Have the account asked before the next claim, and with it the time at Stripe.

        The boot clock stands still while a hypervisor has stopped the machine, and without a claim
        no answer comes that would correct it.
        """
        if self._clock() >= self._ask_time_after:
            self._ask_time_after = self._clock() + TIME_PAUSE_SECONDS
            self._account_id = None

    def _ahead_seconds(self, exchange: Exchange) -> float | None:
        """Compare the boot clock with the `Date` of an answer of Stripe's own, or with the last."""
        if "Request-Id" in exchange.headers:
            with contextlib.suppress(ValueError, TypeError, KeyError, OverflowError):
                date = parsedate_to_datetime(exchange.headers["Date"])
                return date.timestamp() - self._clock()
        return self._stripe_is_ahead_seconds

    def _is_old(self, exchange: Exchange) -> bool:
        """Tell whether an answer was made long before the last one came: a hop has kept it."""
        known, ahead = self._stripe_is_ahead_seconds, self._ahead_seconds(exchange)
        return known is not None and ahead is not None and ahead < known - OLDEST_ANSWER_SECONDS

    def _is_own(self, exchange: Exchange, key: str | None) -> bool:
        """Tell whether an answer may be the one to a request under `key`, or to a read.

        Stripe names the key in each answer that got as far as the key; 401 and 403 name none. Any
        other answer is a copy if its Request-Id came before, with the same date and body: a double
        of Stripe's may give all its answers one id.
        """
        came_before = False
        if request_id := exchange.headers.get("Request-Id"):
            answer = (request_id, exchange.headers.get("Date"), hash(exchange.body))
            came_before = answer in self._answers
            self._answers[answer] = None
            if len(self._answers) > ANSWERS_KEPT:
                del self._answers[next(iter(self._answers))]
        named = _named_keys(exchange)
        return named == {key} if named else not came_before

    async def _ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        client: stripe.StripeClient | None = None,
    ) -> tuple[Exchange, dict[str, Any]]:
        """Make a request that has no lease; return its exchange and the object of its answer.

        Raises Refused for an error of Stripe's, Unreadable for anything else that is no object, and
        the connection's own errors.
        """
        exchange = Exchange(send_before=math.inf, largest_body_bytes=LARGEST_PAGE_BYTES)
        _exchange.set(exchange)
        async with asyncio.timeout(PAGE_DEADLINE_SECONDS):
            await (client or self._reads).raw_request_async(method, path, **params or {})
        if exchange.status == 401:
            self._account_id = None  # as after a send: Stripe is asked whether it takes the key
        return exchange, _read_ok(exchange)

    async def _ask_account_id(self, client: stripe.StripeClient) -> str:
        exchange, body = await self._ask("get", "/v1/account", client=client)
        self._stripe_is_ahead_seconds = self._ahead_seconds(exchange)
        account_id = _text(body.get("id")) or ""
        if body.get("object") != "account" or not ACCOUNT_ID.fullmatch(account_id):
            raise Unreadable("the answer is no account of Stripe's")
        return account_id

    async def list_page(self, path: str, params: Mapping[str, Any]) -> Page:
        """Return one page, of 100, of the list at `path`, such as ``/v1/transfers``.

        Its objects are as Stripe sent them, but in a form that the database can store. Raises as
        `_ask`, and Unreadable for what is no list, or a copy.
        """
        exchange, body = await self._ask("get", path, {**params, "limit": PAGE_LIMIT})
        if not self._is_own(exchange, None) or self._is_old(exchange):
            # The next answer on its connection may be one to another request too. Should the time
            # that was known be wrong, the account's answer corrects it.
            self._reads = self._open_client(READS_AT_ONCE)
            self._account_id = None
            raise Unreadable("the page is a copy of an earlier answer")
        self._stripe_is_ahead_seconds = self._ahead_seconds(exchange)
        data, has_more = body.get("data"), body.get("has_more")
        if body.get("object") != "list" or not isinstance(data, list):
            raise Unreadable("the body is JSON, but not a list of Stripe's")
        if not isinstance(has_more, bool) or (has_more and not data):
            raise Unreadable("the list does not tell whether there is more")
        return Page(data, has_more)

    async def read(self, path: str) -> None:
        """Read an object, such as ``/v1/balance``, to find out whether the key may."""
        await self._ask("get", path)

    async def may_transfer(self) -> None:
        """Find out whether the key may make transfers, with a request that cannot make one.

        It has no amount, no currency and no destination: Stripe looks at the key first, then
        refuses the request before anything is executed. Raises Refused for any other answer.
        """
        try:
            await self._ask("post", "/v1/transfers")
        except Refused as refused:
            if refused.status == 400:
                return
            raise
        raise Unreadable("a transfer without amount, currency and destination was not refused")

    async def _before_write(
        self,
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestChunkSentParams,
    ) -> None:
        """Check the lease; aiohttp calls this last before it writes headers and body in one."""
        exchange: Exchange = context.trace_request_ctx
        late_by = self._clock() - exchange.send_before
        if late_by >= 0:
            raise LeaseTooOld(f"too late to begin by {late_by:.1f} s")
        exchange.has_left = True


def _named_keys(exchange: Exchange) -> set[str]:
    """Return each key that an answer names: a header may come twice, and name two."""
    headers = exchange.headers.items()
    return {value for name, value in headers if name.lower() == "idempotency-key"}


def _mark(path: str) -> tuple[int, ...] | None:
    """Return numbers that change with a file, also behind links; None if there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def _is_unsaved_refusal(outcome: Outcome) -> bool:
    is_saved = outcome.get("is_replayed") or outcome.get("should_retry") == "false"
    return 400 <= (outcome.get("http_status") or 0) < 500 and not is_saved


def _outcome(
    order: Order, exchange: Exchange, failure: BaseException | None, *, is_own: bool
) -> Outcome:
    signal = "no_response" if exchange.has_left else "not_sent"
    outcome: Outcome = claim_of(order) | {"signal": signal}
    if not exchange.has_left or exchange.status is None:
        return outcome | {"detail": _describe(failure)}
    headers = exchange.headers
    wait = headers.get("Retry-After", "")
    outcome |= {
        "http_status": exchange.status,
        "stripe_request_id": _text(headers.get("Request-Id")),
        "is_tied": _named_keys(exchange) == {order["idempotency_key"]},
        "is_replayed": headers.get("Idempotent-Replayed") == "true",
        "should_retry": _text(headers.get("Stripe-Should-Retry")),
        "rate_limited_reason": _text(headers.get("Stripe-Rate-Limited-Reason")),
        "retry_after_seconds": int(wait) if re.fullmatch("[0-9]{1,6}", wait) else None,
    }
    try:
        if not is_own:
            raise Unreadable("the answer is one to another request")
        body = _without_secrets(_read_body(exchange, failure), exchange.body or b"")
    except (Unreadable, RecursionError) as reason:
        return outcome | {"signal": "unreadable", "detail": _describe(reason)}
    return outcome | {"signal": "response", "body": body}


def _read_ok(exchange: Exchange) -> dict[str, Any]:
    """Return the object of a 200. Raises Refused for another status, Unreadable as `_read_body`."""
    try:
        body = _read_body(exchange, None)
    except Unreadable as reason:
        if exchange.status == 200:
            raise
        raise Refused(exchange.status, str(reason)) from None
    if exchange.status != 200:
        error = body.get("error")
        message = error.get("message") if isinstance(error, dict) else None
        raise Refused(exchange.status, _text(message))
    return body


def _read_body(exchange: Exchange, failure: BaseException | None) -> dict[str, Any]:
    """Return the answer's JSON object. Raises Unreadable, with the reason, for anything else."""
    if exchange.body is None:
        raise Unreadable(f"the body did not come whole: {_describe(failure)}")
    if exchange.status in range(300, 400):
        raise Unreadable("a redirect, and none is followed")
    media_type = exchange.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Unreadable(f"the body is {media_type or 'of no type'}, not application/json")
    try:
        body = _load_storable(exchange.body)
    except Exception as error:  # a RecursionError too: the text may be anything
        raise Unreadable(f"the body is not JSON: {type(error).__name__}") from None
    if not isinstance(body, dict):
        raise Unreadable("the body is JSON, but not an object")
    return body


def _without_secrets(body: dict[str, Any], text: bytes) -> dict[str, Any]:
    """Return the object of an answer without secrets. Raises RecursionError for one too deep.

    A text without escapes shows its secrets, and few brackets are not deep.
    """
    shown = text.decode("utf-8", "replace")
    if redact(shown) == shown and "\\" not in shown and shown.count("{") + shown.count("[") < 100:
        return body
    return {redact(name): _each_text(item, redact) for name, item in body.items()}


def _describe(error: BaseException | None) -> str:
    """Return class and text of an error, without secrets; aiohttp wraps LeaseTooOld."""
    if error is not None and isinstance(error.__cause__, LeaseTooOld):
        error = error.__cause__
    return _text(f"{type(error).__name__}: {error}".removesuffix(": ")) or ""


def _load_storable(body: bytes) -> Any:
    """Parse JSON from anybody into what jsonb takes: what it cannot hold becomes other text."""
    text = body.decode("utf-8", "replace")
    try:
        value = json.loads(text, parse_float=_finite, parse_constant=str)
    except ValueError:  # also for a whole number of more digits than Python takes
        value = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=str)
    return _each_text(value, _storable) if "\\u" in text else value


def _whole(number: str) -> int | str:
    return int(number) if len(number) <= LONGEST_TEXT else number


def _finite(number: str) -> float | str:
    return float(number) if math.isfinite(float(number)) else number


def _storable(text: str) -> str:
    """Replace NUL and halves of surrogate pairs, which jsonb does not take."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """Return a copy of parsed JSON with each text in it changed, names too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(name): _each_text(item, change) for name, item in value.items()}
    if isinstance(value, list):
        return [_each_text(item, change) for item in value]
    return value


def _text(value: object) -> str | None:
    """Return a string that a jsonb column takes, without secrets and not too long, or None."""
    if not isinstance(value, str):
        return None
    return redact(_storable(value[: 4 * LONGEST_TEXT]))[:LONGEST_TEXT]
