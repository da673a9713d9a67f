"""The books of the Stripe double: accounts, balances, transfers and reversals, without any HTTP.

Requests come in as flat form parameters and are refused as Stripe refuses them; every object that
goes out has the shape of Stripe's own description.
"""

from __future__ import annotations

import bisect
import itertools
import re
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, TypeVar, get_args

T = TypeVar("T")
JsonObject: TypeAlias = dict[str, Any]
AccountState: TypeAlias = Literal["open", "closed", "incapable", "unknown"]

PLATFORM_ACCOUNT: Final = "acct_platform"
TRANSFER_PARAMETERS: Final = frozenset(
    {
        "amount",
        "currency",
        "description",
        "destination",
        "source_transaction",
        "source_type",
        "transfer_group",
    }
)
REVERSAL_PARAMETERS: Final = frozenset({"amount", "description", "refund_application_fee"})
PAGE_PARAMETERS: Final = frozenset({"limit", "starting_after", "ending_before"})
CREATED_PARAMETERS: Final = frozenset(
    {"created", "created[gt]", "created[gte]", "created[lt]", "created[lte]"}
)
LIST_PARAMETERS: Final = PAGE_PARAMETERS | CREATED_PARAMETERS | {"destination", "transfer_group"}
EVENT_TYPES_PARAMETER: Final = re.compile(r"types\[\d+\]")
MAX_EVENT_TYPES: Final = 20
EVENT_LIFETIME_SECONDS: Final = 30 * 24 * 3600
API_VERSION: Final = "2026-10-28.endive"
# Other expandable fields hold objects that the double does not keep.
EXPANDABLE: Final = frozenset({"destination"})
SOURCE_TYPES: Final = frozenset({"bank_account", "card", "fpx"})
# docs.stripe.com/currencies: the last digit must be 0, or the amount divisible by 100.
AMOUNT_STEPS: Final = {
    "bhd": 10,
    "jod": 10,
    "kwd": 10,
    "omr": 10,
    "tnd": 10,
    "isk": 100,
    "ugx": 100,
}
MAX_METADATA_KEYS: Final = 50
MAX_METADATA_KEY_LENGTH: Final = 40
MAX_METADATA_VALUE_LENGTH: Final = 500
MAX_STRING_LENGTH: Final = 5000
MAX_PAGE: Final = 100
NEWEST_REVERSALS: Final = 10


class StripeRefusalError(Exception):
    """An error answer. `is_saved` tells whether Stripe stores it under the idempotency key."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        error_type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        is_saved: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.is_saved = is_saved
        error = {"message": message, "type": error_type, "code": code, "param": param}
        self.body: JsonObject = {
            "error": {name: value for name, value in error.items() if value is not None}
        }


@dataclass(slots=True)
class Charge:
    """A customer's payment that transfers may draw on, by `source_transaction`."""

    charge_id: str
    amount_minor: int
    currency: str
    transfer_group: str
    transferred_minor: int = 0


@dataclass(slots=True)
class Effect:
    """Money that moved: one transfer and its reversals, newest first."""

    sequence: int
    appeared_at: float
    created: int
    payout_ref: str | None
    transfer: JsonObject
    reversals: list[JsonObject] = field(default_factory=list)


@dataclass(slots=True)
class Event:
    """An event of a transfer; the transfer as it was then is put together when asked for."""

    sequence: int
    created: int
    event_type: str
    effect: Effect
    reversal_count: int

    def transfer(self) -> JsonObject:
        """Return the transfer as it was."""
        now = self.effect.transfer
        reversals = self.effect.reversals[: self.reversal_count]
        amount_reversed = sum(reversal["amount"] for reversal in reversals)
        return now | {
            "amount_reversed": amount_reversed,
            "reversed": amount_reversed == now["amount"],
            "reversals": _newest_reversals(now["id"], reversals),
        }


class StripeBooks:
    """One platform account at Stripe and everything it knows.

    `now` gives Stripe's time in seconds since 1970. A currency without a balance of its own has
    `initial_balance_minor`; an account that was not set is in `default_account_state`.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float],
        initial_balance_minor: int = 10**15,
        default_account_state: AccountState = "open",
    ) -> None:
        self.list_lag_seconds = 0.0
        self._now = now
        self._initial_balance_minor = initial_balance_minor
        self._default_account_state = default_account_state
        self._lock = threading.Lock()
        # Ids of two doubles must differ: a database that outlives one may meet the next.
        self._run = secrets.token_hex(4)
        self._balances: dict[str, int] = {}
        self._accounts: dict[str, AccountState] = {}
        self._charges: dict[str, Charge] = {}
        self._effects: list[Effect] = []
        self._by_id: dict[str, Effect] = {}
        self._by_group: dict[str | None, list[Effect]] = {}
        self._by_payout_ref: dict[str | None, list[Effect]] = {}
        self._by_destination: dict[str, list[Effect]] = {}
        self._events: list[Event] = []
        self._events_by_id: dict[str, Event] = {}
        self._events_by_type: dict[str, list[Event]] = {}
        self._reversal_count = 0
        self._latest = 0.0

    def set_balance(self, *, currency: str, available_minor: int) -> None:
        """Set the platform's available balance in a currency, in minor units."""
        self._balances[currency] = available_minor

    def balance_minor(self, currency: str) -> int:
        """Return the platform's available balance in a currency, in minor units."""
        return self._balances.get(currency, self._initial_balance_minor)

    def set_account(self, *, account_id: str, state: AccountState) -> None:
        """Make an account open, closed, incapable (of receiving transfers) or unknown."""
        if state not in get_args(AccountState):
            raise ValueError(f"an account cannot be {state!r}")
        self._accounts[account_id] = state

    def add_charge(
        self,
        *,
        charge_id: str,
        amount_minor: int,
        currency: str,
        transfer_group: str | None = None,
    ) -> None:
        """Register a customer's payment, the `source_transaction` of transfers up to its amount."""
        group = transfer_group or f"group_{charge_id}"
        self._charges[charge_id] = Charge(charge_id, amount_minor, currency, group)

    def transfers(self) -> list[JsonObject]:
        """Return every transfer, oldest first."""
        return [effect.transfer for effect in self._effects]

    def transfers_by_payout_ref(self) -> dict[str | None, list[JsonObject]]:
        """Return the transfers of each `metadata.payout_ref` (None: without), oldest first."""
        return {
            payout_ref: [effect.transfer for effect in effects]
            for payout_ref, effects in list(self._by_payout_ref.items())
        }

    def check_transfer(self, params: Mapping[str, str]) -> None:
        """Raise the refusals that Stripe makes before it executes; these are never saved."""
        _check_names(
            params, known=TRANSFER_PARAMETERS, expandable=EXPANDABLE, may_have_metadata=True
        )
        _check_strings(params)
        _check_metadata(params)
        for required in ("currency", "destination"):
            if required not in params:
                raise _missing(required)
        if "amount" in params:
            _check_amount(params["amount"], currency=params["currency"])
        elif "source_transaction" not in params:
            raise _missing("amount")
        if not re.fullmatch("[a-z]{3}", params["currency"]):
            raise StripeRefusalError(f"Invalid currency: {params['currency']}", param="currency")
        if params.get("source_type", "card") not in SOURCE_TYPES:
            raise StripeRefusalError(
                "Invalid source_type: must be one of bank_account, card, or fpx",
                param="source_type",
            )

    def create_transfer(self, params: Mapping[str, str], *, is_livemode: bool) -> JsonObject:
        """Move the money, or refuse with a decline that Stripe saves under the key."""
        with self._lock:
            currency = params["currency"]
            self._check_destination(params["destination"])
            charge = self._charge_of(params)
            if charge is None:
                amount = int(params["amount"])
                if amount > self.balance_minor(currency):
                    raise _decline(
                        "You have insufficient funds in your Stripe account for this transfer. "
                        "Your card balance is too low.",
                        code="balance_insufficient",
                    )
                self._balances[currency] = self.balance_minor(currency) - amount
            else:
                amount = int(params.get("amount", charge.amount_minor))
                _check_charge(charge, amount=amount, currency=currency)
                charge.transferred_minor += amount
            transfer = self._add_transfer(params, amount, charge, is_livemode=is_livemode)
            return self._expanded(transfer, params)

    def get_transfer(
        self, transfer_id: str, params: Mapping[str, str], *, is_livemode: bool
    ) -> JsonObject:
        """Return one transfer. Refuses with 404 if it does not exist in this mode."""
        _check_names(params, known=frozenset(), expandable=EXPANDABLE)
        return self._expanded(self._find(transfer_id, is_livemode=is_livemode).transfer, params)

    def transfer_by_hand(
        self,
        *,
        destination: str,
        amount_minor: int,
        currency: str = "usd",
        metadata: Mapping[str, str] | None = None,
        is_livemode: bool = False,
        **params: str,
    ) -> JsonObject:
        """Move money as a person in the Dashboard does; a decline is raised.

        `params` are further ones of Stripe's own.
        """
        form = {"amount": str(amount_minor), "currency": currency, "destination": destination}
        form |= {f"metadata[{name}]": value for name, value in (metadata or {}).items()}
        form |= params
        self.check_transfer(form)
        return self.create_transfer(form, is_livemode=is_livemode)

    def reverse_by_hand(self, *, transfer_id: str, amount_minor: int | None = None) -> JsonObject:
        """Reverse a transfer, wholly or in part, as a person in the Dashboard does."""
        params = {} if amount_minor is None else {"amount": str(amount_minor)}
        is_livemode = bool(self._by_id[transfer_id].transfer["livemode"])
        return self.create_reversal(transfer_id, params, is_livemode=is_livemode)

    def list_transfers(self, params: Mapping[str, str], *, is_livemode: bool) -> JsonObject:
        """Return one page of transfers, newest first, without those that lag behind."""
        _check_names(params, known=LIST_PARAMETERS)
        visible_until = self._now() - self.list_lag_seconds
        destination = params.get("destination")
        effects = self._effects
        if "transfer_group" in params:
            effects = self._by_group.get(params["transfer_group"], [])
        elif destination is not None:
            effects = self._by_destination.get(destination, [])
        span = _created_span(effects, params)
        visible = bisect.bisect_right(effects, visible_until, key=lambda e: e.appeared_at)

        def matches(effect: Effect) -> bool:
            transfer = effect.transfer
            return transfer["livemode"] == is_livemode and (
                destination is None or transfer["destination"] == destination
            )

        page, has_more = _page(
            effects,
            params,
            span=range(span.start, min(span.stop, visible)),
            position_of=_positions(effects, self._by_id),
            matches=matches,
        )
        transfers = [effect.transfer for effect in page]
        return _list_object(transfers, url="/v1/transfers", has_more=has_more)

    def list_events(self, params: Mapping[str, str], *, is_livemode: bool) -> JsonObject:
        """Return one page of events, newest first, of the last thirty days."""
        types = {params[name] for name in params if EVENT_TYPES_PARAMETER.fullmatch(name)}
        others = {
            name: params[name] for name in params if not EVENT_TYPES_PARAMETER.fullmatch(name)
        }
        _check_names(others, known=PAGE_PARAMETERS | CREATED_PARAMETERS)
        if len(types) > MAX_EVENT_TYPES:
            raise StripeRefusalError(
                f"You may only pass up to {MAX_EVENT_TYPES} types.", param="types"
            )
        events = self._events
        if len(types) == 1:
            events = self._events_by_type.get(min(types), [])
        span = _created_span(events, params)
        oldest = bisect.bisect_left(
            events, self._now() - EVENT_LIFETIME_SECONDS, key=lambda event: event.created
        )

        def matches(event: Event) -> bool:
            is_of_mode = event.effect.transfer["livemode"] == is_livemode
            return is_of_mode and (not types or event.event_type in types)

        page, has_more = _page(
            events,
            params,
            span=range(max(span.start, oldest), span.stop),
            position_of=_positions(events, self._events_by_id),
            matches=matches,
        )
        return _list_object(
            [self._event_object(event) for event in page], url="/v1/events", has_more=has_more
        )

    def check_reversal(
        self, transfer_id: str, params: Mapping[str, str], *, is_livemode: bool
    ) -> None:
        """Raise the refusals that Stripe makes before it executes; these are never saved."""
        self._find(transfer_id, is_livemode=is_livemode)
        _check_names(params, known=REVERSAL_PARAMETERS, may_have_metadata=True)
        _check_strings(params)
        _check_metadata(params)
        if "amount" in params:
            _whole_number(params["amount"])

    def create_reversal(
        self, transfer_id: str, params: Mapping[str, str], *, is_livemode: bool
    ) -> JsonObject:
        """Take back a transfer, wholly or the `amount`; the money returns to the platform."""
        with self._lock:
            effect = self._find(transfer_id, is_livemode=is_livemode)
            transfer = effect.transfer
            left = transfer["amount"] - transfer["amount_reversed"]
            amount = int(params.get("amount", left))
            if left == 0:
                raise _decline(f"Transfer {transfer_id} has already been fully reversed.")
            if amount > left:
                raise _decline(
                    f"Reversal amount ({amount}) is greater than unreversed amount on transfer "
                    f"({left})."
                )
            self._reversal_count += 1
            suffix = f"{self._run}{self._reversal_count:08d}"
            reversal = {
                "id": f"trr_{suffix}",
                "object": "transfer_reversal",
                "amount": amount,
                "balance_transaction": f"txn_r{suffix}",
                "created": int(self._tick()),
                "currency": transfer["currency"],
                "destination_payment_refund": f"pyr_{suffix}",
                "metadata": _metadata(params),
                "source_refund": None,
                "transfer": transfer_id,
            }
            effect.reversals.append(reversal)
            currency = transfer["currency"]
            self._balances[currency] = self.balance_minor(currency) + amount
            transfer["amount_reversed"] += amount
            transfer["reversed"] = transfer["amount_reversed"] == transfer["amount"]
            transfer["reversals"] = _newest_reversals(transfer_id, effect.reversals)
            self._add_event("transfer.reversed", effect, created=reversal["created"])
            return reversal

    def get_reversal(self, transfer_id: str, reversal_id: str, *, is_livemode: bool) -> JsonObject:
        """Return one reversal of one transfer."""
        for reversal in self._find(transfer_id, is_livemode=is_livemode).reversals:
            if reversal["id"] == reversal_id:
                return reversal
        raise _no_such("transfer reversal", reversal_id, param="id", status=404)

    def list_reversals(
        self, transfer_id: str, params: Mapping[str, str], *, is_livemode: bool
    ) -> JsonObject:
        """Return one page of the reversals of one transfer, newest first."""
        _check_names(params, known=PAGE_PARAMETERS)
        reversals = self._find(transfer_id, is_livemode=is_livemode).reversals
        positions = {reversal["id"]: position for position, reversal in enumerate(reversals)}
        page, has_more = _page(
            reversals,
            params,
            span=range(len(reversals)),
            position_of=positions.__getitem__,
        )
        return _list_object(page, url=_reversals_url(transfer_id), has_more=has_more)

    def balance(self, *, is_livemode: bool) -> JsonObject:
        """Return the platform's balance in every currency that was set or used."""
        currencies = sorted(self._balances) or ["usd"]
        return {
            "object": "balance",
            "available": [_money(name, self.balance_minor(name)) for name in currencies],
            "connect_reserved": [{"amount": 0, "currency": name} for name in currencies],
            "livemode": is_livemode,
            "pending": [_money(name, 0) for name in currencies],
        }

    def account(self, account_id: str = PLATFORM_ACCOUNT) -> JsonObject:
        """Return the platform's own or a connected account; 404 if it is unknown."""
        state = "open" if account_id == PLATFORM_ACCOUNT else self._state_of(account_id)
        if state == "unknown":
            raise _no_such("account", account_id, param="account", status=404)
        return {
            "id": account_id,
            "object": "account",
            "business_type": None,
            "capabilities": {"transfers": "active" if state == "open" else "inactive"},
            "charges_enabled": state == "open",
            "country": "US",
            "created": 1_600_000_000,
            "default_currency": "usd",
            "details_submitted": True,
            "email": None,
            "metadata": {},
            "payouts_enabled": state == "open",
            "type": "standard" if account_id == PLATFORM_ACCOUNT else "express",
        }

    def _state_of(self, account_id: str) -> AccountState:
        if not account_id.startswith("acct_"):
            return "unknown"
        return self._accounts.get(account_id, self._default_account_state)

    def _check_destination(self, destination: str) -> None:
        state = self._state_of(destination)
        if destination == PLATFORM_ACCOUNT:
            raise _decline(
                "Cannot create transfers to your own account.",
                param="destination",
            )
        if state == "unknown":
            raise _no_such("destination", destination, param="destination")
        if state == "closed":
            raise _decline(
                f"The account {destination} has been closed.",
                code="account_invalid",
                param="destination",
            )
        if state == "incapable":
            raise _decline(
                "Your destination account needs to have at least one of the following capabilities "
                "enabled: transfers, crypto_transfers, legacy_payments",
                code="insufficient_capabilities_for_transfer",
            )

    def _charge_of(self, params: Mapping[str, str]) -> Charge | None:
        charge_id = params.get("source_transaction")
        if charge_id is None:
            return None
        if charge_id not in self._charges:
            raise _no_such("charge", charge_id, param="source_transaction")
        return self._charges[charge_id]

    def _add_transfer(
        self,
        params: Mapping[str, str],
        amount: int,
        charge: Charge | None,
        *,
        is_livemode: bool,
    ) -> JsonObject:
        now = self._tick()
        sequence = len(self._effects)
        suffix = f"{self._run}{sequence:08d}"
        transfer_id = f"tr_{suffix}"
        transfer: JsonObject = {
            "id": transfer_id,
            "object": "transfer",
            "amount": amount,
            "amount_reversed": 0,
            "balance_transaction": f"txn_{suffix}",
            "created": int(now),
            "currency": params["currency"],
            "description": params.get("description"),
            "destination": params["destination"],
            "destination_payment": f"py_{suffix}",
            "livemode": is_livemode,
            "metadata": _metadata(params),
            "reversals": _newest_reversals(transfer_id, []),
            "reversed": False,
            "source_transaction": charge.charge_id if charge else None,
            "source_type": params.get("source_type", "card"),
            # Stripe groups by the charge, whatever group was asked for.
            "transfer_group": charge.transfer_group if charge else params.get("transfer_group"),
        }
        payout_ref = transfer["metadata"].get("payout_ref")
        effect = Effect(sequence, now, int(now), payout_ref, transfer)
        self._by_id[transfer_id] = effect
        self._by_group.setdefault(transfer["transfer_group"], []).append(effect)
        self._by_payout_ref.setdefault(effect.payout_ref, []).append(effect)
        self._by_destination.setdefault(transfer["destination"], []).append(effect)
        self._effects.append(effect)
        self._add_event("transfer.created", effect, created=int(now))
        return transfer

    def _add_event(self, event_type: str, effect: Effect, *, created: int) -> None:
        sequence = len(self._events)
        event = Event(sequence, created, event_type, effect, len(effect.reversals))
        self._events_by_id[self._event_id(sequence)] = event
        self._events_by_type.setdefault(event_type, []).append(event)
        self._events.append(event)

    def _event_id(self, sequence: int) -> str:
        return f"evt_{self._run}{sequence:08d}"

    def _event_object(self, event: Event) -> JsonObject:
        return {
            "id": self._event_id(event.sequence),
            "object": "event",
            "api_version": API_VERSION,
            "created": event.created,
            "data": {"object": event.transfer()},
            "livemode": event.effect.transfer["livemode"],
            "pending_webhooks": 0,
            "request": {"id": None, "idempotency_key": None},
            "type": event.event_type,
        }

    def _tick(self) -> float:
        """Return the time, never less than before: lists are in the order of their times."""
        self._latest = max(self._latest, self._now())
        return self._latest

    def _expanded(self, transfer: JsonObject, params: Mapping[str, str]) -> JsonObject:
        if any(name.startswith("expand[") for name in params):
            return transfer | {"destination": self.account(transfer["destination"])}
        return transfer

    def _find(self, transfer_id: str, *, is_livemode: bool) -> Effect:
        effect = self._by_id.get(transfer_id)
        if effect is None or effect.transfer["livemode"] != is_livemode:
            raise _no_such("transfer", transfer_id, param="id", status=404)
        return effect


def _decline(
    message: str, *, code: str | None = None, param: str | None = None
) -> StripeRefusalError:
    return StripeRefusalError(message, code=code, param=param, is_saved=True)


def _missing(param: str) -> StripeRefusalError:
    return StripeRefusalError(
        f"Missing required param: {param}.", code="parameter_missing", param=param
    )


def _no_such(kind: str, identifier: str, *, param: str, status: int = 400) -> StripeRefusalError:
    return StripeRefusalError(
        f"No such {kind}: '{identifier}'",
        status=status,
        code="resource_missing",
        param=param,
    )


def _check_names(
    params: Mapping[str, str],
    *,
    known: frozenset[str],
    expandable: frozenset[str] = frozenset(),
    may_have_metadata: bool = False,
) -> None:
    for name, value in params.items():
        if name in known or (may_have_metadata and name.startswith("metadata[")):
            continue
        if not re.fullmatch(r"expand\[\d*\]", name):
            raise StripeRefusalError(
                f"Received unknown parameter: {name}", code="parameter_unknown", param=name
            )
        if value not in expandable:
            raise StripeRefusalError(f"This property cannot be expanded ({value}).", param="expand")


def _check_strings(params: Mapping[str, str]) -> None:
    for name, value in params.items():
        if name.startswith("metadata["):
            continue
        if value == "":
            raise StripeRefusalError(
                f"You passed an empty string for '{name}'. We assume empty values are an attempt "
                "to unset a parameter; however this parameter cannot be unset.",
                code="parameter_invalid_empty",
                param=name,
            )
        if len(value) > MAX_STRING_LENGTH:
            raise StripeRefusalError(
                f"Invalid string: {value[:20]}...; must be at most {MAX_STRING_LENGTH} characters",
                code="parameter_invalid_string_too_long",
                param=name,
            )


def _check_metadata(params: Mapping[str, str]) -> None:
    count = 0
    for name, value in params.items():
        if not name.startswith("metadata["):
            continue
        count += 1
        key = name[len("metadata[") : -1]
        if not name.endswith("]") or not key or "[" in key or "]" in key:
            raise StripeRefusalError(f"Invalid metadata key: {name}", param="metadata")
        if len(key) > MAX_METADATA_KEY_LENGTH:
            raise StripeRefusalError(
                f"Metadata keys can have up to {MAX_METADATA_KEY_LENGTH} characters, but you "
                f"passed in a key that is {len(key)} characters. Invalid key: {key}",
                param="metadata",
            )
        if len(value) > MAX_METADATA_VALUE_LENGTH:
            raise StripeRefusalError(
                f"Metadata values can have up to {MAX_METADATA_VALUE_LENGTH} characters, but you "
                f"passed in a value that is {len(value)} characters.",
                param=name,
            )
    if count > MAX_METADATA_KEYS:
        raise StripeRefusalError(
            f"You can only have {MAX_METADATA_KEYS} metadata keys.", param="metadata"
        )


def _metadata(params: Mapping[str, str]) -> dict[str, str]:
    # An empty value means: no such key.
    return {
        name[len("metadata[") : -1]: value
        for name, value in params.items()
        if value and name.startswith("metadata[")
    }


def _whole_number(text: str, *, name: str = "amount", least: int = 1) -> int:
    number = text.removeprefix("-")
    if not (number.isascii() and number.isdigit()):
        raise StripeRefusalError(
            f"Invalid integer: {text}", code="parameter_invalid_integer", param=name
        )
    if int(text) < least:
        raise StripeRefusalError(
            f"This value must be greater than or equal to {least}.",
            code="parameter_invalid_integer",
            param=name,
        )
    return int(text)


def _check_amount(text: str, *, currency: str) -> None:
    amount = _whole_number(text)
    step = AMOUNT_STEPS.get(currency, 1)
    if amount % step:
        raise StripeRefusalError(
            f"Invalid amount: in {currency} it must be divisible by {step}.", param="amount"
        )


def _check_charge(charge: Charge, *, amount: int, currency: str) -> None:
    if currency != charge.currency:
        raise _decline(
            f"The currency of source_transaction's balance transaction ({charge.currency}) must be "
            f"the same as the transfer currency ({currency})",
            param="currency",
        )
    if charge.transferred_minor + amount > charge.amount_minor:
        raise _decline(
            "Transfers using this transaction as a source must not exceed the source amount of "
            f"{charge.amount_minor}. (There is already {charge.transferred_minor} transferred "
            f"using {charge.charge_id}.)",
            param="amount",
        )


def _created_span(items: Sequence[Effect] | Sequence[Event], params: Mapping[str, str]) -> range:
    """Return the positions of the items, which stand oldest first, that were created in time."""
    bounds = {
        operator: _whole_number(
            params[f"created[{operator}]"], name=f"created[{operator}]", least=0
        )
        for operator in ("gt", "gte", "lt", "lte")
        if f"created[{operator}]" in params
    }
    if "created" in params:
        exact = _whole_number(params["created"], name="created", least=0)
        bounds |= {"gte": exact, "lte": exact}
    first = max(bounds.get("gt", -1) + 1, bounds.get("gte", 0))

    def position(created: int) -> int:
        return bisect.bisect_left(items, created, key=lambda item: item.created)

    ends = [bounds[name] + over for name, over in (("lt", 0), ("lte", 1)) if name in bounds]
    return range(position(first), position(min(ends)) if ends else len(items))


def _positions(
    items: Sequence[Effect] | Sequence[Event], by_id: Mapping[str, Effect] | Mapping[str, Event]
) -> Callable[[str], int]:
    """Return a function that finds the position of an id in items sorted by sequence."""
    return lambda identifier: bisect.bisect_left(
        items, by_id[identifier].sequence, key=lambda item: item.sequence
    )


def _page(
    items: Sequence[T],
    params: Mapping[str, str],
    *,
    span: range,
    position_of: Callable[[str], int],
    matches: Callable[[T], bool] = lambda _: True,
) -> tuple[list[T], bool]:
    """Cut one page out of the span of `items`, which stand oldest first; turn it newest first."""
    limit = _whole_number(params.get("limit", "10"), name="limit")
    if limit > MAX_PAGE:
        raise StripeRefusalError(
            f"Limit must be between 1 and {MAX_PAGE}",
            code="parameter_invalid_integer",
            param="limit",
        )

    def position(name: str) -> int:
        try:
            return position_of(params[name])
        except KeyError:
            raise _no_such("object", params[name], param=name) from None

    if "ending_before" in params:
        positions = range(max(position("ending_before") + 1, span.start), span.stop)
    else:
        end = position("starting_after") if "starting_after" in params else span.stop
        positions = range(min(end, span.stop) - 1, span.start - 1, -1)
    found = (items[index] for index in positions if matches(items[index]))
    page = list(itertools.islice(found, limit))
    has_more = next(found, None) is not None
    if "ending_before" in params:
        page.reverse()
    return page, has_more


def _list_object(data: list[JsonObject], *, url: str, has_more: bool) -> JsonObject:
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def _newest_reversals(transfer_id: str, reversals: Sequence[JsonObject]) -> JsonObject:
    """Return the sublist of a transfer, whose reversals stand oldest first."""
    return _list_object(
        list(reversals[: -NEWEST_REVERSALS - 1 : -1]),
        url=_reversals_url(transfer_id),
        has_more=len(reversals) > NEWEST_REVERSALS,
    )


def _reversals_url(transfer_id: str) -> str:
    return f"/v1/transfers/{transfer_id}/reversals"


def _money(currency: str, amount: int) -> JsonObject:
    return {"amount": amount, "currency": currency, "source_types": {"card": amount}}
