"""The double's answers and the worker's requests agree with the official SDK and with Stripe.

The SDK's type annotations are always at hand. Stripe's own description is read if it lies
beside the checkout, and is no part of the project.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import psycopg
import pytest
import stripe
import stripe.params
from psycopg.types.json import Jsonb
from stripe import ListObject, RequestOptions, StripeObject
from stripe._stripe_object import UntypedStripeObject

from payout_engine.stripe_payout_adapter import StripePayoutAdapter, boot_seconds
from payout_engine_sandbox.stripe_double import StripeDouble

DESCRIPTION = Path(__file__).resolve().parents[3] / "shared" / "stripe" / "transfers-openapi.json"
API_KEY = "sk_test_contract"
# An order of the database for one transfer.
REQUEST: dict[str, Any] = {
    "amount": 1500,
    "currency": "usd",
    "destination": "acct_1",
    "transfer_group": "payout_ab",
    "metadata": {"payout_ref": "payout_ab", "settlement_id": "set_1", "payee_id": "seller_1"},
}
FROM_CHARGE = {name: value for name, value in REQUEST.items() if name != "transfer_group"} | {
    "source_transaction": "ch_1"
}


# A value against the type annotations of the SDK.


class Names(dict[str, Any]):
    """Resolves the names in the SDK's annotations, most of which it imports for checkers only."""

    def __missing__(self, name: str) -> Any:
        if not hasattr(stripe, name):
            raise KeyError(name)
        return getattr(stripe, name)


def fields_of(described: type, *, without: Collection[str] = ()) -> dict[str, Any]:
    """Return a class's own annotations; its bases hold nothing that Stripe sends."""
    own = {name: hint for name, hint in described.__annotations__.items() if name not in without}
    hints = typing.get_type_hints(
        types.SimpleNamespace(__annotations__=own),
        vars(sys.modules[described.__module__]),
        Names(),
    )
    return {
        name: hint
        for name, hint in hints.items()
        if not name.startswith("_") and get_origin(hint) is not typing.ClassVar
    }


def differences(value: object, hint: Any, where: str = "") -> list[str]:
    """Return where a JSON value differs from a type annotation of the SDK."""
    origin = get_origin(hint) or hint
    if origin in (Union, types.UnionType):
        every = [differences(value, arm, where) for arm in get_args(hint)]
        return [] if [] in every else every[0]
    if origin is Literal:
        return [] if value in get_args(hint) else [f"{where}: {value!r} is not in {hint}"]
    if origin is list and isinstance(value, list):
        return [d for item in value for d in differences(item, get_args(hint)[0], f"{where}[]")]
    if origin is dict or (isinstance(origin, type) and issubclass(origin, UntypedStripeObject)):
        if not isinstance(value, dict):
            return [f"{where}: {value!r} is not an object"]
        return [
            d for name in value for d in differences(value[name], get_args(hint)[-1], f"{where}.*")
        ]
    if origin is ListObject and isinstance(value, dict):
        named = {"object": str, "data": list[get_args(hint)[0]], "has_more": bool, "url": str}  # type: ignore[misc]
        return object_differences(value, named, frozenset(named), where)
    if hasattr(origin, "__required_keys__") and isinstance(value, dict):
        return object_differences(value, fields_of(origin), origin.__required_keys__, where)
    if isinstance(origin, type) and issubclass(origin, StripeObject) and isinstance(value, dict):
        hints = fields_of(origin)
        required = {name for name, hint in hints.items() if type(None) not in get_args(hint)}
        return object_differences(value, hints, frozenset(required), where)
    if origin is Any or type(value) is origin:
        return []
    return [f"{where}: {value!r} is not {hint}"]


def object_differences(
    value: Mapping[str, object],
    hints: Mapping[str, Any],
    required: frozenset[str],
    where: str,
) -> list[str]:
    found = [f"{where}.{name} is missing" for name in sorted(required - set(value))]
    for name, item in value.items():
        if name in hints:
            found += differences(item, hints[name], f"{where}.{name}")
        else:
            found.append(f"{where}.{name} is not described")
    return found


def request_differences(
    request: Mapping[str, object], described: Any = stripe.params.TransferCreateParams
) -> list[str]:
    """Return where a request differs from the SDK's parameters, its options not among them."""
    allowed = fields_of(described, without=RequestOptions.__annotations__)
    return object_differences(request, allowed, frozenset(described.__required_keys__), "")


# A value against Stripe's own description: the part of OpenAPI that it uses.


@dataclass(frozen=True)
class Description:
    document: dict[str, Any]

    def answer(self, method: str, path: str) -> dict[str, Any]:
        responses = self.document["paths"][path][method]["responses"]
        return dict(responses["200"]["content"]["application/json"]["schema"])

    def schema(self, name: str) -> dict[str, Any]:
        return {"$ref": f"#/components/schemas/{name}"}

    def request(self, path: str) -> dict[str, Any]:
        content = self.document["paths"][path]["post"]["requestBody"]["content"]
        return dict(content["application/x-www-form-urlencoded"]["schema"])

    def query(self, path: str) -> dict[str, Any]:
        """Return the parameters of the query of a GET, as the schema of an object."""
        parameters = self.document["paths"][path]["get"]["parameters"]
        described = {each["name"]: each["schema"] for each in parameters if each["in"] == "query"}
        return {"type": "object", "properties": described}

    def differences(self, value: object, schema: Mapping[str, Any], where: str = "") -> list[str]:
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return self.differences(value, self.document["components"]["schemas"][name], where)
        if value is None and schema.get("nullable"):
            return []
        if "anyOf" in schema:
            every = [self.differences(value, arm, where) for arm in schema["anyOf"]]
            return [] if [] in every else every[0]
        if "enum" in schema and value not in schema["enum"]:
            return [f"{where}: {value!r} is not one of {schema['enum']}"]
        match schema["type"], value:
            case "object", dict():
                return self._object_differences(value, schema, where)
            case "array", list():
                items = schema["items"]
                return [d for item in value for d in self.differences(item, items, f"{where}[]")]
            case "string", str():
                if len(value) > schema.get("maxLength", len(value)):
                    return [f"{where}: {value!r} is too long"]
                if not re.search(schema.get("pattern", ""), value):
                    return [f"{where}: {value!r} is not like {schema['pattern']}"]
                return []
            case ("boolean", bool()) | ("integer", int()) if type(value) is not bool or (
                schema["type"] == "boolean"
            ):
                return []
        return [f"{where}: {value!r} is not of type {schema['type']}"]

    def _object_differences(
        self, value: dict[str, Any], schema: Mapping[str, Any], where: str
    ) -> list[str]:
        properties = schema.get("properties", {})
        found = [f"{where}.{n} is missing" for n in schema.get("required", []) if n not in value]
        for name, item in value.items():
            if name in properties:
                found += self.differences(item, properties[name], f"{where}.{name}")
            elif isinstance(schema.get("additionalProperties"), dict):
                found += self.differences(item, schema["additionalProperties"], f"{where}.{name}")
            else:
                found.append(f"{where}.{name} is not described")
        return found


@pytest.fixture(scope="module")
def description() -> Description:
    if not DESCRIPTION.is_file():
        pytest.skip("Stripe's description of its API does not lie beside the checkout")
    return Description(json.loads(DESCRIPTION.read_text(encoding="utf-8")))


# The double, as the SDK sees it.


@pytest.fixture
def double() -> Iterator[StripeDouble]:
    with StripeDouble.in_thread() as double:
        double.add_charge(charge_id="ch_1", amount_minor=5000, currency="usd")
        double.set_account(account_id="acct_closed", state="closed")
        double.set_account(account_id="acct_incapable", state="incapable")
        yield double


@pytest.fixture
def client(double: StripeDouble) -> Iterator[stripe.StripeClient]:
    http_client = stripe.RequestsClient()
    yield stripe.StripeClient(
        API_KEY,
        base_addresses={"api": double.url},
        max_network_retries=0,
        http_client=http_client,
    )
    http_client.close()  # type: ignore[no-untyped-call]


def pay(client: stripe.StripeClient, request: Mapping[str, Any], key: str = "key_1") -> Any:
    return client.v1.transfers.create(request, {"idempotency_key": key})  # type: ignore[arg-type]


def reverse(client: stripe.StripeClient, transfer_id: str) -> Any:
    params: Any = {"amount": 100, "metadata": {"why": "test"}}
    return client.v1.transfers.reversals.create(transfer_id, params)


def reversed_transfer(client: stripe.StripeClient) -> Any:
    transfer = pay(client, REQUEST)
    reverse(client, transfer.id)
    return client.v1.transfers.retrieve(transfer.id)


ANSWERS: list[Any] = [
    pytest.param(
        lambda client: pay(client, REQUEST), stripe.Transfer, "post", "/v1/transfers", id="paid"
    ),
    pytest.param(
        lambda client: pay(client, FROM_CHARGE),
        stripe.Transfer,
        "post",
        "/v1/transfers",
        id="paid from a charge",
    ),
    pytest.param(
        reversed_transfer, stripe.Transfer, "get", "/v1/transfers/{transfer}", id="reversed"
    ),
    pytest.param(
        lambda client: reverse(client, pay(client, REQUEST).id),
        stripe.TransferReversal,
        "post",
        "/v1/transfers/{id}/reversals",
        id="reversal",
    ),
    pytest.param(
        lambda client: reversed_transfer(client) and client.v1.transfers.list({"limit": 3}),
        ListObject[stripe.Transfer],
        "get",
        "/v1/transfers",
        id="list",
    ),
    pytest.param(
        lambda client: client.v1.transfers.reversals.list(reversed_transfer(client).id),
        ListObject[stripe.TransferReversal],
        "get",
        "/v1/transfers/{id}/reversals",
        id="list of reversals",
    ),
    pytest.param(
        lambda client: pay(client, REQUEST) and client.v1.balance.retrieve(),
        stripe.Balance,
        "get",
        "/v1/balance",
        id="balance",
    ),
    pytest.param(
        lambda client: client.v1.accounts.retrieve("acct_1"),
        stripe.Account,
        "get",
        "/v1/accounts/{account}",
        id="account",
    ),
    pytest.param(
        lambda client: client.v1.accounts.retrieve_current(),
        stripe.Account,
        "get",
        "/v1/accounts/{account}",
        id="own account",
    ),
]


@pytest.mark.parametrize(("ask", "described", "method", "path"), ANSWERS)
def test_an_answer_has_the_shape_that_the_sdk_describes(
    client: stripe.StripeClient,
    ask: Callable[[stripe.StripeClient], Any],
    described: Any,
    method: str,
    path: str,
) -> None:
    assert differences(ask(client).last_response.data, described) == []


@pytest.mark.parametrize(("ask", "described", "method", "path"), ANSWERS)
def test_an_answer_has_the_shape_that_stripe_describes(
    client: stripe.StripeClient,
    description: Description,
    ask: Callable[[stripe.StripeClient], Any],
    described: Any,
    method: str,
    path: str,
) -> None:
    answer = ask(client).last_response.data
    assert description.differences(answer, description.answer(method, path)) == []


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"amount": 0}, "parameter_invalid_integer"),
    ({"idempotency_key": "among the parameters"}, "parameter_unknown"),
    ({"destination": "acct_closed"}, "account_invalid"),
    ({"destination": "acct_incapable"}, "insufficient_capabilities_for_transfer"),
    ({"destination": "nobody"}, "resource_missing"),
    ({"currency": "eur"}, "balance_insufficient"),
]


@pytest.mark.parametrize(("changes", "code"), REFUSALS)
def test_a_refusal_is_the_sdks_exception(
    double: StripeDouble, client: stripe.StripeClient, changes: dict[str, Any], code: str
) -> None:
    double.set_balance(currency="eur", available_minor=0)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        pay(client, REQUEST | changes)
    assert caught.value.code == code
    body: Any = caught.value.json_body
    assert differences(body["error"], stripe.ErrorObject) == []


@pytest.mark.parametrize(("changes", "code"), REFUSALS)
def test_a_refusal_has_the_shape_that_stripe_describes(
    double: StripeDouble,
    client: stripe.StripeClient,
    description: Description,
    changes: dict[str, Any],
    code: str,
) -> None:
    double.set_balance(currency="eur", available_minor=0)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        pay(client, REQUEST | changes)
    assert description.differences(caught.value.json_body, description.schema("error")) == []


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("rate_limited", stripe.RateLimitError),
        ("lock_timeout", stripe.RateLimitError),
        ("key_in_use", stripe.APIError),
        ("unauthorized", stripe.AuthenticationError),
        ("forbidden", stripe.PermissionError),
        ("server_error", stripe.APIError),
        ("unavailable", stripe.APIError),
        ("answer_lost", stripe.APIConnectionError),
        ("answer_reset", stripe.APIConnectionError),
        ("answer_cut", stripe.APIConnectionError),
        ("empty_answer", stripe.APIError),
        ("html_answer", stripe.APIError),
    ],
)
def test_a_fault_is_the_exception_that_the_sdk_makes_of_it(
    double: StripeDouble,
    client: stripe.StripeClient,
    fault: str,
    error: type[stripe.StripeError],
) -> None:
    double.inject(fault)
    with pytest.raises(error) as caught:
        pay(client, REQUEST)
    assert type(caught.value) is error


def test_another_request_under_the_same_key_is_the_sdks_idempotency_error(
    client: stripe.StripeClient,
) -> None:
    pay(client, REQUEST)
    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        pay(client, REQUEST | {"amount": 1})


def test_the_sdk_pages_through_every_transfer(client: stripe.StripeClient) -> None:
    paid = [pay(client, REQUEST, f"key_{number}").id for number in range(7)]
    listed = client.v1.transfers.list({"limit": 3}).auto_paging_iter()
    assert [transfer.id for transfer in listed] == paid[::-1]


# Events, which Stripe's description at hand leaves out.


def test_a_list_of_events_has_the_shape_that_the_sdk_describes(client: stripe.StripeClient) -> None:
    transfer = reversed_transfer(client)
    params: Any = {"types": ["transfer.created", "transfer.reversed"], "created": {"gte": 1}}
    answer = client.v1.events.list(params)
    assert differences(answer.last_response.data, ListObject[stripe.Event]) == []  # type: ignore[union-attr]
    newest, oldest = answer.data
    assert (newest.type, oldest.type) == ("transfer.reversed", "transfer.created")
    assert newest.data.object == transfer
    for event in answer.data:
        assert differences(event.data.object.to_dict(), stripe.Transfer) == []


def test_the_sdk_pages_through_every_event_and_every_reversal(client: stripe.StripeClient) -> None:
    transfer_id = pay(client, REQUEST).id
    made = [reverse(client, transfer_id).id for _ in range(7)]
    events = client.v1.events.list({"limit": 3, "types": ["transfer.reversed"]})
    reversed_minor = [event.data.object["amount_reversed"] for event in events.auto_paging_iter()]
    assert reversed_minor == [700, 600, 500, 400, 300, 200, 100]
    reversals = client.v1.transfers.reversals.list(transfer_id, {"limit": 3})
    assert [reversal.id for reversal in reversals.auto_paging_iter()] == made[::-1]


# The worker's requests.


def send_by_worker(double: StripeDouble, request: Mapping[str, Any]) -> dict[str, Any]:
    """Let the worker's adapter send a request, and return its nested parameters as they arrived."""

    async def send() -> None:
        async with StripePayoutAdapter(api_key=API_KEY, api_base=double.url) as adapter:
            order = {
                "payout_transfer_id": 1,
                "generation": 1,
                "attempt": 1,
                "idempotency_key": "key_1",
                "claim_token": "token_1",
                "request": request,
                "lease_seconds": 30.0,
                "deadline_seconds": 20.0,
                "send_in_seconds": 0.0,
            }
            outcome = await adapter.send(order, claimed_at=boot_seconds())
            assert (outcome["signal"], outcome["http_status"]) == ("response", 200)

    asyncio.run(send())
    (received,) = double.requests
    assert (received.method, received.path, received.key) == ("POST", "/v1/transfers", "key_1")
    nested: dict[str, Any] = {}
    for name, value in received.params.items():
        if found := re.fullmatch(r"(\w+)\[(\w+)\]", name):
            nested.setdefault(found[1], {})[found[2]] = value
        else:
            nested[name] = int(value) if name == "amount" else value
    return nested


SETTLEMENTS: list[dict[str, Any]] = [
    {"line_id": "1", "payee_id": "seller_1", "amount_minor": 1500},
    {"line_id": "1", "payee_id": "seller_1", "amount_minor": 1500, "source_transaction": "ch_1"},
]


@pytest.fixture(params=SETTLEMENTS, ids=["balance", "charge"])
def order_request(
    request: pytest.FixtureRequest, connect: Callable[..., psycopg.Connection[Any]]
) -> dict[str, Any]:
    """The request that the database hands to a worker for a settlement of one line."""
    application = connect("payout_app")
    application.execute(
        "select payout_api.register_payee(p_payee_id => %s, p_stripe_account_id => %s)",
        ["seller_1", "acct_1"],
    )
    application.execute(
        "select payout_api.complete_settlement("
        "p_settlement_id => %s, p_currency => %s, p_lines => %s)",
        ["set_1", "usd", Jsonb([request.param])],
    )
    claimed = connect("payout_worker").execute(
        "select c.request from payout_api.claim_transfers(p_worker => %s, p_limit => %s) as c",
        ["contract", 10],
    )
    ((claimed_request,),) = claimed.fetchall()
    assert isinstance(claimed_request, dict)
    return claimed_request


def test_the_worker_sends_the_databases_request_as_it_is(
    double: StripeDouble, order_request: dict[str, Any]
) -> None:
    assert send_by_worker(double, order_request) == order_request


def test_the_workers_request_has_only_parameters_that_the_sdk_describes(
    double: StripeDouble, order_request: dict[str, Any]
) -> None:
    assert request_differences(send_by_worker(double, order_request)) == []


def test_the_workers_request_has_only_parameters_that_stripe_describes(
    double: StripeDouble, description: Description, order_request: dict[str, Any]
) -> None:
    sent = send_by_worker(double, order_request)
    assert description.differences(sent, description.request("/v1/transfers")) == []


LISTS: list[tuple[str, dict[str, Any], Any]] = [
    ("/v1/transfers", {"transfer_group": "payout_ab"}, stripe.params.TransferListParams),
    (
        "/v1/transfers",
        {"destination": "acct_1", "created": {"gte": 1, "lte": 2}, "starting_after": "{transfer}"},
        stripe.params.TransferListParams,
    ),
    ("/v1/transfers", {"created": {"gte": 1, "lt": 2}}, stripe.params.TransferListParams),
    ("/v1/transfers/{id}/reversals", {}, stripe.params.TransferReversalListParams),
    (
        "/v1/events",
        {"types": ["transfer.reversed", "transfer.created"], "created": {"gte": 1}},
        stripe.params.EventListParams,
    ),
]


def list_by_worker(double: StripeDouble, path: str, query: Mapping[str, Any]) -> dict[str, Any]:
    """Let the worker's adapter ask for a page, and return its nested parameters as they arrived."""

    async def ask() -> None:
        async with StripePayoutAdapter(api_key=API_KEY, api_base=double.url) as adapter:
            await adapter.list_page(path, query)

    asyncio.run(ask())
    received = double.requests[-1]
    assert (received.method, received.path, received.status) == ("GET", path, 200)
    nested: dict[str, Any] = {}
    for name, value in received.params.items():
        first, _, second = name.removesuffix("]").partition("[")
        if first == "types":
            nested.setdefault(first, []).append(value)
        elif second:
            nested.setdefault(first, {})[second] = int(value)
        else:
            nested[first] = int(value) if first == "limit" else value
    return nested


@pytest.mark.parametrize(("path", "query", "described"), LISTS)
def test_a_list_is_asked_for_with_parameters_that_the_sdk_and_stripe_describe(
    double: StripeDouble, description: Description, path: str, query: dict[str, Any], described: Any
) -> None:
    transfer_id = double.transfer(destination="acct_1", amount_minor=1)["id"]
    if "starting_after" in query:
        query = query | {"starting_after": transfer_id}
    sent = list_by_worker(double, path.replace("{id}", transfer_id), query)
    assert sent == query | {"limit": 100}
    assert request_differences(sent, described) == []
    if path in description.document["paths"]:
        assert description.differences(sent, description.query(path)) == []


# The comparisons themselves: each must find an error.

NO_REVERSALS = {"object": "list", "data": [], "has_more": False, "url": "/v1/transfers/tr_1"}
TRANSFER: dict[str, Any] = {
    "id": "tr_1",
    "object": "transfer",
    "amount": 1100,
    "amount_reversed": 0,
    "balance_transaction": None,
    "created": 1234567890,
    "currency": "usd",
    "description": None,
    "destination": "acct_1",
    "destination_payment": "py_1",
    "livemode": False,
    "metadata": {},
    "reversals": NO_REVERSALS,
    "reversed": False,
    "source_transaction": None,
    "source_type": "card",
    "transfer_group": None,
}
WRONG_TRANSFERS: list[tuple[dict[str, Any], str]] = [
    ({"amount": "1100"}, ".amount"),
    ({"amount": True}, ".amount"),
    ({"currency": None}, ".currency"),
    ({"livemode": 0}, ".livemode"),
    ({"metadata": {"a": 1}}, ".metadata."),
    ({"object": "payout"}, ".object"),
    ({"reversals": {"object": "list", "data": []}}, ".reversals.has_more"),
    ({"reversals": NO_REVERSALS | {"data": [{"id": 1}]}}, ".reversals.data[]"),
    ({"status": "paid"}, ".status is not described"),
]


@pytest.mark.parametrize(("changes", "where"), WRONG_TRANSFERS)
def test_the_comparison_with_the_sdk_finds_a_wrong_field(
    changes: dict[str, Any], where: str
) -> None:
    assert differences(TRANSFER, stripe.Transfer) == []
    assert where in "; ".join(differences(TRANSFER | changes, stripe.Transfer))


@pytest.mark.parametrize(("changes", "where"), WRONG_TRANSFERS)
def test_the_comparison_with_stripes_description_finds_a_wrong_field(
    description: Description, changes: dict[str, Any], where: str
) -> None:
    schema = description.schema("transfer")
    assert description.differences(TRANSFER, schema) == []
    assert where in "; ".join(description.differences(TRANSFER | changes, schema))


def test_a_missing_field_is_found(description: Description) -> None:
    without = {name: value for name, value in TRANSFER.items() if name != "id"}
    assert differences(without, stripe.Transfer) == [".id is missing"]
    assert description.differences(without, description.schema("transfer")) == [".id is missing"]


@pytest.mark.parametrize("name", ["transfer", "transfer_reversal", "balance"])
def test_stripes_own_examples_pass(description: Description, name: str) -> None:
    example = description.document["x-fixtures"][name]
    assert description.differences(example, description.schema(name)) == []


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"amount": "1500"}, ".amount"),
        ({"metadata": {"a": 1}}, ".metadata"),
        ({"idempotency_key": "k"}, ".idempotency_key is not described"),
        ({"payout_ref": "p"}, ".payout_ref is not described"),
    ],
)
def test_the_comparisons_find_a_wrong_parameter(
    description: Description, changes: dict[str, Any], where: str
) -> None:
    wrong = REQUEST | changes
    assert where in "; ".join(request_differences(wrong))
    described = description.request("/v1/transfers")
    assert where in "; ".join(description.differences(wrong, described))
