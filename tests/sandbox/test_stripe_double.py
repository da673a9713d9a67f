"""The Stripe double behaves as Stripe is known to, and fails only as a test orders.

The requests are made with the plainest client there is, so that nothing repairs an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.client
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web

from payout_engine_sandbox.stripe_books import StripeBooks, StripeRefusalError
from payout_engine_sandbox.stripe_double import Fault, Latch, RecordedRequest, StripeDouble
from payout_engine_sandbox.stripe_faults import NAMED_FAULTS

CHECKOUT = Path(__file__).resolve().parents[2]
REQUEST = {
    "amount": "1500",
    "currency": "usd",
    "destination": "acct_1",
    "transfer_group": "payout_a",
    "metadata[payout_ref]": "payout_a",
    "metadata[settlement_id]": "set_1",
}
INVALID = "invalid_request_error"
START = 1_800_000_000.0


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, str]:
        found = self.json["error"]
        assert isinstance(found, dict)
        return found

    @property
    def is_replay(self) -> bool:
        return self.headers.get("Idempotent-Replayed") == "true"


Call = Callable[..., Reply]


@pytest.fixture
def double() -> Iterator[StripeDouble]:
    with StripeDouble.in_thread(clock=lambda: START) as double:
        yield double


@pytest.fixture
def call(double: StripeDouble) -> Call:
    def send(
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        key: str | None = None,
        api_key: str | None = "sk_test_1",
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
    ) -> Reply:
        sent = dict(headers or {})
        if api_key is not None:
            sent["Authorization"] = f"Bearer {api_key}"
        if key is not None:
            sent["Idempotency-Key"] = key
        form = urlencode(params or {})
        if method == "GET":
            path, form = f"{path}?{form}" if form else path, ""
        connection = http.client.HTTPConnection(double.host, double.port, timeout=timeout)
        with contextlib.closing(connection):
            connection.request(method, path, body=form, headers=sent)
            response = connection.getresponse()
            return Reply(response.status, dict(response.getheaders()), response.read())

    return send


@pytest.fixture
def pay(call: Call) -> Call:
    """Ask for a transfer; keyword arguments change the request."""

    def send(key: str | None = "key_1", /, **changes: str | None) -> Reply:
        params = {name: value for name, value in (REQUEST | changes).items() if value is not None}
        return call("POST", "/v1/transfers", params, key=key)

    return send


def test_a_transfer_moves_the_money_and_is_the_truth_of_its_payout_ref(
    double: StripeDouble, pay: Call
) -> None:
    double.set_balance(currency="usd", available_minor=2000)
    reply = pay()
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Request-Id"].startswith("req_")
    assert reply.json == {
        "id": reply.json["id"],
        "object": "transfer",
        "amount": 1500,
        "amount_reversed": 0,
        "balance_transaction": reply.json["balance_transaction"],
        "created": int(START),
        "currency": "usd",
        "description": None,
        "destination": "acct_1",
        "destination_payment": reply.json["destination_payment"],
        "livemode": False,
        "metadata": {"payout_ref": "payout_a", "settlement_id": "set_1"},
        "reversals": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/transfers/{reply.json['id']}/reversals",
        },
        "reversed": False,
        "source_transaction": None,
        "source_type": "card",
        "transfer_group": "payout_a",
    }
    assert double.effects("payout_a") == [reply.json]
    assert double.effects("payout_b") == []
    assert double.balance_minor("usd") == 500


# Idempotency.


def test_the_same_request_again_is_replayed(double: StripeDouble, pay: Call, call: Call) -> None:
    first = pay()
    again = call("POST", "/v1/transfers", dict(reversed(REQUEST.items())), key="key_1")
    assert (again.status, again.body) == (200, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert "Idempotent-Replayed" not in first.headers
    assert len(double.effects("payout_a")) == 1


def test_a_request_without_a_key_moves_money_every_time(double: StripeDouble, pay: Call) -> None:
    pay(None)
    pay(None)
    assert len(double.effects("payout_a")) == 2


def test_other_parameters_under_the_same_key_are_refused(double: StripeDouble, pay: Call) -> None:
    first = pay()
    other = pay(amount="1501")
    assert other.status == 400
    assert other.error["type"] == "idempotency_error"
    assert "same parameters" in other.error["message"]
    assert "code" not in other.error
    assert pay().body == first.body
    assert len(double.transfers()) == 1


def test_another_endpoint_under_the_same_key_is_refused(
    double: StripeDouble, pay: Call, call: Call
) -> None:
    transfer = pay().json
    other = call("POST", f"/v1/transfers/{transfer['id']}/reversals", key="key_1")
    assert other.status == 400
    assert other.error["type"] == "idempotency_error"
    assert "same endpoint" in other.error["message"]
    assert double.effects("payout_a")[0]["amount_reversed"] == 0


def test_a_key_in_flight_is_refused_and_that_is_not_saved(double: StripeDouble, pay: Call) -> None:
    latch = Latch()
    double.inject("slow", execution_seconds=0.0, hold_during=latch)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(pay)
        latch.wait_until_reached()
        second = pay()
        assert second.status == 409
        assert second.error["code"] == "idempotency_key_in_use"
        assert second.error["type"] == INVALID
        assert double.effects("payout_a") == []
        latch.open()
        assert first.result().status == 200
    assert pay().is_replay
    assert len(double.effects("payout_a")) == 1


def test_fifty_requests_at_once_under_one_key_move_the_money_once(
    double: StripeDouble, pay: Call
) -> None:
    double.set_latency(seconds=0.02)
    with ThreadPoolExecutor(max_workers=50) as pool:
        replies = list(pool.map(lambda _: pay(), range(50)))
    assert {reply.status for reply in replies} <= {200, 409}
    assert [reply.is_replay for reply in replies if reply.status == 200].count(False) == 1
    assert len(double.effects("payout_a")) == 1


def test_a_key_is_forgotten_after_24_hours(double: StripeDouble, pay: Call) -> None:
    pay()
    double.advance(hours=24, seconds=-1)
    assert pay().is_replay
    double.advance(seconds=1)
    assert not pay().is_replay
    assert len(double.effects("payout_a")) == 2


def test_keys_of_two_modes_have_nothing_to_do_with_each_other(call: Call) -> None:
    test = call("POST", "/v1/transfers", REQUEST, key="key_1", api_key="sk_test_1")
    live = call("POST", "/v1/transfers", REQUEST, key="key_1", api_key="rk_live_1")
    assert not live.is_replay
    assert (test.json["livemode"], live.json["livemode"]) == (False, True)


def test_keys_of_two_accounts_have_nothing_to_do_with_each_other(call: Call) -> None:
    call("POST", "/v1/transfers", REQUEST, key="key_1")
    other = call(
        "POST", "/v1/transfers", REQUEST, key="key_1", headers={"Stripe-Account": "acct_2"}
    )
    assert not other.is_replay


def test_two_secret_keys_of_one_account_share_its_idempotency_keys(call: Call) -> None:
    call("POST", "/v1/transfers", REQUEST, key="key_1", api_key="sk_test_1")
    assert call("POST", "/v1/transfers", REQUEST, key="key_1", api_key="sk_test_2").is_replay


def test_an_idempotency_key_of_more_than_255_characters_is_refused(pay: Call) -> None:
    assert pay("k" * 255).status == 200
    refused = pay("k" * 256)
    assert refused.status == 400
    assert "at most 255 characters" in refused.error["message"]


# Refusals before execution: never saved.

VALIDATION = [
    ({"currency": None}, "parameter_missing", "currency", "Missing required param: currency."),
    ({"destination": None}, "parameter_missing", "destination", "Missing required param"),
    ({"amount": None}, "parameter_missing", "amount", "Missing required param: amount."),
    ({"idempotency_key": "k"}, "parameter_unknown", "idempotency_key", "unknown parameter"),
    ({"metadata": "x"}, "parameter_unknown", "metadata", "unknown parameter: metadata"),
    ({"amount": "0"}, "parameter_invalid_integer", "amount", "greater than or equal to 1"),
    ({"amount": "-5"}, "parameter_invalid_integer", "amount", "greater than or equal to 1"),
    ({"amount": "12.5"}, "parameter_invalid_integer", "amount", "Invalid integer: 12.5"),
    ({"amount": "1_0"}, "parameter_invalid_integer", "amount", "Invalid integer: 1_0"),
    ({"amount": "11", "currency": "kwd"}, None, "amount", "divisible by 10"),
    ({"amount": "150", "currency": "isk"}, None, "amount", "divisible by 100"),
    ({"currency": "USD"}, None, "currency", "Invalid currency: USD"),
    ({"currency": ""}, "parameter_invalid_empty", "currency", "an empty string for 'currency'"),
    ({"description": "d" * 5001}, "parameter_invalid_string_too_long", "description", "at most"),
    ({"source_type": "cash"}, None, "source_type", "must be one of bank_account"),
    ({"expand[]": "balance_transaction"}, None, "expand", "cannot be expanded"),
    ({"metadata[a[b]": "x"}, None, "metadata", "Invalid metadata key: metadata[a[b]"),
    ({f"metadata[{'k' * 41}]": "x"}, None, "metadata", "can have up to 40 characters"),
    ({"metadata[a]": "v" * 501}, None, "metadata[a]", "can have up to 500 characters"),
    ({f"metadata[{n}]": "x" for n in range(49)}, None, "metadata", "only have 50 metadata keys"),
]


@pytest.mark.parametrize(("changes", "code", "param", "message"), VALIDATION)
def test_an_invalid_request_is_refused_and_not_saved(
    double: StripeDouble,
    pay: Call,
    changes: dict[str, str | None],
    code: str | None,
    param: str,
    message: str,
) -> None:
    refused = pay(**changes)
    assert refused.status == 400
    assert refused.error["type"] == INVALID
    assert refused.error.get("code") == code
    assert refused.error["param"] == param
    assert message in refused.error["message"]
    assert double.transfers() == []
    assert pay().status == 200
    assert not pay("key_2").is_replay


def test_an_amount_may_have_more_than_eight_digits(pay: Call) -> None:
    assert pay(amount="999999999999", currency="huf").status == 200


def test_an_empty_metadata_value_is_no_metadata(pay: Call) -> None:
    assert pay(**{"metadata[settlement_id]": ""}).json["metadata"] == {"payout_ref": "payout_a"}


def test_an_expanded_destination_is_the_account(double: StripeDouble, pay: Call) -> None:
    reply = pay(**{"expand[0]": "destination"})
    assert reply.json["destination"]["object"] == "account"
    assert reply.json["destination"]["id"] == "acct_1"
    assert double.effects("payout_a")[0]["destination"] == "acct_1"


@pytest.mark.parametrize("api_key", [None, "pk_test_1", "nonsense", "sk_test_revoked"])
def test_a_request_without_a_valid_secret_key_is_refused_and_not_saved(
    double: StripeDouble, call: Call, api_key: str | None
) -> None:
    double.revoke_key(api_key="sk_test_revoked")
    refused = call("POST", "/v1/transfers", REQUEST, key="key_1", api_key=api_key)
    assert refused.status == 401
    assert "API" in refused.error["message"]
    paid = call("POST", "/v1/transfers", REQUEST, key="key_1")
    assert (paid.status, paid.is_replay) == (200, False)


def test_basic_authentication_serves_as_well(call: Call) -> None:
    basic = {"Authorization": "Basic c2tfdGVzdF8xOg=="}
    assert call("GET", "/v1/balance", api_key=None, headers=basic).status == 200


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/charges"), ("POST", "/v1/transfers/a/b"), ("PUT", "/v1")]
)
def test_an_unknown_url_is_refused(call: Call, method: str, path: str) -> None:
    refused = call(method, path)
    assert refused.status == 404
    assert refused.error["message"] == f"Unrecognized request URL ({method}: {path})."


# Declines: saved, because execution began.

DECLINES = [
    ({"currency": "eur"}, "balance_insufficient", "insufficient funds"),
    ({"destination": "acct_closed"}, "account_invalid", "has been closed"),
    (
        {"destination": "acct_incapable"},
        "insufficient_capabilities_for_transfer",
        "needs to have at least one of the following capabilities",
    ),
    ({"destination": "acct_unknown"}, "resource_missing", "No such destination: 'acct_unknown'"),
    ({"destination": "ba_1"}, "resource_missing", "No such destination: 'ba_1'"),
    ({"destination": "acct_platform"}, None, "your own account"),
    ({"source_transaction": "ch_2"}, "resource_missing", "No such charge: 'ch_2'"),
    ({"source_transaction": "ch_1", "currency": "gbp"}, None, "must be the same as the transfer"),
    ({"source_transaction": "ch_1", "amount": "4001"}, None, "must not exceed the source amount"),
]


@pytest.mark.parametrize(("changes", "code", "message"), DECLINES)
def test_a_decline_moves_nothing_and_is_replayed_after_changes(
    double: StripeDouble, pay: Call, changes: dict[str, str], code: str | None, message: str
) -> None:
    double.set_balance(currency="eur", available_minor=1499)
    double.set_account(account_id="acct_closed", state="closed")
    double.set_account(account_id="acct_incapable", state="incapable")
    double.set_account(account_id="acct_unknown", state="unknown")
    double.add_charge(charge_id="ch_1", amount_minor=4000, currency="usd")
    declined = pay(**changes)
    assert declined.status == 400
    assert declined.error["type"] == INVALID
    assert declined.error.get("code") == code
    assert message in declined.error["message"]
    assert not declined.is_replay
    double.set_balance(currency="eur", available_minor=10_000)
    double.set_account(account_id=changes.get("destination", "acct_1"), state="open")
    again = pay(**changes)
    assert (again.status, again.body, again.is_replay) == (400, declined.body, True)
    assert double.transfers() == []


def test_a_new_key_pays_when_funds_have_come(double: StripeDouble, pay: Call) -> None:
    double.set_balance(currency="usd", available_minor=0)
    assert pay("key_1").error["code"] == "balance_insufficient"
    double.set_balance(currency="usd", available_minor=1500)
    assert pay("key_2").status == 200
    assert double.balance_minor("usd") == 0


def test_an_account_cannot_be_in_a_state_that_does_not_exist(double: StripeDouble) -> None:
    with pytest.raises(ValueError, match="an account cannot be 'shut'"):
        double.set_account(account_id="acct_1", state="shut")  # type: ignore[arg-type]


# source_transaction.


def test_a_charge_pays_without_any_balance_up_to_its_amount(
    double: StripeDouble, pay: Call
) -> None:
    double.set_balance(currency="usd", available_minor=0)
    double.add_charge(charge_id="ch_1", amount_minor=2000, currency="usd", transfer_group="order")
    paid = pay("key_1", source_transaction="ch_1")
    assert paid.json["source_transaction"] == "ch_1"
    assert paid.json["transfer_group"] == "order"
    assert pay("key_2", source_transaction="ch_1", amount="501").status == 400
    assert pay("key_3", source_transaction="ch_1", amount="500").status == 200


def test_a_charge_without_a_group_gets_one_of_its_own(double: StripeDouble, pay: Call) -> None:
    double.add_charge(charge_id="ch_1", amount_minor=2000, currency="usd")
    paid = pay(source_transaction="ch_1", amount=None)
    assert paid.json["amount"] == 2000
    assert paid.json["transfer_group"] == "group_ch_1"


# Reading.


@pytest.fixture
def many(double: StripeDouble, pay: Call) -> list[str]:
    """Ids of 25 transfers, newest first, a second apart, to two accounts by turns."""
    ids = []
    for number in range(25):
        reply = pay(f"key_{number}", destination=f"acct_{number % 2}", transfer_group=f"g{number}")
        ids.append(str(reply.json["id"]))
        double.advance(seconds=1)
    return ids[::-1]


def ids_of(reply: Reply) -> list[str]:
    assert reply.status == 200, reply.body
    return [transfer["id"] for transfer in reply.json["data"]]


def test_transfers_are_listed_newest_first_ten_at_a_time(call: Call, many: list[str]) -> None:
    reply = call("GET", "/v1/transfers")
    assert ids_of(reply) == many[:10]
    assert (reply.json["object"], reply.json["url"]) == ("list", "/v1/transfers")
    assert reply.json["has_more"] is True


def test_pages_forward_give_every_transfer_once(call: Call, many: list[str]) -> None:
    found: list[str] = []
    has_more = True
    while has_more:
        after = {"starting_after": found[-1]} if found else {}
        reply = call("GET", "/v1/transfers", {"limit": "7"} | after)
        found += ids_of(reply)
        has_more = reply.json["has_more"]
    assert found == many


def test_pages_backward_give_every_transfer_once(call: Call, many: list[str]) -> None:
    found = [many[-1]]
    has_more = True
    while has_more:
        reply = call("GET", "/v1/transfers", {"limit": "7", "ending_before": found[0]})
        found = ids_of(reply) + found
        has_more = reply.json["has_more"]
    assert found == many


def test_a_new_transfer_does_not_shift_the_next_page(
    call: Call, pay: Call, many: list[str]
) -> None:
    pay("key_new")
    assert ids_of(call("GET", "/v1/transfers", {"starting_after": many[9]})) == many[10:20]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"destination": "acct_0", "limit": "100"}, slice(0, 25, 2)),
        ({"destination": "acct_none"}, slice(0, 0)),
        ({"transfer_group": "g3"}, slice(21, 22)),
        ({"transfer_group": "g3", "destination": "acct_0"}, slice(0, 0)),
        ({"created": f"{START + 3:.0f}"}, slice(21, 22)),
        ({"created[gte]": f"{START + 20:.0f}"}, slice(0, 5)),
        ({"created[gt]": f"{START + 20:.0f}"}, slice(0, 4)),
        ({"created[lte]": f"{START + 2:.0f}"}, slice(22, 25)),
        ({"created[lt]": f"{START + 2:.0f}"}, slice(23, 25)),
        ({"created[gte]": f"{START + 2:.0f}", "created[lt]": f"{START + 4:.0f}"}, slice(21, 23)),
    ],
)
def test_lists_are_filtered(
    call: Call, many: list[str], params: dict[str, str], expected: slice
) -> None:
    reply = call("GET", "/v1/transfers", params)
    assert ids_of(reply) == many[expected]
    assert reply.json["has_more"] is False


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"limit": "0"}, "parameter_invalid_integer", "greater than or equal to 1"),
        ({"limit": "101"}, "parameter_invalid_integer", "between 1 and 100"),
        ({"created[gte]": "yesterday"}, "parameter_invalid_integer", "Invalid integer"),
        ({"starting_after": "tr_none"}, "resource_missing", "No such object: 'tr_none'"),
        ({"payout_ref": "payout_a"}, "parameter_unknown", "unknown parameter: payout_ref"),
    ],
)
def test_an_invalid_list_is_refused(
    call: Call, params: dict[str, str], code: str, message: str
) -> None:
    refused = call("GET", "/v1/transfers", params)
    assert refused.status == 400
    assert refused.error["code"] == code
    assert message in refused.error["message"]


def test_a_list_may_lag_behind(double: StripeDouble, call: Call, pay: Call) -> None:
    double.set_list_lag(seconds=5)
    transfer = pay().json
    assert ids_of(call("GET", "/v1/transfers")) == []
    assert call("GET", f"/v1/transfers/{transfer['id']}").status == 200
    double.advance(seconds=5)
    assert ids_of(call("GET", "/v1/transfers")) == [transfer["id"]]


def test_one_mode_does_not_see_the_transfers_of_the_other(call: Call, pay: Call) -> None:
    transfer = pay().json
    path = f"/v1/transfers/{transfer['id']}"
    assert call("GET", path).json == transfer
    assert call("GET", path, api_key="sk_live_1").error["code"] == "resource_missing"
    assert ids_of(call("GET", "/v1/transfers", api_key="sk_live_1")) == []


def test_a_transfer_that_does_not_exist_is_not_found(call: Call) -> None:
    refused = call("GET", "/v1/transfers/tr_none")
    assert refused.status == 404
    assert refused.error["code"] == "resource_missing"
    assert refused.error["message"] == "No such transfer: 'tr_none'"


def test_the_balance_shows_the_rest(double: StripeDouble, call: Call, pay: Call) -> None:
    double.set_balance(currency="eur", available_minor=700)
    double.set_balance(currency="usd", available_minor=2000)
    pay()
    available = call("GET", "/v1/balance").json["available"]
    assert [(entry["currency"], entry["amount"]) for entry in available] == [
        ("eur", 700),
        ("usd", 500),
    ]


def test_accounts_show_whether_they_can_receive(double: StripeDouble, call: Call) -> None:
    double.set_account(account_id="acct_2", state="incapable")
    assert call("GET", "/v1/account").json["id"] == "acct_platform"
    assert call("GET", "/v1/accounts/acct_1").json["capabilities"] == {"transfers": "active"}
    assert call("GET", "/v1/accounts/acct_2").json["capabilities"] == {"transfers": "inactive"}
    assert call("GET", "/v1/accounts/nobody").status == 404


# Reversals.


def test_a_reversal_returns_the_money_in_parts_or_wholly(
    double: StripeDouble, call: Call, pay: Call
) -> None:
    double.set_balance(currency="usd", available_minor=1500)
    path = f"/v1/transfers/{pay().json['id']}"
    part = call("POST", f"{path}/reversals", {"amount": "500", "metadata[why]": "x"}, key="r1")
    assert (part.json["object"], part.json["amount"]) == ("transfer_reversal", 500)
    assert part.json["metadata"] == {"why": "x"}
    transfer = call("GET", path).json
    assert (transfer["amount_reversed"], transfer["reversed"]) == (500, False)
    assert call(
        "POST", f"{path}/reversals", {"amount": "500", "metadata[why]": "x"}, key="r1"
    ).is_replay
    rest = call("POST", f"{path}/reversals", key="r2")
    assert rest.json["amount"] == 1000
    transfer = call("GET", path).json
    assert (transfer["amount_reversed"], transfer["reversed"]) == (1500, True)
    assert transfer["reversals"]["data"] == [rest.json, part.json]
    assert double.balance_minor("usd") == 1500


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"amount": "1501"}, "greater than unreversed amount"),
        ({"amount": "0"}, "greater than or equal to 1"),
        ({"reason": "x"}, "unknown parameter: reason"),
    ],
)
def test_a_reversal_beyond_the_transfer_is_refused(
    call: Call, pay: Call, params: dict[str, str], message: str
) -> None:
    refused = call("POST", f"/v1/transfers/{pay().json['id']}/reversals", params, key="r1")
    assert refused.status == 400
    assert message in refused.error["message"]


def test_a_reversed_transfer_cannot_be_reversed_again(
    double: StripeDouble, call: Call, pay: Call
) -> None:
    transfer_id = pay().json["id"]
    double.reverse(transfer_id=transfer_id)
    refused = call("POST", f"/v1/transfers/{transfer_id}/reversals", key="r1")
    assert refused.status == 400
    assert "already been fully reversed" in refused.error["message"]


def test_a_reversal_of_no_transfer_is_not_found_and_not_saved(call: Call) -> None:
    for _ in range(2):
        refused = call("POST", "/v1/transfers/tr_none/reversals", key="r1")
        assert (refused.status, refused.is_replay) == (404, False)


def test_a_transfer_shows_its_ten_newest_reversals_and_the_list_shows_all(
    double: StripeDouble, call: Call, pay: Call
) -> None:
    transfer_id = pay().json["id"]
    ids = [double.reverse(transfer_id=transfer_id, amount_minor=1)["id"] for _ in range(12)][::-1]
    sublist = call("GET", f"/v1/transfers/{transfer_id}").json["reversals"]
    assert [reversal["id"] for reversal in sublist["data"]] == ids[:10]
    assert sublist["has_more"] is True
    first = call("GET", sublist["url"])
    rest = call("GET", sublist["url"], {"starting_after": ids[9]})
    assert ids_of(first) + ids_of(rest) == ids
    assert (first.json["has_more"], rest.json["has_more"]) == (True, False)
    assert call("GET", f"{sublist['url']}/{ids[3]}").json["id"] == ids[3]
    assert call("GET", f"{sublist['url']}/trr_none").status == 404


# Transfers and reversals by hand, and the events of all.


def test_a_transfer_by_hand_is_one_like_any_other(double: StripeDouble, call: Call) -> None:
    double.set_balance(currency="usd", available_minor=1000)
    made = double.transfer(
        destination="acct_1", amount_minor=700, metadata={"payout_ref": "p"}, transfer_group="p"
    )
    assert call("GET", "/v1/transfers", {"transfer_group": "p"}).json["data"] == [made]
    assert double.effects("p") == [made]
    assert double.balance_minor("usd") == 300
    with pytest.raises(StripeRefusalError, match="insufficient funds"):
        double.transfer(destination="acct_1", amount_minor=301)
    with pytest.raises(StripeRefusalError, match="unknown parameter: explode"):
        double.transfer(destination="acct_1", amount_minor=1, explode="1")


def events_of(call: Call, *types: str, **params: str) -> list[tuple[str, str, int]]:
    names = {f"types[{number}]": name for number, name in enumerate(types)}
    reply = call("GET", "/v1/events", names | params)
    assert reply.status == 200, reply.body
    return [
        (event["type"], event["data"]["object"]["id"], event["data"]["object"]["amount_reversed"])
        for event in reply.json["data"]
    ]


def test_events_are_listed_newest_first_with_the_transfer_as_it_was_then(
    double: StripeDouble, call: Call, pay: Call
) -> None:
    first = pay("key_1").json["id"]
    double.reverse(transfer_id=first, amount_minor=100)
    second = double.transfer(destination="acct_1", amount_minor=1)["id"]
    double.reverse(transfer_id=first)
    assert events_of(call) == [
        ("transfer.reversed", first, 1500),
        ("transfer.created", second, 0),
        ("transfer.reversed", first, 100),
        ("transfer.created", first, 0),
    ]
    [whole, _, partial, created] = call("GET", "/v1/events").json["data"]
    assert [event["data"]["object"]["reversed"] for event in (whole, partial)] == [True, False]
    assert len(partial["data"]["object"]["reversals"]["data"]) == 1
    assert created["data"]["object"] == pay("key_1").json


def test_a_declined_or_replayed_request_is_no_event(call: Call, pay: Call) -> None:
    pay("key_1")
    pay("key_1")
    pay("key_2", destination="nobody")
    assert len(events_of(call)) == 1


def test_events_are_filtered_by_types_and_time_and_come_in_pages(
    double: StripeDouble, call: Call
) -> None:
    transfers = []
    for _ in range(12):
        transfers.append(double.transfer(destination="acct_1", amount_minor=10)["id"])
        double.reverse(transfer_id=transfers[-1], amount_minor=1)
        double.advance(seconds=1)
    double.transfer(destination="acct_1", amount_minor=10, is_livemode=True)
    reversed_ones = [("transfer.reversed", transfer, 1) for transfer in transfers[::-1]]
    assert events_of(call, "transfer.reversed", limit="100") == reversed_ones
    assert events_of(call, "transfer.updated") == []
    both = events_of(call, "transfer.reversed", "transfer.created", limit="100")
    assert both == events_of(call, limit="100")
    assert len(both) == 24
    since = {"created[gte]": f"{START + 10:.0f}"}
    assert events_of(call, "transfer.reversed", **since) == reversed_ones[:2]
    page = call("GET", "/v1/events", {"types[]": "transfer.reversed"}).json
    assert (len(page["data"]), page["has_more"]) == (10, True)
    after = {"starting_after": page["data"][-1]["id"]}
    assert events_of(call, "transfer.reversed", **after) == reversed_ones[10:]


def test_types_may_be_given_without_numbers(call: Call, pay: Call) -> None:
    pay()
    two = call("GET", "/v1/events?types[]=transfer.reversed&types[]=transfer.created&limit=1")
    assert len(two.json["data"]) == 1


def test_events_are_forgotten_after_thirty_days(
    double: StripeDouble, call: Call, pay: Call
) -> None:
    pay()
    double.advance(hours=30 * 24)
    assert len(events_of(call)) == 1
    double.advance(seconds=1)
    assert events_of(call) == []


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"destination": "acct_1"}, "unknown parameter: destination"),
        ({f"types[{number}]": f"a{number}" for number in range(21)}, "up to 20 types"),
        ({"starting_after": "evt_none"}, "No such object: 'evt_none'"),
    ],
)
def test_an_invalid_list_of_events_is_refused(
    call: Call, params: dict[str, str], message: str
) -> None:
    refused = call("GET", "/v1/events", params)
    assert refused.status == 400
    assert message in refused.error["message"]


def test_a_clock_that_runs_backwards_does_not_disorder_lists(call: Call) -> None:
    now = [START]
    with StripeDouble.in_thread(clock=lambda: now[0]) as double:
        first = double.transfer(destination="acct_1", amount_minor=1)
        now[0] -= 3600
        second = double.transfer(destination="acct_1", amount_minor=1)
        assert second["created"] == first["created"]


def test_lists_stay_fast_when_there_are_many_transfers() -> None:
    now = [START]
    books = StripeBooks(now=lambda: now[0])
    for number in range(20_000):
        now[0] = START + number
        form = {
            "amount": "1",
            "currency": "usd",
            "destination": f"acct_{number % 1000}",
            "transfer_group": f"g{number}",
        }
        books.create_transfer(form, is_livemode=False)
    first = books.list_transfers({"limit": "1"}, is_livemode=False)["data"][0]["id"]
    deep = f"{first[:-8]}{10_000:08d}"
    for params in (
        {},
        {"starting_after": deep},
        {"starting_after": deep, "created[gte]": f"{START + 9_990:.0f}"},
        {"ending_before": deep},
        {"created[lt]": f"{START + 100:.0f}"},
        {"destination": "acct_7", "created[gte]": f"{START + 10_000:.0f}"},
        {"destination": "acct_none"},
        {"transfer_group": "g7"},
    ):
        began = time.thread_time()
        page = books.list_transfers(params | {"limit": "100"}, is_livemode=False)
        json.dumps(page)
        assert time.thread_time() - began < 0.05, params  # a fiftieth of it is usual
    began = time.thread_time()
    books.list_events({"limit": "100", "types[0]": "transfer.reversed"}, is_livemode=False)
    json.dumps(books.list_events({"limit": "100"}, is_livemode=False))
    assert time.thread_time() - began < 0.05


# Faults. Each named one: the view of the client, the effect on money, the answer under the key.

SEEN: dict[str, int | type[Exception]] = {
    "rate_limited": 429,
    "lock_timeout": 429,
    "key_in_use": 409,
    "unauthorized": 401,
    "key_expired": 401,
    "forbidden": 403,
    "bad_gateway": 502,
    "unavailable": 503,
    "gateway_timeout": 504,
    "reset_before_effect": ConnectionResetError,
    "close_before_effect": http.client.RemoteDisconnected,
    "hang_before_effect": TimeoutError,
    "declined": 400,
    "server_error": 500,
    "server_error_after_effect": 500,
    "server_error_before_late_effect": 500,
    "unavailable_after_effect": 503,
    "answer_reset": ConnectionResetError,
    "answer_lost": http.client.RemoteDisconnected,
    "answer_hangs": TimeoutError,
    "answer_cut": http.client.IncompleteRead,
    "answer_trickles": TimeoutError,
    "answer_delayed": TimeoutError,
    "slow": TimeoutError,
    "wrong_amount": 200,
    "wrong_currency": 200,
    "wrong_destination": 200,
    "wrong_livemode": 200,
    "wrong_payout_ref": 200,
    "wrong_object": 200,
    "missing_id": 200,
    "not_json": 200,
    "html_answer": 200,
    "empty_answer": 200,
    "redirected": 302,
    "huge_answer": 200,
    "gzip_bomb": 200,
}
BEFORE_EFFECT = [name for name, fault in NAMED_FAULTS.items() if Fault.named(name).comes_first]
AFTER_EFFECT = [
    name
    for name in NAMED_FAULTS
    if Fault.named(name).effect == "done" and not Fault.named(name).is_saved
]


def meet(double: StripeDouble, call: Call, name: str) -> Reply | None:
    """Send the request into a fault, and check the view of the client."""
    changes = {"padding_bytes": 1000} if NAMED_FAULTS[name].get("padding_bytes") else {}
    in_force = double.inject(name, **changes)
    seen = SEEN[name]
    reply = None
    if isinstance(seen, int):
        reply = call("POST", "/v1/transfers", REQUEST, key="key_1")
        assert reply.status == seen
    else:
        with pytest.raises(seen) as caught:
            call("POST", "/v1/transfers", REQUEST, key="key_1", timeout=0.2)
        assert caught.type is seen
    assert in_force.hits == 1
    assert double.requests[0].fault == name
    return reply


def test_every_named_fault_is_tried() -> None:
    assert set(SEEN) == set(NAMED_FAULTS)


@pytest.mark.parametrize("name", BEFORE_EFFECT)
def test_a_fault_before_the_effect_moves_and_saves_nothing(
    double: StripeDouble, call: Call, pay: Call, name: str
) -> None:
    meet(double, call, name)
    assert double.transfers() == []
    again = pay()
    assert (again.status, again.is_replay) == (200, False)
    assert len(double.effects("payout_a")) == 1


@pytest.mark.parametrize("name", AFTER_EFFECT)
def test_a_fault_after_the_effect_hides_the_saved_answer(
    double: StripeDouble, call: Call, pay: Call, name: str
) -> None:
    meet(double, call, name)
    if name == "slow":
        double.wait_for_requests(1, where=lambda request: request.status == 200)
    assert len(double.effects("payout_a")) == 1
    again = pay()
    assert (again.status, again.is_replay) == (200, True)
    assert again.json == double.effects("payout_a")[0]
    assert len(double.effects("payout_a")) == 1


@pytest.mark.parametrize(
    ("name", "effects"), [("declined", 0), ("server_error", 0), ("server_error_after_effect", 1)]
)
def test_a_saved_fault_is_replayed(
    double: StripeDouble, call: Call, pay: Call, name: str, effects: int
) -> None:
    first = meet(double, call, name)
    again = pay()
    assert first is not None
    assert (again.status, again.body, again.is_replay) == (first.status, first.body, True)
    assert len(double.effects("payout_a")) == effects


def test_a_late_effect_comes_after_the_saved_500(
    double: StripeDouble, call: Call, pay: Call
) -> None:
    meet(double, call, "server_error_before_late_effect")
    double.advance(seconds=59)
    assert double.effects("payout_a") == []
    double.advance(seconds=1)
    assert len(double.effects("payout_a")) == 1
    assert (pay().status, pay().is_replay) == (500, True)


def test_a_late_effect_that_is_declined_after_all_is_none(double: StripeDouble, call: Call) -> None:
    meet(double, call, "server_error_before_late_effect")
    double.set_balance(currency="usd", available_minor=0)
    double.advance(seconds=60)
    assert double.effects("payout_a") == []


def test_a_fault_that_is_to_be_saved_does_not_overwrite_a_saved_answer(
    double: StripeDouble, pay: Call
) -> None:
    pay()
    double.inject("server_error")
    assert (pay().status, len(double.effects("payout_a"))) == (200, 1)


def test_a_decline_may_get_lost_too(double: StripeDouble, pay: Call) -> None:
    double.set_balance(currency="usd", available_minor=0)
    double.inject("answer_lost")
    with pytest.raises(http.client.RemoteDisconnected):
        pay()
    assert (pay().error["code"], pay().is_replay) == ("balance_insufficient", True)


@pytest.mark.parametrize(
    ("name", "reason"), [("rate_limited", "global-rate"), ("lock_timeout", None)]
)
def test_only_a_rate_limit_names_its_reason(
    double: StripeDouble, pay: Call, name: str, reason: str | None
) -> None:
    double.inject(name)
    assert pay().headers.get("Stripe-Rate-Limited-Reason") == reason


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("wrong_amount", "amount", 1),
        ("wrong_currency", "currency", "xts"),
        ("wrong_destination", "destination", "acct_another"),
        ("wrong_livemode", "livemode", True),
        ("wrong_object", "object", "payout"),
        ("wrong_payout_ref", "metadata", {"payout_ref": "another"}),
        ("missing_id", "id", None),
    ],
)
def test_a_wrong_answer_differs_in_its_field_only(
    double: StripeDouble, pay: Call, name: str, field: str, value: object
) -> None:
    double.inject(name)
    answer = pay().json
    truth = double.effects("payout_a")[0]
    assert answer.get(field) == value
    assert {k for k in truth if answer.get(k) != truth[k]} <= {field, "id"}


def test_a_gzip_bomb_is_small_on_the_wire(double: StripeDouble, pay: Call) -> None:
    double.inject("gzip_bomb", padding_bytes=1_000_000)
    reply = pay()
    assert reply.headers["Content-Encoding"] == "gzip"
    assert len(reply.body) < 10_000
    assert len(gzip.decompress(reply.body)) > 1_000_000


def test_a_redirect_leads_to_a_url_that_the_double_watches(
    double: StripeDouble, call: Call, pay: Call
) -> None:
    double.inject("redirected")
    assert pay().headers["Location"] == "/redirected"
    assert call("GET", "/redirected").status == 404
    assert [request.path for request in double.requests] == ["/v1/transfers", "/redirected"]


def test_a_fault_that_says_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="does not say which answer the client sees"):
        Fault(effect="none")


@pytest.mark.parametrize(
    "match",
    [
        {"destination": "acct_2"},
        {"payout_ref": "payout_b"},
        {"currency": "eur"},
        {"key": "key_2"},
        {"path": "/v1/transfers/tr_1/reversals"},
        {"method": "GET"},
        {"where": lambda request: request.number == 2},
        {"skip": 1},
    ],
)
def test_a_fault_passes_by_requests_that_it_is_not_meant_for(
    double: StripeDouble, pay: Call, match: dict[str, Any]
) -> None:
    in_force = double.inject("unavailable", **match)
    assert pay().status == 200
    assert in_force.hits == 0


@pytest.mark.parametrize(
    "match",
    [
        {"destination": "acct_1"},
        {"payout_ref": "payout_a"},
        {"currency": "usd"},
        {"key": "key_1"},
        {"path": None},
        {"method": None},
        {"where": lambda request: request.number == 1},
    ],
)
def test_a_fault_meets_requests_that_it_is_meant_for(
    double: StripeDouble, pay: Call, match: dict[str, Any]
) -> None:
    double.inject("unavailable", **match)
    assert pay().status == 503


def test_a_fault_meets_as_often_as_it_should(double: StripeDouble, pay: Call) -> None:
    in_force = double.inject("unavailable", skip=1, every=2, times=2)
    statuses = [pay(f"key_{number}").status for number in range(8)]
    assert statuses == [200, 503, 200, 503, 200, 200, 200, 200]
    assert (in_force.seen, in_force.hits) == (4, 2)


def test_a_fault_without_a_count_lasts_until_it_is_cleared(double: StripeDouble, pay: Call) -> None:
    double.inject("unavailable", times=None)
    assert [pay(f"key_{number}").status for number in range(3)] == [503] * 3
    double.clear_faults()
    assert pay().status == 200


def test_a_request_that_was_held_on_the_way_is_a_replay_after_its_retry(
    double: StripeDouble, pay: Call
) -> None:
    latch = Latch()
    double.inject(Fault(hold_before=latch))
    with ThreadPoolExecutor() as pool:
        first = pool.submit(pay)
        latch.wait_until_reached()
        assert not pay().is_replay
        latch.open()
        assert first.result().is_replay
    assert len(double.effects("payout_a")) == 1


def test_an_answer_can_be_held_after_the_effect(double: StripeDouble, pay: Call) -> None:
    latch = Latch()
    double.inject(Fault(hold_after=latch))
    with ThreadPoolExecutor() as pool:
        first = pool.submit(pay)
        latch.wait_until_reached()
        assert len(double.effects("payout_a")) == 1
        assert not first.done()
        latch.open()
        assert first.result().status == 200


def test_an_open_gate_lets_every_request_pass(double: StripeDouble, pay: Call) -> None:
    latch = Latch()
    latch.open()
    double.inject(Fault(hold_before=latch))
    assert pay().status == 200


def test_waiting_at_a_gate_that_no_request_reaches_fails() -> None:
    with pytest.raises(TimeoutError, match="no request came to the latch"):
        Latch().wait_until_reached(timeout_seconds=0.01)


def test_the_double_stops_while_a_request_hangs() -> None:
    with StripeDouble.in_thread() as double:
        double.inject("answer_hangs")
        connection = http.client.HTTPConnection(double.host, double.port, timeout=10)
        connection.request(
            "POST", "/v1/transfers", urlencode(REQUEST), {"Authorization": "Bearer sk_test_1"}
        )
        double.wait_for_requests()
    with contextlib.closing(connection), pytest.raises(ConnectionError):
        connection.getresponse()


# The records that tests read.


def test_every_request_is_recorded_as_it_came(double: StripeDouble, call: Call, pay: Call) -> None:
    pay()
    double.advance(seconds=5)
    pay()
    call("GET", "/v1/transfers", {"limit": "3"})
    first, again, read = double.requests
    assert (first.number, first.method, first.path) == (1, "POST", "/v1/transfers")
    assert (first.key, first.payout_ref, first.received_at) == ("key_1", "payout_a", START)
    assert dict(first.params) == REQUEST
    assert (first.status, first.is_replayed) == (200, False)
    assert (again.received_at, again.is_replayed) == (START + 5, True)
    assert first.connection != again.connection
    assert (read.key, dict(read.params)) == (None, {"limit": "3"})


def test_the_hook_is_awaited_before_the_effect(double: StripeDouble, pay: Call) -> None:
    seen: list[tuple[str | None, int]] = []

    async def look(request: RecordedRequest) -> None:
        await asyncio.sleep(0)
        seen.append((request.key, len(double.effects("payout_a"))))

    double.on_request = look
    pay()
    assert seen == [("key_1", 0)]


@pytest.mark.parametrize("kind", [AssertionError, ConnectionError])
def test_an_exception_in_the_hook_prevents_the_effect_and_is_raised_at_the_end(
    kind: type[Exception],
) -> None:
    async def refuse(request: RecordedRequest) -> None:
        raise kind(f"{request.key} is not in the database")

    def send_one() -> None:
        with StripeDouble.in_thread(on_request=refuse) as double:
            connection = http.client.HTTPConnection(double.host, double.port, timeout=10)
            with contextlib.closing(connection):
                connection.request(
                    "POST", "/v1/transfers", urlencode(REQUEST), {"Idempotency-Key": "key_1"}
                )
                assert connection.getresponse().status == 500
            assert double.transfers() == []

    with pytest.raises(kind, match="key_1 is not in the database"):
        send_one()


def test_waiting_for_requests_that_do_not_come_fails(double: StripeDouble) -> None:
    with pytest.raises(TimeoutError, match="0 of 1 requests came"):
        double.wait_for_requests(timeout_seconds=0.01)


def test_a_test_can_wait_for_a_request(double: StripeDouble, pay: Call) -> None:
    sender = threading.Thread(target=pay)
    sender.start()
    assert [request.key for request in double.wait_for_requests()] == ["key_1"]
    sender.join()


def test_the_summary_names_each_payout_ref_paid_twice(double: StripeDouble, pay: Call) -> None:
    pay("key_1")
    pay("key_2")
    pay("key_2")
    pay("key_3", **{"metadata[payout_ref]": None})
    double.inject("rate_limited")
    pay("key_4")
    double.reverse(transfer_id=double.transfers()[0]["id"], amount_minor=100)
    assert double.summary() == {
        "transfers": 3,
        "payout_refs": 1,
        "without_payout_ref": 1,
        "paid_more_than_once": ["payout_a"],
        "currencies": {"usd": {"transfers": 3, "amount_minor": 4500, "reversed_minor": 100}},
        "requests": 5,
        "replayed": 1,
        "answers": {"200": 4, "429": 1},
        "faults": {"rate_limited": 1},
    }


def test_the_double_runs_inside_an_event_loop_too() -> None:
    async def main() -> int:
        async with StripeDouble() as double:
            request = urllib.request.Request(f"{double.url}/v1/balance")
            request.add_header("Authorization", "Bearer sk_test_1")
            reply = await asyncio.to_thread(urllib.request.urlopen, request)
            with reply:
                return int(reply.status)

    assert asyncio.run(main()) == 200


# As a command.


@pytest.fixture
def command() -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "payout_engine_sandbox.stripe_double", "--latency-ms", "1"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().split()[-1]
        process.kill()


def govern(url: str, name: str, arguments: object = None) -> Any:
    """POST to the control endpoint, or GET a view of it when there are no arguments."""
    data = None if arguments is None else json.dumps(arguments).encode()
    with urllib.request.urlopen(f"{url}/_double/{name}", data) as reply:
        return json.load(reply)


def ask_for_transfer(url: str, key: str) -> int:
    request = urllib.request.Request(f"{url}/v1/transfers", urlencode(REQUEST).encode())
    request.add_header("Authorization", "Bearer sk_test_1")
    request.add_header("Idempotency-Key", key)
    try:
        with urllib.request.urlopen(request) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_the_command_is_governed_over_http(command: tuple[subprocess.Popen[str], str]) -> None:
    _, url = command
    govern(url, "balance", {"currency": "usd", "available_minor": 2000})
    govern(url, "account", {"account_id": "acct_2", "state": "closed"})
    govern(url, "charge", {"charge_id": "ch_1", "amount_minor": 1, "currency": "usd"})
    govern(url, "latency", {"seconds": 0})
    assert govern(url, "fault", {"name": "unavailable", "times": 1}) == "unavailable"
    assert ask_for_transfer(url, "key_1") == 503
    assert ask_for_transfer(url, "key_1") == 200
    assert ask_for_transfer(url, "key_2") == 400
    govern(url, "advance", {"hours": 25})
    govern(url, "clear-faults", {})
    govern(url, "revoke-key", {"api_key": "sk_test_2"})
    (transfer,) = govern(url, "effects")["payout_a"]
    assert govern(url, "reverse", {"transfer_id": transfer["id"]})["amount"] == 1500
    by_hand = {"destination": "acct_1", "amount_minor": 5, "metadata": {"payout_ref": "by_hand"}}
    assert [govern(url, "transfer", by_hand)] == govern(url, "effects")["by_hand"]
    assert govern(url, "summary")["answers"] == {"503": 1, "200": 1, "400": 1}


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("nonsense", {}, "LookupError: there is no command nonsense: balance, "),
        ("nonsense", None, "LookupError: there is no view nonsense"),
        ("fault", {"name": "nonsense"}, "there is no fault nonsense: rate_limited, "),
        ("account", {"account_id": "acct_1", "state": "shut"}, "ValueError"),
        ("balance", {"currency": "usd"}, "TypeError"),
    ],
)
def test_a_wrong_command_is_refused(
    double: StripeDouble, name: str, arguments: object, message: str
) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        govern(double.url, name, arguments)
    with caught.value as reply:
        assert reply.code == 400
        assert message in json.load(reply)["error"]


def test_other_machines_may_not_govern(
    double: StripeDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.BaseRequest, "remote", "192.0.2.1")
    with pytest.raises(urllib.error.HTTPError) as caught:
        govern(double.url, "summary")
    with caught.value as reply:
        assert reply.code == 403
        assert json.load(reply) == {"error": "only from this machine"}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_command_ends_quietly(
    command: tuple[subprocess.Popen[str], str], how: signal.Signals
) -> None:
    process, url = command
    assert ask_for_transfer(url, "key_1") == 200
    process.send_signal(how)
    assert process.wait(timeout=10) == 0
