"""The adapter sends each order at most once, and its outcome claims no more than is known."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import math
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final

import pytest
from psycopg.types.json import Jsonb

from payout_engine.stripe_payout_adapter import (
    AccountUnknown,
    Page,
    Refused,
    StripePayoutAdapter,
    Unreadable,
    boot_seconds,
)
from payout_engine_sandbox.stripe_double import Fault, Latch, RecordedRequest, StripeDouble
from tests.conftest import Connection
from tests.worker.fakes import CANARY, http_answer, make_order, raw_server

Fields = dict[str, Any]
ANSWER = {
    "id": "tr_1",
    "object": "transfer",
    "amount": 1500,
    "amount_reversed": 0,
    "currency": "usd",
    "destination": "acct_1",
    "livemode": False,
    "metadata": {"payout_ref": "payout_1"},
}


def run(test: Callable[[StripeDouble, StripePayoutAdapter], Awaitable[None]]) -> None:
    """Run a test with a double and an adapter that speaks to it."""

    async def main() -> None:
        async with (
            StripeDouble() as double,
            StripePayoutAdapter(api_key=CANARY, api_base=double.url) as adapter,
        ):
            await test(double, adapter)

    asyncio.run(main())


@asynccontextmanager
async def adapter_for(base: str, **options: Any) -> AsyncIterator[StripePayoutAdapter]:
    async with StripePayoutAdapter(api_key=CANARY, api_base=base, **options) as adapter:
        yield adapter


async def send(adapter: StripePayoutAdapter, **changes: object) -> Fields:
    outcome: Any = await adapter.send(make_order(**changes), claimed_at=boot_seconds())  # type: ignore[arg-type]
    assert CANARY not in repr(outcome)
    assert json.loads(json.dumps(outcome)) == outcome
    fields: Fields = outcome
    return fields


def send_to(answer: bytes, **changes: object) -> Fields:
    """Return the outcome of an order whose request is answered by these bytes."""

    async def main() -> Fields:
        async with (
            raw_server(answer) as server,
            adapter_for(f"http://127.0.0.1:{server.port}") as adapter,
        ):
            return await send(adapter, **changes)

    return asyncio.run(main())


# Answers.


def test_a_paid_transfer_is_reported_with_the_answer_as_it_came() -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        outcome = await send(adapter)
        [transfer] = double.transfers()
        request_id = outcome.pop("stripe_request_id")
        assert request_id.startswith("req_")
        assert outcome == {
            "payout_transfer_id": 1,
            "generation": 1,
            "attempt": 1,
            "idempotency_key": "payout_1:1",
            "claim_token": "token_1",
            "signal": "response",
            "http_status": 200,
            "is_tied": True,
            "is_replayed": False,
            "should_retry": None,
            "rate_limited_reason": None,
            "retry_after_seconds": None,
            "body": transfer,
        }

    run(test)


def test_the_same_order_sent_again_is_replayed_and_moves_no_money() -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        first, second = await send(adapter), await send(adapter, attempt=2)
        assert (first["is_replayed"], second["is_replayed"]) == (False, True)
        assert first["body"] == second["body"]
        assert len(double.transfers()) == 1

    run(test)


def test_the_request_is_the_one_of_the_order_and_the_key_is_its_header() -> None:
    async def main() -> None:
        async with (
            raw_server(http_answer(json.dumps(ANSWER).encode())) as server,
            adapter_for(f"http://127.0.0.1:{server.port}") as adapter,
        ):
            await send(adapter)
        head, _, body = server.received[0].partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[0] == "POST /v1/transfers HTTP/1.1"
        assert "Idempotency-Key: payout_1:1" in lines
        assert f"Authorization: Bearer {CANARY}" in lines
        assert "Accept-Encoding: identity" in lines
        assert head.count(CANARY.encode()) == 1
        assert not any("telemetry" in line.lower() for line in lines)
        assert body == (
            b"amount=1500&currency=usd&destination=acct_1&transfer_group=payout_1"
            b"&metadata[payout_ref]=payout_1&metadata[settlement_id]=set_1"
            b"&metadata[payee_id]=seller_1"
        )

    asyncio.run(main())


def test_a_decline_is_reported_with_its_codes() -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        double.set_balance(currency="usd", available_minor=0)
        outcome = await send(adapter)
        assert (outcome["signal"], outcome["http_status"]) == ("response", 400)
        assert outcome["body"]["error"]["type"] == "invalid_request_error"
        assert outcome["body"]["error"]["code"] == "balance_insufficient"
        assert "insufficient funds" in outcome["body"]["error"]["message"]

    run(test)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("rate_limited", 429, "rate_limit"),
        ("lock_timeout", 429, "lock_timeout"),
        ("key_in_use", 409, "idempotency_key_in_use"),
        ("unauthorized", 401, None),
        ("key_expired", 401, "api_key_expired"),
        ("forbidden", 403, None),
        ("server_error", 500, None),
        ("unavailable", 503, None),
    ],
)
def test_an_error_of_any_status_is_a_response_and_is_not_sent_again(
    fault: str, status: int, code: str | None
) -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        double.inject(fault, times=None)
        outcome = await send(adapter)
        assert (outcome["signal"], outcome["http_status"]) == ("response", status)
        assert outcome["body"]["error"].get("code") == code
        assert outcome["body"]["error"]["message"]
        assert len(double.requests) == 1

    run(test)


def test_the_headers_that_steer_a_retry_are_reported() -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        steering = {
            "Stripe-Rate-Limited-Reason": "endpoint-rate",
            "Stripe-Should-Retry": "true",
            "Retry-After": "7",
        }
        double.inject("rate_limited", headers=steering)
        outcome = await send(adapter)
        assert outcome["rate_limited_reason"] == "endpoint-rate"
        assert outcome["should_retry"] == "true"
        assert outcome["retry_after_seconds"] == 7

    run(test)


@pytest.mark.parametrize("value", ["Wed, 21 Oct 2026 07:28:00 GMT", "-1", "1e9", "nan", "²", ""])
def test_a_retry_after_that_is_no_number_of_seconds_is_unknown(value: str) -> None:
    answer = http_answer(b"{}", status="429 Slow", headers=f"Retry-After: {value}\r\n")
    assert send_to(answer)["retry_after_seconds"] is None


def test_the_largest_transfer_that_stripe_makes_is_read() -> None:
    metadata = {f"{key:02}" + 38 * "\U0001f600": 500 * "\U0001f600" for key in range(50)}
    body = json.dumps(ANSWER | {"metadata": metadata, "description": 500 * "\U0001f600"})
    assert send_to(http_answer(body.encode()))["body"]["metadata"] == metadata


# Unreadable answers: a status came, and no whole JSON object with it.


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        ("answer_cut", "Unreadable: the body did not come whole: ClientPayloadError"),
        ("not_json", "Unreadable: the body is not JSON: JSONDecodeError"),
        ("html_answer", "Unreadable: the body is text/html, not application/json"),
        ("bad_gateway", "Unreadable: the body is text/html, not application/json"),
        ("empty_answer", "Unreadable: the body is not JSON: JSONDecodeError"),
        ("huge_answer", "Unreadable: the body did not come whole: Unreadable: the body is larger"),
        ("gzip_bomb", "Unreadable: the body did not come whole: Unreadable: the body is larger"),
        ("redirected", "Unreadable: a redirect, and none is followed"),
    ],
)
def test_an_answer_that_cannot_be_read_is_unreadable(fault: str, detail: str) -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        double.inject(fault)
        outcome = await send(adapter)
        assert outcome["signal"] == "unreadable"
        assert outcome["detail"].startswith(detail)
        assert outcome["http_status"] in (200, 302, 502)
        assert "body" not in outcome
        assert (await send(adapter))["signal"] == "response"

    run(test)


@pytest.mark.parametrize("body", [b"[]", b"null", b'"tr_1"', b"1" * 5000, b"[" * 50_000, b"\xff"])
def test_json_that_is_no_object_is_unreadable(body: bytes) -> None:
    assert send_to(http_answer(body))["signal"] == "unreadable"


def test_a_compressed_answer_is_unreadable() -> None:
    body = gzip.compress(json.dumps(ANSWER).encode())
    outcome = send_to(http_answer(body, headers="Content-Encoding: gzip\r\n"))
    assert outcome["detail"] == "Unreadable: the body is not JSON: JSONDecodeError"


@pytest.mark.parametrize("depth", [100, 450, 700, 950, 50_000])
def test_an_answer_of_any_depth_is_an_outcome_that_can_be_reported(depth: int) -> None:
    nested = b"%s1%s" % (depth * b'{"a":', depth * b"}")
    assert send_to(http_answer(nested))["signal"] in {"response", "unreadable"}


def test_a_body_that_trickles_is_unreadable_when_the_deadline_is_over() -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        double.inject("answer_trickles", byte_seconds=0.1)
        outcome = await send(adapter, deadline_seconds=1.5)
        assert outcome["signal"] == "unreadable"
        assert outcome["detail"] == "Unreadable: the body did not come whole: TimeoutError"

    run(test)


def test_a_redirect_is_not_followed_so_that_the_secret_goes_nowhere_else() -> None:
    async def main() -> None:
        async with raw_server() as elsewhere:
            location = f"Location: http://127.0.0.1:{elsewhere.port}/v1/transfers\r\n"
            for status in ("301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"):
                redirect = http_answer(b"{}", status=status, headers=location)
                async with (
                    raw_server(redirect) as server,
                    adapter_for(f"http://127.0.0.1:{server.port}") as adapter,
                ):
                    outcome = await send(adapter)
                assert outcome["signal"] == "unreadable"
            assert elsewhere.received == []

    asyncio.run(main())


# No answer: bytes may have left.


@pytest.mark.parametrize(
    "fault",
    [
        "reset_before_effect",
        "close_before_effect",
        "hang_before_effect",
        "answer_reset",
        "answer_lost",
        "answer_hangs",
    ],
)
def test_a_request_without_an_answer_is_unknown_whether_or_not_money_moved(fault: str) -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        double.inject(fault)
        outcome = await send(adapter, deadline_seconds=1.5 if "hang" in fault else 20.0)
        assert outcome["signal"] == "no_response"
        assert outcome["detail"]
        assert set(outcome) == {
            "payout_transfer_id",
            "generation",
            "attempt",
            "idempotency_key",
            "claim_token",
            "signal",
            "detail",
        }
        assert len(double.requests) == 1

    run(test)


def test_a_server_that_closes_in_the_middle_of_the_request_leaves_it_unknown() -> None:
    async def main() -> None:
        async with (
            raw_server(abort=True) as server,
            adapter_for(f"http://127.0.0.1:{server.port}") as adapter,
        ):
            outcome = await send(adapter, request={"description": "a" * 900_000})
            assert outcome["signal"] == "no_response"
            assert 0 < len(server.received[0]) < 900_000

    asyncio.run(main())


def test_a_cancelled_send_still_returns_its_outcome() -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        latch = Latch()
        double.inject("answer_delayed", hold_after=latch)
        sending = asyncio.create_task(send(adapter))
        await asyncio.to_thread(latch.wait_until_reached)
        sending.cancel()
        outcome = await sending
        assert (outcome["signal"], outcome["detail"]) == ("no_response", "CancelledError")
        latch.open()

    run(test)


# Not sent.


def test_a_refused_connection_is_not_sent() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]

        async def main() -> None:
            async with adapter_for(f"http://127.0.0.1:{port}") as adapter:
                outcome = await send(adapter)
            assert outcome["signal"] == "not_sent"
            assert outcome["detail"].startswith("ClientConnectorError: Cannot connect to host")
            assert "http_status" not in outcome

        asyncio.run(main())


def test_a_name_that_does_not_resolve_is_not_sent() -> None:
    async def main() -> None:
        async with adapter_for("https://stripe.invalid") as adapter:
            outcome = await send(adapter)
        assert outcome["signal"] == "not_sent"
        assert outcome["detail"].startswith("ClientConnectorDNSError")

    asyncio.run(main())


def test_nothing_is_sent_to_a_server_with_an_untrusted_certificate() -> None:
    async def main() -> None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(Path(__file__).with_name("self_signed.pem"))
        async with (
            raw_server(tls=tls) as server,
            adapter_for(f"https://localhost:{server.port}") as adapter,
        ):
            outcome = await send(adapter)
        assert outcome["signal"] == "not_sent"
        assert outcome["detail"].startswith("ClientConnectorCertificateError")
        assert server.received == []

    asyncio.run(main())


def test_nothing_is_sent_to_a_server_without_tls() -> None:
    async def main() -> None:
        async with (
            raw_server(b"no\r\n\r\n") as server,
            adapter_for(f"https://localhost:{server.port}") as adapter,
        ):
            outcome = await send(adapter, deadline_seconds=1.0)
        assert outcome["signal"] == "not_sent"
        assert CANARY.encode() not in b"".join(server.received)

    asyncio.run(main())


def test_an_order_without_a_key_is_not_sent_because_the_sdk_would_invent_one() -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        for nothing in ("", None):
            outcome = await send(adapter, idempotency_key=nothing)
            assert outcome["signal"] == "not_sent"
            assert outcome["detail"] == "ValueError: the order has no idempotency key"
        assert double.requests == []

    run(test)


def test_an_order_whose_key_cannot_be_a_header_is_not_sent() -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        outcome = await send(adapter, idempotency_key="a\r\nStripe-Account: acct_2")
        assert outcome["signal"] == "not_sent"
        assert double.requests == []

    run(test)


def test_a_lease_that_leaves_no_time_for_the_deadline_is_not_sent() -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        too_late = await adapter.send(make_order(), claimed_at=boot_seconds() - 10.0)
        assert too_late["signal"] == "not_sent"
        assert str(too_late["detail"]).startswith("LeaseTooOld: too late to begin by 0.")
        assert double.requests == []
        in_time = await adapter.send(make_order(), claimed_at=boot_seconds() - 9.0)
        assert in_time["signal"] == "response"

    run(test)


def test_a_process_that_was_stopped_after_it_connected_sends_nothing() -> None:
    """The clock jumps once the connection stands, as with SIGSTOP and SIGCONT."""

    async def main() -> None:
        now = boot_seconds()
        async with raw_server() as server:
            base = f"http://127.0.0.1:{server.port}"
            async with adapter_for(base, clock=lambda: now + 3600) as adapter:
                outcome = await adapter.send(make_order(), claimed_at=now)
        assert outcome["signal"] == "not_sent"
        assert outcome["detail"] == "LeaseTooOld: too late to begin by 3590.0 s"
        assert server.received == [b""]

    asyncio.run(main())


@pytest.mark.parametrize("is_reused", [False, True])
def test_the_lease_is_checked_before_the_first_byte_of_the_request(is_reused: bool) -> None:
    """The adapter relies on this in aiohttp: headers wait for the body's first write."""

    async def main() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(5)
        connections: list[socket.socket] = []
        seen: list[str] = []

        def clock() -> float:
            if not connections:
                connections.append(listener.accept()[0])
            connections[0].setblocking(False)
            try:
                seen.append(repr(connections[0].recv(1)))
            except BlockingIOError:
                seen.append("nothing")
            return math.inf if not is_reused or len(seen) == 2 else 0.0

        port = listener.getsockname()[1]
        async with adapter_for(f"http://127.0.0.1:{port}", clock=clock) as adapter:
            sending = asyncio.create_task(adapter.send(make_order(), claimed_at=0.0))
            if is_reused:
                while not connections:
                    await asyncio.sleep(0)
                loop = asyncio.get_running_loop()
                await loop.sock_recv(connections[0], 65536)
                await loop.sock_sendall(connections[0], http_answer(b"{}"))
                assert (await sending)["signal"] == "response"
                sending = asyncio.create_task(adapter.send(make_order(), claimed_at=0.0))
            assert (await sending)["signal"] == "not_sent"
        assert seen == ["nothing"] * (2 if is_reused else 1)
        for connection in connections:
            assert connection.recv(1) == b""
            connection.close()
        listener.close()

    asyncio.run(main())


# The way to Stripe and back.


def test_the_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        async with raw_server() as proxy:
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
                monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
            assert (await send(adapter))["signal"] == "response"
            assert proxy.received == []

    run(test)


def test_cookies_are_not_kept() -> None:
    async def main() -> None:
        cookie = "Set-Cookie: session=1; Path=/\r\nConnection: close\r\n"
        async with (
            raw_server(http_answer(b"{}", headers=cookie)) as server,
            adapter_for(f"http://localhost:{server.port}") as adapter,
        ):
            await send(adapter)
            await send(adapter)
        assert len(server.received) == 2
        assert b"cookie" not in server.received[1].lower()

    asyncio.run(main())


def test_an_answer_that_names_another_key_is_unreadable_and_ends_its_connection() -> None:
    """A hop that gives the answer to one request a second time, to the next one."""

    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        double.inject(
            Fault(
                name="declined",
                status=400,
                error_code="balance_insufficient",
                headers={"Idempotency-Key": "payout_9:1"},
            )
        )
        outcome = await send(adapter)
        assert outcome["signal"] == "unreadable"
        assert outcome["detail"] == "Unreadable: the answer is one to another request"
        assert outcome["is_tied"] is False
        await send(adapter)
        first, second = double.requests
        assert first.connection != second.connection

    run(test)


@pytest.mark.parametrize("named", [["payout_1:1", "payout_9:1"], ["payout_9:1", "payout_1:1"]])
def test_an_answer_that_names_two_keys_is_unreadable(named: list[str]) -> None:
    """A hop that makes one answer of two, each with its header."""
    refused = b'{"error": {"type": "invalid_request_error", "code": "balance_insufficient"}}'
    headers = "".join(f"Idempotency-Key: {key}\r\n" for key in named)
    answer = http_answer(
        refused, status="400 Bad Request", headers=f"{headers}Connection: close\r\n"
    )

    async def main() -> None:
        async with (
            raw_server(answer) as server,
            adapter_for(f"http://127.0.0.1:{server.port}") as adapter,
        ):
            outcome = await send(adapter)
        assert (outcome["signal"], outcome["is_tied"]) == ("unreadable", False)

    asyncio.run(main())


@pytest.mark.parametrize("status", ["403 Forbidden", "429 Too Many Requests"])
def test_a_refusal_that_came_before_is_unreadable_though_it_names_no_key(status: str) -> None:
    """A hop gives the refusal of one transfer a second time: the second one may have been made."""
    refused = b'{"error": {"type": "invalid_request_error", "code": "account_closed"}}'
    answer = http_answer(
        refused, status=status, headers="Request-Id: req_1\r\nConnection: close\r\n"
    )

    async def main() -> None:
        async with (
            raw_server(answer) as server,
            adapter_for(f"http://127.0.0.1:{server.port}") as adapter,
        ):
            assert (await send(adapter, number=1))["signal"] == "response"
            copied = await send(adapter, number=2)
            assert (copied["signal"], copied["http_status"]) == ("unreadable", int(status[:3]))

    asyncio.run(main())


@pytest.mark.parametrize("underscore", ["_", r"\u005f"])
def test_a_secret_in_an_answer_is_struck_out(underscore: str) -> None:
    error = {"error": {"message": f"No such key: {CANARY}", "code": CANARY, CANARY: [CANARY]}}
    body = json.dumps(error).replace("_", underscore).encode()
    outcome = send_to(http_answer(body, status="401 Unauthorized"))
    assert outcome["body"] == {
        "error": {"message": "No such key: ***", "code": "***", "***": ["***"]}
    }


def test_requests_share_connections_and_stay_within_the_limit() -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        async with adapter_for(double.url, max_in_flight=3) as narrow:
            orders = [make_order(number) for number in range(12)]
            sends = [narrow.send(order, claimed_at=boot_seconds()) for order in orders]
            outcomes = await asyncio.gather(*sends)
        assert {outcome["signal"] for outcome in outcomes} == {"response"}
        assert len({request.connection for request in double.requests}) <= 3

    run(test)


def test_the_money_arrives_once_when_a_late_request_is_sent_again() -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        latch = Latch()
        double.inject("slow", hold_before=latch, execution_seconds=0.0)
        late = await send(adapter, deadline_seconds=1.5)
        paid = await send(adapter, attempt=2)
        latch.open()
        again = await send(adapter, attempt=3)
        assert [late["signal"], paid["signal"], again["signal"]] == [
            "no_response",
            "response",
            "response",
        ]
        assert len(double.effects("payout_1")) == 1

    run(test)


# The account of the key.


def test_the_account_of_the_key_is_known() -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        assert (await adapter.account_id()).startswith("acct_")
        request: RecordedRequest = double.requests[0]
        assert (request.method, request.path) == ("GET", "/v1/account")
        await adapter.account_id()
        assert len(double.requests) == 1

    run(test)


def test_the_error_for_a_refused_key_does_not_contain_the_key() -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        double.revoke_key(api_key=CANARY)
        with pytest.raises(AccountUnknown, match=r"HTTP status 401: Invalid API Key") as caught:
            await adapter.account_id()
        assert CANARY not in str(caught.value)

    run(test)


def test_stripe_is_asked_for_the_account_until_it_answers() -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        double.inject("missing_id", method="GET", path="/v1/account")
        with pytest.raises(AccountUnknown, match="the answer is no account of Stripe's"):
            await adapter.account_id()
        double.inject("gateway_timeout", method="GET", path="/v1/account")
        with pytest.raises(AccountUnknown, match="Stripe does not say whose key it is"):
            await adapter.account_id()
        assert await adapter.account_id() == "acct_platform"

    run(test)


@pytest.mark.parametrize(
    "answer",
    [
        {"id": "req_other", "object": "event"},
        {"id": "acct_1", "object": "transfer"},
        {"id": "ACCT_1", "object": "account"},
        {"id": "acct_1\n", "object": "account"},
    ],
)
def test_an_answer_that_is_no_account_is_not_believed(answer: dict[str, str]) -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        double.inject(
            Fault(
                name="other", method="GET", path="/v1/account", status=200, body=json.dumps(answer)
            )
        )
        with pytest.raises(AccountUnknown, match="the answer is no account of Stripe's"):
            await adapter.account_id()
        assert await adapter.account_id() == "acct_platform"

    run(test)


@pytest.mark.parametrize("fault", ["unauthorized", "forbidden"])
def test_after_a_refusal_stripe_is_asked_for_the_account_again(fault: str) -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        await adapter.account_id()
        double.inject(fault)
        await send(adapter)
        await adapter.account_id()
        assert [request.path for request in double.requests] == [
            "/v1/account",
            "/v1/transfers",
            "/v1/account",
        ]

    run(test)


# Lists.


def test_a_list_is_read_page_by_page_newest_first() -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        for number in range(1, 102):
            await send(adapter, number=number)
        query = {"created": {"gte": 1}, "destination": "acct_1"}
        first = await adapter.list_page("/v1/transfers", query)
        assert (len(first.data), first.has_more) == (100, True)
        last = await adapter.list_page(
            "/v1/transfers", {**query, "starting_after": first.data[-1]["id"]}
        )
        assert (len(last.data), last.has_more) == (1, False)
        assert [*first.data, *last.data] == double.transfers()[::-1]
        assert double.requests[-1].params["created[gte]"] == "1"
        assert double.requests[-1].key is None

    run(test)


def test_a_list_does_not_wait_for_transfers_under_way() -> None:
    async def test(double: StripeDouble, adapter: StripePayoutAdapter) -> None:
        latch = Latch()
        double.inject("slow", hold_before=latch)
        async with adapter_for(double.url, max_in_flight=1) as narrow:
            sending = asyncio.create_task(send(narrow))
            await asyncio.to_thread(latch.wait_until_reached)
            assert (await narrow.list_page("/v1/transfers", {})).data == []
            latch.open()
            await sending

    run(test)


def list_answer(request_id: str, ago: timedelta = timedelta()) -> bytes:
    date = format_datetime(datetime.now(UTC) - ago, usegmt=True)
    return http_answer(
        b'{"object":"list","data":[],"has_more":false}',
        headers=f"Request-Id: {request_id}\r\nDate: {date}\r\n",
    )


@asynccontextmanager
async def one_answer_each(
    answers: Iterator[bytes], connections: list[int] | None = None
) -> AsyncIterator[int]:
    """Run a server that gives each request the next answer and keeps its connections."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if connections is not None:
            connections.append(1)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(next(answers))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    async with server:
        yield server.sockets[0].getsockname()[1]


FIRST_ANSWER: Final = list_answer("req_1")


@pytest.mark.parametrize(
    "copy",
    [FIRST_ANSWER, list_answer("req_kept", timedelta(hours=1))],
    ids=["given twice", "kept for an hour"],
)
def test_a_page_that_a_hop_has_copied_is_unreadable_and_ends_its_connection(copy: bytes) -> None:
    """The attack: an empty page from before a transfer was made, as proof that it was not."""

    async def main() -> None:
        answers = iter([FIRST_ANSWER, copy, list_answer("req_2"), list_answer("req_3")])
        connections: list[int] = []
        async with (
            one_answer_each(answers, connections) as port,
            adapter_for(f"http://127.0.0.1:{port}") as adapter,
        ):
            assert (await adapter.list_page("/v1/transfers", {"destination": "acct_1"})).data == []
            with pytest.raises(Unreadable, match="a copy of an earlier answer"):
                await adapter.list_page("/v1/transfers", {"destination": "acct_2"})
            assert len(connections) == 1
            for _ in range(2):
                assert (await adapter.list_page("/v1/transfers", {})).data == []
            assert len(connections) == 2

    asyncio.run(main())


def test_a_double_may_give_all_its_answers_one_id() -> None:
    async def main() -> None:
        answers = (list_answer("req_123", timedelta(seconds=-number)) for number in range(3))
        async with (
            one_answer_each(answers) as port,
            adapter_for(f"http://127.0.0.1:{port}") as adapter,
        ):
            for _ in range(3):
                assert (await adapter.list_page("/v1/transfers", {})).data == []

    asyncio.run(main())


def test_a_time_that_was_wrong_is_corrected_by_the_answer_for_the_account() -> None:
    account = b'{"object": "account", "id": "acct_platform"}'
    now = format_datetime(datetime.now(UTC), usegmt=True)
    answers = iter(
        [
            list_answer("req_1", timedelta(days=-1)),
            list_answer("req_2"),
            http_answer(account, headers=f"Request-Id: req_3\r\nDate: {now}\r\n"),
            list_answer("req_4"),
        ]
    )

    async def main() -> None:
        async with (
            one_answer_each(answers) as port,
            adapter_for(f"http://127.0.0.1:{port}") as adapter,
        ):
            await adapter.list_page("/v1/transfers", {})
            with pytest.raises(Unreadable):
                await adapter.list_page("/v1/transfers", {})
            assert await adapter.account_id() == "acct_platform"
            await adapter.list_page("/v1/transfers", {})

    asyncio.run(main())


def test_a_time_that_is_doubted_is_asked_for_again_once_a_minute() -> None:
    """The attack: a machine that its hypervisor stopped for an hour; its boot clock stood still."""
    now = 1000.0

    async def main() -> None:
        nonlocal now
        async with (
            StripeDouble() as double,
            adapter_for(double.url, clock=lambda: now) as adapter,
        ):
            double.inject("slow", execution_seconds=0, method=None, path=None, headers=AN_HOUR_AGO)
            told = [(await adapter.identity())["p_stripe_now"]]
            for seconds in (0, 30, 31):
                now += seconds
                adapter.doubt_time()
                told.append((await adapter.identity())["p_stripe_now"])
            assert len(double.requests) == 3
        late, *others = (datetime.now(UTC) - time for time in told)
        assert late > timedelta(minutes=59)
        assert all(abs(difference) < timedelta(minutes=2) for difference in others)

    asyncio.run(main())


AN_HOUR_AGO: Final = {"Date": format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)}
UNSTORABLE: Final = {
    rb'"half an emoji \ud83d"': "half an emoji ?",
    rb'"an emoji \ud83d\ude00"': "an emoji \U0001f600",
    rb'"a NUL \u0000."': "a NUL \ufffd.",
    b'"no UTF-8 \xff"': "no UTF-8 \ufffd",
    b"1e400": "1e400",
    b"-1e400": "-1e400",
    b"NaN": "NaN",
    b"-Infinity": "-Infinity",
    5000 * b"9": 5000 * "9",
    30 * b"9": int(30 * "9"),
    b"1500": 1500,
    b"-3": -3,
    b"1.5": 1.5,
    b"null": None,
    rb'["\ud83d", {"\ud83d": "\u0000"}]': ["?", {"?": "\ufffd"}],
}


@pytest.mark.parametrize("sent", UNSTORABLE, ids=lambda sent: repr(sent[:20]))
def test_whatever_anybody_put_into_an_object_can_be_stored(
    workbench: Connection, sent: bytes
) -> None:
    """One transfer with half an emoji in its metadata would stop the reading of all."""
    data = b'[{"id": "tr_1", "x": %s}, {"amount": 15}]' % sent
    body = b'{"object": "list", "has_more": false, "data": %s}' % data

    async def main() -> Page:
        async with (
            raw_server(http_answer(body)) as server,
            adapter_for(f"http://127.0.0.1:{server.port}") as adapter,
        ):
            return await adapter.list_page("/v1/transfers", {})

    page = asyncio.run(main())
    assert page.data == [{"id": "tr_1", "x": UNSTORABLE[sent]}, {"amount": 15}]
    assert json.dumps(page.data[1]) == '{"amount": 15}'
    stored = workbench.execute("select %s::jsonb", [Jsonb(page.data)]).fetchone()
    assert stored == (page.data,)


@pytest.mark.parametrize("sent", UNSTORABLE, ids=lambda sent: repr(sent[:20]))
def test_an_answer_is_read_whatever_stands_in_it(workbench: Connection, sent: bytes) -> None:
    """The transfer was made: its id and amount are not lost for what stands beside them."""
    answer = json.dumps(ANSWER | {"amount_reversed": "SENT", "description": "SENT"}).encode()
    outcome = send_to(http_answer(answer.replace(b'"SENT"', sent)))
    assert outcome["body"]["description"] == UNSTORABLE[sent]
    read = workbench.execute(
        "select o.stripe_transfer_id, o.amount_minor, o.payout_ref, o.body -> 'description' "
        "from payout.read_outcomes(%s) as r cross join unnest(r) as o",
        [Jsonb([outcome])],
    ).fetchone()
    assert read == ("tr_1", 1500, "payout_1", UNSTORABLE[sent])


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (http_answer(b'{"object":"transfer"}'), Unreadable, "not a list"),
        (http_answer(b'{"object":"list","data":[]}'), Unreadable, "whether there is more"),
        (
            http_answer(b'{"object":"list","data":[],"has_more":true}'),
            Unreadable,
            "whether there is more",
        ),
        (http_answer(b"{}", status="302 Found", headers="Location: /\r\n"), Refused, "302"),
        (http_answer(b"<html>", status="502 Bad Gateway"), Refused, "502"),
        (
            http_answer(
                b'{"error":{"message":"slow down sk_test_canary0123456789"}}',
                status="429 Too Many Requests",
            ),
            Refused,
            r"HTTP status 429: slow down \*\*\*",
        ),
    ],
)
def test_an_answer_that_is_no_page_of_a_list_is_raised(
    answer: bytes, error: type[Exception], message: str
) -> None:
    async def main() -> None:
        async with (
            raw_server(answer) as server,
            adapter_for(f"http://127.0.0.1:{server.port}") as adapter,
        ):
            with pytest.raises(error, match=message):
                await adapter.list_page("/v1/transfers", {})
        assert len(server.received) == 1

    asyncio.run(main())
