"""A double of the Stripe API for transfers, over HTTP on loopback, with Stripe's idempotency.

It keeps the truth about money per `payout_ref`, and every fault is one that a test or the demo put
in force. ``python -m payout_engine_sandbox.stripe_double`` runs it as a command, governed under
``/_double/``.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import contextlib
import gc
import gzip
import ipaddress
import json
import re
import secrets
import signal
import socket
import struct
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from aiohttp import web

from payout_engine_sandbox.stripe_books import (
    PLATFORM_ACCOUNT,
    AccountState,
    JsonObject,
    StripeBooks,
    StripeRefusalError,
)
from payout_engine_sandbox.stripe_faults import (
    JSON,
    Fault,
    FaultInForce,
    Latch,
    RecordedRequest,
    parse_form,
)

__all__ = ["Fault", "FaultInForce", "Latch", "RecordedRequest", "StripeDouble"]

KEY_LIFETIME_SECONDS: Final = 24 * 3600.0
MAX_KEY_LENGTH: Final = 255
SECRET_KEY: Final = re.compile(r"(?:sk|rk)_(test|live)_\w+")
CONTROL_PREFIX: Final = "/_double/"
POLL_SECONDS: Final = 0.02
PATIENCE_SECONDS: Final = 30.0

Hook: TypeAlias = Callable[[RecordedRequest], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class Answer:
    """A status, a body and the headers beyond the usual ones."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON

    def with_headers(self, headers: dict[str, str]) -> Answer:
        """Return the same answer under other headers."""
        return Answer(self.status, self.body, headers, self.content_type)


FAILED: Final = Answer(500, b"the double failed", content_type="text/plain")


@dataclass(slots=True)
class SavedRequest:
    """The record that Stripe keeps under an idempotency key; in flight until it has an answer."""

    first_used_at: float
    endpoint: str
    form: bytes
    request_id: str
    answer: Answer | None = None


@dataclass(slots=True, frozen=True)
class Caller:
    """Whose request it is: idempotency keys of two callers have nothing to do with each other."""

    account: str
    is_livemode: bool


class StripeDouble:
    """A server that answers as Stripe does: ``async with StripeDouble() as double``.

    Synchronous tests use `in_thread`. Methods may be called from any thread. An exception in
    `on_request`, or in the double itself, is raised when the double stops.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        latency_seconds: float = 0.0,
        initial_balance_minor: int = 10**15,
        default_account_state: AccountState = "open",
        limit_per_second: int | None = None,
        clock: Callable[[], float] = time.time,
        on_request: Hook | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.latency_seconds = latency_seconds
        self.limit_per_second = limit_per_second
        """Requests that each endpoint takes within any second of real time; None: all."""
        self.on_request = on_request
        """Awaited when a request has arrived, before anything is done about it."""
        self.requests: list[RecordedRequest] = []
        """Every request for the API so far, oldest first."""
        self.failures: list[Exception] = []
        self._clock = clock
        self._ahead_seconds = 0.0
        self._books = StripeBooks(
            now=self.now,
            initial_balance_minor=initial_balance_minor,
            default_account_state=default_account_state,
        )
        # The world that the double stands for, as its books have it.
        self.set_balance = self._books.set_balance
        self.balance_minor = self._books.balance_minor
        self.set_account = self._books.set_account
        self.add_charge = self._books.add_charge
        self.transfer = self._books.transfer_by_hand
        self.reverse = self._books.reverse_by_hand
        self._run = secrets.token_hex(4)
        self._saved: dict[tuple[Caller, str], SavedRequest] = {}
        self._revoked: set[str] = set()
        self._rights: dict[str, frozenset[str]] = {}
        self._faults: list[FaultInForce] = []
        self._lately: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._late: list[tuple[float, Callable[[], object]]] = []
        self._late_lock = threading.Lock()
        self._news = threading.Condition()
        self._runner: web.ServerRunner | None = None

    # Life.

    async def start(self) -> None:
        """Listen; `port` and `url` are known from then on."""
        self._runner = web.ServerRunner(
            web.Server(self._handle, access_log=None), shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, backlog=1024)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening and drop every connection, answered or not."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()
        if exception is None:
            self.raise_failures()

    @classmethod
    @contextlib.contextmanager
    def in_thread(cls, **options: Any) -> Iterator[Self]:
        """Run a double in a thread of its own; `options` are those of the class."""
        double = cls(**options)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="stripe-double", daemon=True)
        thread.start()

        def run(action: Coroutine[Any, Any, None]) -> None:
            asyncio.run_coroutine_threadsafe(action, loop).result(PATIENCE_SECONDS)

        try:
            run(double.start())
            yield double
            double.raise_failures()
        finally:
            run(double._end())
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _end(self) -> None:
        """Stop, and give up the requests that are still held, whose answers are not needed."""
        await self.stop()
        held = asyncio.all_tasks() - {asyncio.current_task()}
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)

    @property
    def url(self) -> str:
        """The URL for the engine's STRIPE_API_BASE."""
        return f"http://{self.host}:{self.port}"

    def raise_failures(self) -> None:
        """Raise the first exception of `on_request` or of the double itself, if there was one."""
        if self.failures:
            raise self.failures[0]

    # The world that the double stands for.

    def now(self) -> float:
        """Return Stripe's time, in seconds since 1970."""
        return self._clock() + self._ahead_seconds

    def advance(self, *, hours: float = 0.0, seconds: float = 0.0) -> None:
        """Move Stripe's clock forward: keys expire, late effects happen."""
        self._ahead_seconds += hours * 3600 + seconds
        self._run_late_effects()

    def revoke_key(self, *, api_key: str) -> None:
        """Answer 401 to this secret key from now on."""
        self._revoked.add(api_key)

    def limit_key(self, *, api_key: str, rights: Collection[str]) -> None:
        """Make this a restricted key with rights such as ``transfer_read``; the account is free."""
        self._rights[api_key] = frozenset(rights)

    def set_latency(self, *, seconds: float) -> None:
        """Set how long each request takes before its effect."""
        self.latency_seconds = seconds

    def set_limit(self, *, per_second: int | None) -> None:
        """Set how many requests each endpoint takes within any second of real time."""
        self.limit_per_second = per_second

    def set_list_lag(self, *, seconds: float) -> None:
        """Let transfers appear in lists only so long after they were made."""
        self._books.list_lag_seconds = seconds

    # Faults.

    def inject(self, fault: Fault | str, **changes: Any) -> FaultInForce:
        """Put a fault in force, or a named one with some fields changed; the oldest meets first."""
        if isinstance(fault, str):
            fault = Fault.named(fault, **changes)
        in_force = FaultInForce(fault)
        self._faults = [*self._faults, in_force]
        return in_force

    def clear_faults(self) -> None:
        """End all faults; requests that already hang go on hanging."""
        self._faults = []

    # The truth, for tests and the demo.

    def transfers(self) -> list[JsonObject]:
        """Return every transfer, oldest first. The objects are live: do not change them."""
        self._run_late_effects()
        return self._books.transfers()

    def effects(self, payout_ref: str) -> list[JsonObject]:
        """Return the transfers that carry this `metadata.payout_ref`; more than one is a bug."""
        return self.effects_by_payout_ref().get(payout_ref, [])

    def effects_by_payout_ref(self) -> dict[str | None, list[JsonObject]]:
        """Return the transfers of each `metadata.payout_ref`; None are those without."""
        self._run_late_effects()
        return self._books.transfers_by_payout_ref()

    def summary(self) -> JsonObject:
        """Return the figures that a reader of the demo wants to see, ready for JSON."""
        effects = self.effects_by_payout_ref()
        nameless = effects.pop(None, [])
        currencies: dict[str, Counter[str]] = {}
        for transfer in self.transfers():
            figures = currencies.setdefault(transfer["currency"], Counter())
            figures["transfers"] += 1
            figures["amount_minor"] += transfer["amount"]
            figures["reversed_minor"] += transfer["amount_reversed"]
        return {
            "transfers": len(nameless) + sum(map(len, effects.values())),
            "payout_refs": len(effects),
            "without_payout_ref": len(nameless),
            "paid_more_than_once": [ref for ref, paid in effects.items() if len(paid) > 1],
            "currencies": currencies,
            "requests": len(self.requests),
            "replayed": sum(request.is_replayed for request in self.requests),
            "answers": Counter(str(request.status) for request in self.requests),
            "faults": Counter(request.fault for request in self.requests if request.fault),
        }

    @property
    def sends(self) -> list[RecordedRequest]:
        """The requests that are to move money, oldest first; to look moves none."""
        return [request for request in self.requests if request.method == "POST"]

    def wait_for_requests(
        self,
        count: int = 1,
        *,
        where: Callable[[RecordedRequest], bool] = lambda _: True,
        timeout_seconds: float = PATIENCE_SECONDS,
    ) -> list[RecordedRequest]:
        """Block until so many requests are as described, and return them. Raises TimeoutError.

        It looks when a request arrives and when it is answered.
        """

        def found() -> list[RecordedRequest]:
            return [request for request in self.requests if where(request)]

        with self._news:
            if not self._news.wait_for(lambda: len(found()) >= count, timeout_seconds):
                raise TimeoutError(f"{len(found())} of {count} requests came")
        return found()

    # One request.

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        try:
            if http.path.startswith(CONTROL_PREFIX):
                return _response(await self._control(http))
            request = await self._record(http)
            if self.on_request is not None and not await self._hook_agrees(request):
                return _response(FAILED)
            if self._is_over_limit(request):
                return self._complete(request, self._refuse_for_rate(request))
            fault = self._fault_for(request)
            if fault is not None:
                return await self._misbehave(http, request, fault)
            answer = await self._answer(http, request, None)
            return self._complete(request, answer)
        except (ConnectionError, web.RequestPayloadError):
            # The client is gone; the effects so far stay.
            return web.Response()
        except web.HTTPException:
            raise
        except Exception as failure:
            self.failures.append(failure)
            return _response(FAILED)

    async def _hook_agrees(self, request: RecordedRequest) -> bool:
        assert self.on_request is not None
        try:
            await self.on_request(request)
        except Exception as failure:
            self.failures.append(failure)
            return False
        return True

    async def _record(self, http: web.BaseRequest) -> RecordedRequest:
        is_get = http.method == "GET"
        body = http.rel_url.raw_query_string.encode() if is_get else await http.read()
        peer = http.transport.get_extra_info("peername") if http.transport else None
        request = RecordedRequest(
            number=len(self.requests) + 1,
            method=http.method,
            path=http.path,
            key=None if is_get else http.headers.get("Idempotency-Key"),
            body=body,
            received_at=self.now(),
            connection=peer[1] if peer else 0,
        )
        with self._news:
            self.requests.append(request)
            self._news.notify_all()
        return request

    def _complete(self, request: RecordedRequest, answer: Answer) -> web.Response:
        with self._news:
            request.status = answer.status
            self._news.notify_all()
        return _response(answer)

    def _is_over_limit(self, request: RecordedRequest) -> bool:
        """Count a request against the limit of its endpoint; a refused one does not count."""
        if self.limit_per_second is None:
            return False
        now = time.monotonic()
        lately = self._lately[request.method, request.path]
        while lately and lately[0] <= now - 1:
            lately.popleft()
        if len(lately) >= self.limit_per_second:
            return True
        lately.append(now)
        return False

    def _refuse_for_rate(self, request: RecordedRequest) -> Answer:
        """Refuse a request as Stripe's limiter does, before anything else looks at it."""
        answer = _fault_answer(Fault.named("rate_limited"))
        answer.headers |= {
            "Stripe-Rate-Limited-Reason": "endpoint-rate",
            "Request-Id": self._request_id(request),
        }
        _name_key(request, answer)
        return answer

    def _fault_for(self, request: RecordedRequest) -> Fault | None:
        for in_force in self._faults:
            if in_force.meets(request):
                request.fault = in_force.fault.name
                return in_force.fault
        return None

    async def _answer(
        self, http: web.BaseRequest, request: RecordedRequest, fault: Fault | None
    ) -> Answer:
        """Answer as Stripe does, with the part of a fault that concerns effect and storage."""
        if self._late:
            self._run_late_effects()
        try:
            caller = self._authenticate(http.headers, request)
            if request.method == "GET":
                await self._pass_time()
                answer = self._read(request, caller)
            elif request.method == "POST":
                answer = await self._write(request, caller, fault)
            else:
                raise _unrecognized(request)
        except StripeRefusalError as refusal:
            answer = _refused(refusal)
        answer.headers.setdefault("Request-Id", self._request_id(request))
        _name_key(request, answer)
        return answer

    def _authenticate(self, headers: Mapping[str, str], request: RecordedRequest) -> Caller:
        scheme, _, credentials = headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            with contextlib.suppress(binascii.Error, UnicodeDecodeError):
                credentials = base64.b64decode(credentials).decode().removesuffix(":")
        if not credentials:
            raise StripeRefusalError("You did not provide an API key.", status=401)
        found = SECRET_KEY.fullmatch(credentials)
        if found is None or credentials in self._revoked:
            raise StripeRefusalError(f"Invalid API Key provided: {credentials[:8]}****", status=401)
        right = _right_for(request)
        if right not in self._rights.get(credentials, {right}) | {"account"}:
            raise StripeRefusalError(
                f"The provided key '{credentials[:8]}****' does not have the required permissions "
                f"for this endpoint. Having the 'rak_{right}' permission would allow this request "
                "to continue.",
                status=403,
            )
        account = headers.get("Stripe-Account", PLATFORM_ACCOUNT)
        return Caller(account=account, is_livemode=found[1] == "live")

    def _read(self, request: RecordedRequest, caller: Caller) -> Answer:
        books, params, is_livemode = self._books, request.params, caller.is_livemode
        match request.path.split("/")[1:]:
            case ["v1", "transfers"]:
                found = books.list_transfers(params, is_livemode=is_livemode)
            case ["v1", "transfers", transfer_id]:
                found = books.get_transfer(transfer_id, params, is_livemode=is_livemode)
            case ["v1", "transfers", transfer_id, "reversals"]:
                found = books.list_reversals(transfer_id, params, is_livemode=is_livemode)
            case ["v1", "transfers", transfer_id, "reversals", reversal_id]:
                found = books.get_reversal(transfer_id, reversal_id, is_livemode=is_livemode)
            case ["v1", "events"]:
                found = books.list_events(params, is_livemode=is_livemode)
            case ["v1", "balance"]:
                found = books.balance(is_livemode=is_livemode)
            case ["v1", "account"]:
                found = books.account()
            case ["v1", "accounts", account_id]:
                found = books.account(account_id)
            case _:
                raise _unrecognized(request)
        return _json_answer(found)

    async def _write(self, request: RecordedRequest, caller: Caller, fault: Fault | None) -> Answer:
        """Execute once for each key: replay, refuse, or run and store the answer."""
        slot = (caller, request.key) if request.key else None
        if slot is not None:
            if len(slot[1]) > MAX_KEY_LENGTH:
                raise StripeRefusalError(
                    f"Idempotency keys can be at most {MAX_KEY_LENGTH} characters long."
                )
            if (saved := self._find_saved(slot)) is not None:
                await self._pass_time()
                return _replay(saved, request)
        execute = self._checked_operation(request, caller)
        saved = SavedRequest(self.now(), request.path, request.body, self._request_id(request))
        if slot is not None:
            self._saved[slot] = saved
        try:
            await self._pass_time(fault.execution_seconds if fault else 0.0)
            if fault is not None and fault.hold_during is not None:
                await fault.hold_during.passed()
            saved.answer = self._execute(execute, fault)
        finally:
            if slot is not None and saved.answer is None:
                del self._saved[slot]
        return saved.answer.with_headers(dict(saved.answer.headers))

    def _find_saved(self, slot: tuple[Caller, str]) -> SavedRequest | None:
        saved = self._saved.get(slot)
        if saved is None or saved.answer is None:
            return saved
        if self.now() - saved.first_used_at >= KEY_LIFETIME_SECONDS:
            del self._saved[slot]
            return None
        return saved

    def _checked_operation(
        self, request: RecordedRequest, caller: Caller
    ) -> Callable[[], JsonObject]:
        """Return the operation to execute, its parameters checked; a refusal here is not saved."""
        books, params, is_livemode = self._books, request.params, caller.is_livemode
        match request.path.split("/")[1:]:
            case ["v1", "transfers"]:
                books.check_transfer(params)
                return lambda: books.create_transfer(params, is_livemode=is_livemode)
            case ["v1", "transfers", transfer_id, "reversals"]:
                books.check_reversal(transfer_id, params, is_livemode=is_livemode)
                return lambda: books.create_reversal(transfer_id, params, is_livemode=is_livemode)
            case _:
                raise _unrecognized(request)

    def _execute(self, execute: Callable[[], JsonObject], fault: Fault | None) -> Answer:
        if fault is not None and fault.effect == "late":
            with self._late_lock:
                self._late.append((self.now() + fault.late_seconds, execute))
            return _fault_answer(fault)
        if fault is not None and fault.effect == "none":
            return _fault_answer(fault)
        try:
            answer = _json_answer(execute())
        except StripeRefusalError as refusal:
            answer = _refused(refusal)
        return _fault_answer(fault) if fault is not None and fault.is_saved else answer

    def _run_late_effects(self) -> None:
        with self._late_lock:
            now = self.now()
            due = [execute for due_at, execute in self._late if due_at <= now]
            self._late = [entry for entry in self._late if entry[0] > now]
        for execute in due:
            # A late effect that is declined after all is no effect.
            with contextlib.suppress(StripeRefusalError):
                execute()

    async def _pass_time(self, further_seconds: float = 0.0) -> None:
        if seconds := self.latency_seconds + further_seconds:
            await asyncio.sleep(seconds)

    def _request_id(self, request: RecordedRequest) -> str:
        return f"req_{self._run}{request.number:08d}"

    # One request that a fault has met.

    async def _misbehave(
        self, http: web.BaseRequest, request: RecordedRequest, fault: Fault
    ) -> web.StreamResponse:
        if fault.hold_before is not None:
            await fault.hold_before.passed()
        if fault.comes_first:
            await self._pass_time()
            answer = _fault_answer(fault)
        else:
            answer = await self._answer(http, request, fault)
            if not fault.is_saved:
                answer = _spoilt(answer, fault)
        answer.headers.setdefault("Request-Id", self._request_id(request))
        _name_key(request, answer)
        answer.headers.update(fault.headers)
        if fault.hold_after is not None:
            await fault.hold_after.passed()
        if fault.answer_after_seconds:
            await asyncio.sleep(fault.answer_after_seconds)
        if fault.delivery == "whole":
            return self._complete(request, answer)
        return await self._deliver_badly(http, answer, fault)

    async def _deliver_badly(
        self, http: web.BaseRequest, answer: Answer, fault: Fault
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_length = len(answer.body)
        response.headers["Content-Type"] = answer.content_type
        if fault.delivery == "hang":
            while http.transport is not None:
                await asyncio.sleep(POLL_SECONDS)
        elif fault.delivery == "reset":
            _reset(http.transport)
        elif fault.delivery == "close":
            _close(http.transport)
        elif fault.delivery == "cut":
            await response.prepare(http)
            await response.write(answer.body[: len(answer.body) // 2])
            _close(http.transport)
        else:
            await response.prepare(http)
            for byte in answer.body:
                await asyncio.sleep(fault.byte_seconds)
                await response.write(bytes([byte]))
        return response

    # Government of a double that runs as a command.

    async def _control(self, http: web.BaseRequest) -> Answer:
        if http.remote is None or not ipaddress.ip_address(http.remote).is_loopback:
            return _plain_answer(403, {"error": "only from this machine"})
        name = http.path.removeprefix(CONTROL_PREFIX)
        try:
            if http.method == "GET":
                return _plain_answer(200, self._view(name))
            arguments = json.loads(await http.read())
            return _plain_answer(200, self._govern(name, arguments))
        except (KeyError, LookupError, TypeError, ValueError, StripeRefusalError) as error:
            return _plain_answer(400, {"error": f"{type(error).__name__}: {error}"})

    def _view(self, name: str) -> object:
        match name:
            case "summary":
                return self.summary()
            case "effects":
                return {ref or "": found for ref, found in self.effects_by_payout_ref().items()}
            case _:
                raise LookupError(f"there is no view {name}")

    def _govern(self, name: str, arguments: dict[str, Any]) -> object:
        commands: dict[str, Callable[..., object]] = {
            "balance": self.set_balance,
            "account": self.set_account,
            "charge": self.add_charge,
            "transfer": self.transfer,
            "reverse": self.reverse,
            "revoke-key": self.revoke_key,
            "limit-key": self.limit_key,
            "latency": self.set_latency,
            "limit": self.set_limit,
            "advance": self.advance,
            "fault": lambda name, **changes: self.inject(name, **changes).fault.name,
            "clear-faults": self.clear_faults,
        }
        if name not in commands:
            raise LookupError(f"there is no command {name}: {', '.join(commands)}")
        return commands[name](**arguments)


def _right_for(request: RecordedRequest) -> str:
    """Return the right of a restricted key that a request needs."""
    thing = request.path.split("/")[2:3]
    name = {"transfers": "transfer", "events": "event", "balance": "balance"}.get("".join(thing))
    return f"{name}_{'read' if request.method == 'GET' else 'write'}" if name else "account"


def _refused(refusal: StripeRefusalError) -> Answer:
    headers = {"Stripe-Should-Retry": "false"} if refusal.is_saved else {}
    return Answer(refusal.status, json.dumps(refusal.body).encode(), headers)


def _unrecognized(request: RecordedRequest) -> StripeRefusalError:
    return StripeRefusalError(
        f"Unrecognized request URL ({request.method}: {request.path}).", status=404
    )


def _json_answer(found: JsonObject) -> Answer:
    return Answer(200, json.dumps(found).encode())


def _plain_answer(status: int, found: object) -> Answer:
    return Answer(status, json.dumps(found).encode())


def _replay(saved: SavedRequest, request: RecordedRequest) -> Answer:
    """Answer from the record under the key, if the request is the same as the first one."""
    if saved.answer is None:
        raise StripeRefusalError(
            "There is currently another in-progress request using this Idempotency Key (that "
            "probably means you submitted twice, and the other request is still going through): "
            f"{request.key}.",
            status=409,
            code="idempotency_key_in_use",
        )
    if saved.endpoint != request.path:
        raise StripeRefusalError(
            "Keys for idempotent requests can only be used for the same endpoint they were first "
            f"used for ('{saved.endpoint}' vs '{request.path}'). Try using a key other than "
            f"'{request.key}' if you meant to execute a different request.",
            error_type="idempotency_error",
        )
    if parse_form(saved.form) != request.params:
        raise StripeRefusalError(
            "Keys for idempotent requests can only be used with the same parameters they were "
            f"first used with. Try using a key other than '{request.key}' if you meant to execute "
            "a different request.",
            error_type="idempotency_error",
        )
    request.is_replayed = True
    return saved.answer.with_headers(
        saved.answer.headers | {"Idempotent-Replayed": "true", "Original-Request": saved.request_id}
    )


def _fault_answer(fault: Fault) -> Answer:
    """Return the answer that a fault gives in place of Stripe's."""
    status = fault.status or 500
    if fault.body is None:
        refusal = StripeRefusalError(
            fault.error_message,
            status=status,
            error_type=fault.error_type,
            code=fault.error_code,
            is_saved=fault.is_saved and status < 500,
        )
        return _refused(refusal)
    body = fault.body.encode() if isinstance(fault.body, str) else fault.body
    return Answer(status, body, content_type=fault.content_type)


def _spoilt(answer: Answer, fault: Fault) -> Answer:
    """Return a true answer as the client is to see it."""
    if fault.status is not None:
        return _fault_answer(fault)
    if answer.status == 200 and (fault.changes or fault.removes):
        fields = json.loads(answer.body) | dict(fault.changes)
        kept = {name: value for name, value in fields.items() if name not in fault.removes}
        answer.body = json.dumps(kept).encode()
    if fault.padding_bytes:
        answer.body += b" " * fault.padding_bytes
    if fault.is_gzipped:
        answer.body = gzip.compress(answer.body, compresslevel=1)
        answer.headers["Content-Encoding"] = "gzip"
    return answer


def _name_key(request: RecordedRequest, answer: Answer) -> None:
    """Name the key in an answer that got as far as the key, as Stripe does."""
    if request.key and answer.status not in (401, 403) and answer.content_type == JSON:
        answer.headers.setdefault("Idempotency-Key", request.key)


def _response(answer: Answer) -> web.Response:
    answer.headers["Content-Type"] = answer.content_type
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


def _close(transport: asyncio.Transport | None) -> None:
    if transport is not None:
        transport.close()


def _reset(transport: asyncio.Transport | None) -> None:
    """End a connection so that the other side sees a reset, not an orderly end."""
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


async def _run_command(double: StripeDouble) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with double:
        print(f"The Stripe double listens on {double.url}", flush=True)
        await stopped.wait()


def main() -> None:
    """Run a double until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="payout_engine_sandbox.stripe_double", description=__doc__
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--limit-per-second", type=int, help="of each endpoint; default: none")
    options = parser.parse_args()
    # It keeps everything it ever saw, none of it in cycles: looking for garbage is a quarter of
    # its time.
    gc.set_threshold(100_000)
    double = StripeDouble(
        host=options.host,
        port=options.port,
        latency_seconds=options.latency_ms / 1000,
        limit_per_second=options.limit_per_second,
    )
    asyncio.run(_run_command(double))


if __name__ == "__main__":
    main()
