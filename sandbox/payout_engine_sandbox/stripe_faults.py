"""Faults at Stripe and on the way to it, as data that a test or the demo puts in force.

A fault says which requests it meets, whether the money moves, and which answer the client gets;
`NAMED_FAULTS` holds the common ones.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Self
from urllib.parse import parse_qsl

PATIENCE_SECONDS: Final = 30.0
JSON: Final = "application/json"
HTML: Final = "text/html; charset=utf-8"


@dataclass(slots=True, kw_only=True)
class RecordedRequest:
    """One request as the double received it, and the status of its answer."""

    number: int
    """Counts from 1, in the order of arrival."""
    method: str
    path: str
    key: str | None
    """The Idempotency-Key header."""
    body: bytes
    """The form, or the query string of a GET."""
    received_at: float
    """By the double's clock, in seconds since 1970."""
    connection: int
    """The client's port: requests with the same one came over the same connection."""
    fault: str | None = None
    """The name of the fault that met it."""
    status: int | None = None
    """The status of the complete answer; None while there is none, or when it was spoilt."""
    is_replayed: bool = False

    @property
    def params(self) -> Mapping[str, str]:
        """The parameters, nested ones under their written name: ``metadata[payout_ref]``."""
        return parse_form(self.body)

    @property
    def payout_ref(self) -> str | None:
        """The transfer it speaks of, by `metadata.payout_ref`."""
        return self.params.get("metadata[payout_ref]")


@functools.lru_cache(maxsize=1024)
def parse_form(form: bytes) -> Mapping[str, str]:
    """Parse a form; every request is asked for its parameters more than once."""
    params: dict[str, str] = {}
    for name, value in parse_qsl(form.decode(errors="replace"), keep_blank_values=True):
        params[_numbered(name, params)] = value
    return params


def _numbered(name: str, params: Mapping[str, str]) -> str:
    """Return ``types[0]``, then ``types[1]``, for a ``types[]`` that may come several times."""
    if not name.endswith("[]"):
        return name
    count = sum(known.startswith(name[:-1]) for known in params)
    return f"{name[:-1]}{count}]"


class Latch:
    """Holds requests until a test opens it; both sides may be in different threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_reached = threading.Event()
        self._is_open = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def wait_until_reached(self, *, timeout_seconds: float = PATIENCE_SECONDS) -> None:
        """Block until the first request waits at the latch. Raises TimeoutError."""
        if not self._is_reached.wait(timeout_seconds):
            raise TimeoutError("no request came to the latch")

    def open(self) -> None:
        """Let through all that wait and all that come."""
        with self._lock:
            self._is_open = True
            for loop, passage in self._waiting:
                loop.call_soon_threadsafe(passage.set)
            self._waiting.clear()

    async def passed(self) -> None:
        """Return when the latch is open."""
        waiting = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            if self._is_open:
                return
            self._waiting.append(waiting)
        self._is_reached.set()
        try:
            await waiting[1].wait()
        finally:
            with self._lock:
                if waiting in self._waiting:
                    self._waiting.remove(waiting)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault: its effect, how often it occurs, and for which requests.

    With ``effect="done"`` the request takes its ordinary course, which may also be a decline or a
    replay, and only the answer on its way differs from the one that is stored. With `is_saved` the
    fault's own answer is stored under the key; a key that is stored already is replayed instead.
    With ``effect="none"`` and unsaved, it happens before Stripe looks at the request: nothing is
    executed, nothing stored.
    """

    name: str = "fault"

    method: str | None = "POST"
    path: str | None = "/v1/transfers"
    destination: str | None = None
    payout_ref: str | None = None
    currency: str | None = None
    key: str | None = None
    where: Callable[[RecordedRequest], bool] | None = None
    skip: int = 0
    """Let so many of the requests it is meant for pass first."""
    every: int = 1
    """Then meet each so-manieth of them."""
    times: int | None = 1
    """How often it happens; None: until it is removed."""

    effect: Literal["none", "done", "late"] = "done"
    late_seconds: float = 60.0
    """When a late effect happens, by the double's clock."""
    execution_seconds: float = 0.0
    """How long the key is in flight before the effect."""
    hold_before: Latch | None = None
    """Wait here as if still on the way: before Stripe looks at the request."""
    hold_during: Latch | None = None
    """Wait here before the effect, with the key in flight."""
    hold_after: Latch | None = None
    """Wait here after the effect, before the answer."""

    status: int | None = None
    """The status to answer with; None: the true answer."""
    is_saved: bool = False
    error_type: str = "invalid_request_error"
    error_code: str | None = None
    error_message: str = "A fault was put in force."
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further headers; they replace the true ones."""
    body: bytes | str | None = None
    """This instead of an error body."""
    content_type: str = JSON
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a true object that the client sees otherwise."""
    removes: tuple[str, ...] = ()
    """Fields of a true object that the client does not see."""
    padding_bytes: int = 0
    """Blanks to append to the body."""
    is_gzipped: bool = False

    delivery: Literal["whole", "reset", "close", "hang", "cut", "trickle"] = "whole"
    answer_after_seconds: float = 0.0
    byte_seconds: float = 1.0
    """Pause between two bytes of a body that trickles."""

    def __post_init__(self) -> None:
        if self.status is None and (
            self.is_saved
            or self.effect == "late"
            or (self.effect == "none" and self.delivery == "whole")
        ):
            raise ValueError(f"the fault {self.name} does not say which answer the client sees")

    @classmethod
    def named(cls, name: str, **changes: Any) -> Self:
        """Return one of `NAMED_FAULTS`, with some of its fields changed. Raises KeyError."""
        if name not in NAMED_FAULTS:
            raise KeyError(f"there is no fault {name}: {', '.join(NAMED_FAULTS)}")
        return replace(cls(name=name, **NAMED_FAULTS[name]), **changes)

    def is_meant_for(self, request: RecordedRequest) -> bool:
        """Tell whether the request is of the kind that the fault meets, whatever its turn."""
        if self.method not in (None, request.method) or self.path not in (None, request.path):
            return False
        if self.key not in (None, request.key):
            return False
        params = request.params
        return (
            self.destination in (None, params.get("destination"))
            and self.payout_ref in (None, params.get("metadata[payout_ref]"))
            and self.currency in (None, params.get("currency"))
            and (self.where is None or self.where(request))
        )

    @property
    def comes_first(self) -> bool:
        """Whether it happens before Stripe looks at the request."""
        return self.effect == "none" and not self.is_saved


class FaultInForce:
    """A fault that was given to a double, with the count of requests that it has met."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen = 0
        """Requests it is meant for."""
        self.hits = 0
        """Requests it has met."""

    def meets(self, request: RecordedRequest) -> bool:
        """Tell whether it is this request's turn, and count it."""
        fault = self.fault
        if fault.times is not None and self.hits >= fault.times:
            return False
        if not fault.is_meant_for(request):
            return False
        self.seen += 1
        turn = self.seen - fault.skip
        if turn < 1 or (turn - 1) % fault.every:
            return False
        self.hits += 1
        return True


NAMED_FAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    # Before Stripe looks at the request: nothing executed, nothing saved.
    "rate_limited": {
        "effect": "none",
        "status": 429,
        "error_code": "rate_limit",
        "error_message": "Request rate limit exceeded.",
        "headers": {"Stripe-Rate-Limited-Reason": "global-rate"},
    },
    "lock_timeout": {
        "effect": "none",
        "status": 429,
        "error_code": "lock_timeout",
        "error_message": "This object cannot be accessed right now because another API request or "
        "Stripe process is currently accessing it.",
    },
    "key_in_use": {
        "effect": "none",
        "status": 409,
        "error_code": "idempotency_key_in_use",
        "error_message": "There is currently another in-progress request using this Idempotency "
        "Key.",
    },
    "unauthorized": {"effect": "none", "status": 401, "error_message": "Invalid API Key provided."},
    "key_expired": {
        "effect": "none",
        "status": 401,
        "error_code": "api_key_expired",
        "error_message": "Expired API Key provided.",
    },
    "forbidden": {
        "effect": "none",
        "status": 403,
        "error_message": "The provided key does not have the required permissions.",
    },
    "bad_gateway": {
        "effect": "none",
        "status": 502,
        "body": "<html>502</html>",
        "content_type": HTML,
    },
    "unavailable": {
        "effect": "none",
        "status": 503,
        "error_type": "api_error",
        "error_message": "Stripe is temporarily unavailable.",
    },
    "gateway_timeout": {
        "effect": "none",
        "status": 504,
        "body": "<html>504</html>",
        "content_type": HTML,
    },
    "reset_before_effect": {"effect": "none", "delivery": "reset"},
    "close_before_effect": {"effect": "none", "delivery": "close"},
    "hang_before_effect": {"effect": "none", "delivery": "hang"},
    # Saved under the key, like every answer once execution began.
    "declined": {
        "effect": "none",
        "status": 400,
        "is_saved": True,
        "error_code": "transfers_not_allowed",
        "error_message": "Transfers are not allowed.",
    },
    "server_error": {"effect": "none", "status": 500, "is_saved": True, "error_type": "api_error"},
    "server_error_after_effect": {"status": 500, "is_saved": True, "error_type": "api_error"},
    "server_error_before_late_effect": {
        "status": 500,
        "is_saved": True,
        "error_type": "api_error",
        "effect": "late",
    },
    # The money moves, the answer is lost or spoilt on its way.
    "unavailable_after_effect": {"status": 503, "error_type": "api_error"},
    "answer_reset": {"delivery": "reset"},
    "answer_lost": {"delivery": "close"},
    "answer_hangs": {"delivery": "hang"},
    "answer_cut": {"delivery": "cut"},
    "answer_trickles": {"delivery": "trickle"},
    "answer_delayed": {"answer_after_seconds": 1.0},
    "slow": {"execution_seconds": 1.0},
    # The money moves, the answer is wrong.
    "wrong_amount": {"changes": {"amount": 1}},
    "wrong_currency": {"changes": {"currency": "xts"}},
    "wrong_destination": {"changes": {"destination": "acct_another"}},
    "wrong_livemode": {"changes": {"livemode": True}},
    "wrong_payout_ref": {"changes": {"metadata": {"payout_ref": "another"}}},
    "wrong_object": {"changes": {"object": "payout", "id": "po_1"}},
    "missing_id": {"removes": ("id",)},
    "not_json": {"status": 200, "body": '{"object": "transfer", "id": '},
    "html_answer": {
        "status": 200,
        "body": "<html>Welcome to the proxy</html>",
        "content_type": HTML,
    },
    "empty_answer": {"status": 200, "body": ""},
    "redirected": {"status": 302, "body": "", "headers": {"Location": "/redirected"}},
    "huge_answer": {"padding_bytes": 100_000_000},
    "gzip_bomb": {"padding_bytes": 100_000_000, "is_gzipped": True},
}
