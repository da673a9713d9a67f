"""What the Stripe double believes: accounts, balances, transfers and reversals, without any HTTP.

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
LIST_PARAMETERS: Final = PAGE_PARAMETERS | {
    "destination",
    "transfer_group",
    "created",
    "created[gt]",
    "created[gte]",
    "created[lt]",
    "created[lte]",
}
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
LARGEST_AMOUNT_MINOR: Final = 99_999_999
LARGEST_AMOUNT_MINOR_IDR: Final = 999_999_999_999
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
    payout_ref: str | None
    transfer: JsonObject
    reversals: list[JsonObject] = field(default_factory=list)


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
        self._reversal_count = 0

    def set_balance(self, *, currency: str, available_minor: int) -> None:
        """Set what the platform may transfer in a currency, in minor units."""
        self._balances[currency] = available_minor

    def balance_minor(self, currency: str) -> int:
        """Return what the platform may still transfer in a currency, in minor units."""
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
        """Register a customer's payment; transfers may draw on it up to its amount."""
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
        """Refuse what Stripe refuses before it begins to execute; these are never saved."""
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

    def list_transfers(self, params: Mapping[str, str], *, is_livemode: bool) -> JsonObject:
        """Return one page of transfers, newest first, without those that lag behind."""
        _check_names(params, known=LIST_PARAMETERS)
        visible_until = self._now() - self.list_lag_seconds
        was_created = _created_filter(params)
        destination = params.get("destination")
        effects = self._effects
        if "transfer_group" in params:
            effects = self._by_group.get(params["transfer_group"], [])

        def matches(effect: Effect) -> bool:
            transfer = effect.transfer
            return (
                effect.appeared_at <= visible_until
                and transfer["livemode"] == is_livemode
                and (destination is None or transfer["destination"] == destination)
                and was_created(transfer["created"])
            )

        def position_of(transfer_id: str) -> int:
            sequence = self._by_id[transfer_id].sequence
            return bisect.bisect_left(effects, sequence, key=lambda effect: effect.sequence)

        page, has_more = _page(effects, params, position_of=position_of, matches=matches)
        transfers = [effect.transfer for effect in page]
        return _list_object(transfers, url="/v1/transfers", has_more=has_more)

    def check_reversal(
        self, transfer_id: str, params: Mapping[str, str], *, is_livemode: bool
    ) -> None:
        """Refuse what Stripe refuses before it begins to execute; these are never saved."""
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
                "created": int(self._now()),
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
            sublist = transfer["reversals"]
            sublist["data"] = effect.reversals[: -NEWEST_REVERSALS - 1 : -1]
            sublist["has_more"] = len(effect.reversals) > NEWEST_REVERSALS
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
            reversals, params, position_of=positions.__getitem__, matches=lambda _: True
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
            raise _no_such("destination", destination, param="destination", is_saved=True)
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
            raise _no_such("charge", charge_id, param="source_transaction", is_saved=True)
        return self._charges[charge_id]

    def _add_transfer(
        self,
        params: Mapping[str, str],
        amount: int,
        charge: Charge | None,
        *,
        is_livemode: bool,
    ) -> JsonObject:
        now = self._now()
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
            "reversals": _list_object([], url=_reversals_url(transfer_id), has_more=False),
            "reversed": False,
            "source_transaction": charge.charge_id if charge else None,
            "source_type": params.get("source_type", "card"),
            # Stripe groups by the charge, whatever group was asked for.
            "transfer_group": charge.transfer_group if charge else params.get("transfer_group"),
        }
        effect = Effect(sequence, now, transfer["metadata"].get("payout_ref"), transfer)
        self._by_id[transfer_id] = effect
        self._by_group.setdefault(transfer["transfer_group"], []).append(effect)
        self._by_payout_ref.setdefault(effect.payout_ref, []).append(effect)
        self._effects.append(effect)
        return transfer

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


def _no_such(
    kind: str, identifier: str, *, param: str, status: int = 400, is_saved: bool = False
) -> StripeRefusalError:
    return StripeRefusalError(
        f"No such {kind}: '{identifier}'",
        status=status,
        code="resource_missing",
        param=param,
        is_saved=is_saved,
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
    largest = LARGEST_AMOUNT_MINOR_IDR if currency == "idr" else LARGEST_AMOUNT_MINOR
    if amount > largest:
        raise StripeRefusalError(
            f"Amount must be no more than {largest} {currency}.",
            code="amount_too_large",
            param="amount",
        )
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


def _created_filter(params: Mapping[str, str]) -> Callable[[int], bool]:
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

    def was_created(created: int) -> bool:
        return (
            created > bounds.get("gt", -1)
            and created >= bounds.get("gte", 0)
            and created < bounds.get("lt", created + 1)
            and created <= bounds.get("lte", created)
        )

    return was_created


def _page(
    items: Sequence[T],
    params: Mapping[str, str],
    *,
    position_of: Callable[[str], int],
    matches: Callable[[T], bool],
) -> tuple[list[T], bool]:
    """Cut one page out of `items`, which stand oldest first, and turn it newest first."""
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
        positions = range(position("ending_before") + 1, len(items))
    else:
        end = position("starting_after") if "starting_after" in params else len(items)
        positions = range(end - 1, -1, -1)
    found = (items[index] for index in positions if matches(items[index]))
    page = list(itertools.islice(found, limit))
    has_more = next(found, None) is not None
    if "ending_before" in params:
        page.reverse()
    return page, has_more


def _list_object(data: list[JsonObject], *, url: str, has_more: bool) -> JsonObject:
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def _reversals_url(transfer_id: str) -> str:
    return f"/v1/transfers/{transfer_id}/reversals"


def _money(currency: str, amount: int) -> JsonObject:
    return {"amount": amount, "currency": currency, "source_types": {"card": amount}}
