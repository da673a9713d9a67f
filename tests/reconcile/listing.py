"""Stripe's lists as a test makes them up, and their reads as a worker carries them."""

from __future__ import annotations

from functools import partial
from typing import Any, Final, NamedTuple

from psycopg.types.json import Jsonb

from tests.conftest import Connection
from tests.engine import AMOUNT_MINOR, PAYEE, SETTLEMENT, Engine, success
from tests.schema.refusals import Refusal

Listed = dict[str, Any]

ACCOUNT: Final = "acct_platform"
CLAIM: Final = (
    "select * from payout_api.claim_reads(p_worker => %s, p_limit => %s, "
    "p_stripe_account_id => %s, p_is_livemode => %s, p_kind => %s)"
)
REPORT: Final = "select * from payout_api.report_page(%s, %s, %s, %s, %s)"
NO_SUCH_READ: Final = "there is no such read, or the token is of another"


class Read(NamedTuple):
    """A row of `claim_reads`."""

    read_id: int
    kind: str
    token: str
    path: str
    parameters: dict[str, Any]
    objects_seen: int
    objects_expected: int
    read_in_seconds: float

    @property
    def gte(self) -> int | None:
        """The time from which Stripe lists."""
        found: int | None = self.parameters.get("created", {}).get("gte")
        return found


class Taken(NamedTuple):
    """The row of `report_page` for a comparison, as far as it counts."""

    objects_seen: int
    objects_found: int
    is_finished: bool


class Discrepancy(NamedTuple):
    """A row of `discrepancies`, as far as it names the transfer and whether it is resolved."""

    kind: str
    stripe_transfer_id: str | None
    resolved_by: str | None


def with_account(engine: Engine) -> Engine:
    """Let every claim of the engine name the account that is reconciled."""
    engine.claim = partial(engine.claim, account=(ACCOUNT, False))  # type: ignore[method-assign]
    return engine


def pay(engine: Engine, *payees: str, settlement_id: str = SETTLEMENT) -> list[int]:
    """Settle and pay: the transfer to seller_<n> is tr_<n>."""
    transfers = engine.settle(*payees, settlement_id=settlement_id)
    for claim in engine.claim():
        payee = claim.request["metadata"]["payee_id"]
        engine.report(success(claim, stripe_transfer_id=payee.replace("seller", "tr")))
    return transfers


def claim(
    db: Connection,
    kind: str | None = "comparison",
    *,
    worker: str | None = "worker_1",
    account: str | None = ACCOUNT,
    limit: int | None = 20,
) -> list[Read]:
    """Claim reads of a kind."""
    rows = db.execute(CLAIM, [worker, limit, account, False if account else None, kind])
    return sorted(Read(*row) for row in rows.fetchall())


def begin(
    db: Connection, *, worker: str | None = "worker_1", account: str | None = ACCOUNT
) -> Read:
    """Begin a comparison, or go on with it."""
    (read,) = claim(db, worker=worker, account=account)
    return read


def carry(
    db: Connection,
    read: Read,
    *objects: object,
    after: str | None = None,
    has_more: bool | None = False,
) -> tuple[dict[str, Any] | None, int, int, str | None, bool]:
    """Report a page of a read that starts after an id; return the row of `report_page`."""
    first = {name: value for name, value in read.parameters.items() if name != "starting_after"}
    parameters = first | ({"starting_after": after} if after else {})
    values = [read.read_id, read.token, Jsonb(parameters), Jsonb(list(objects)), has_more]
    ((next_, seen, found, result, is_alarm, _),) = db.execute(REPORT, values).fetchall()
    return next_, seen, found, result, is_alarm


def report(
    db: Connection,
    read: Read,
    *transfers: object,
    after: str | None = None,
    has_more: bool | None = False,
) -> Taken:
    """Report a page of a comparison."""
    next_, seen, found, *_ = carry(db, read, *transfers, after=after, has_more=has_more)
    return Taken(seen, found, next_ is None)


def refusal_by(read: Read, problem: str) -> Refusal:
    """Return how a read refuses a page."""
    return Refusal("SP341", f"read {read.read_id}: {problem}")


def reconcile(db: Connection, *transfers: Listed, per_page: int = 100) -> Taken:
    """Carry a whole comparison over Stripe's list."""
    run, after = begin(db), None
    pages = [transfers[at : at + per_page] for at in range(0, len(transfers), per_page)] or [()]
    for number, page in enumerate(pages, start=1):
        has_more = number < len(pages)
        taken = report(db, run, *page, after=after, has_more=has_more)
        after = page[-1]["id"] if has_more else after
    return taken


def listed(stripe_transfer_id: str = "tr_1", **changes: object) -> Listed:
    """Return a transfer as Stripe lists it, as others make them: without anything of ours."""
    transfer: Listed = {
        "id": stripe_transfer_id,
        "object": "transfer",
        "amount": AMOUNT_MINOR,
        "amount_reversed": 0,
        "created": 1_900_000_000,
        "currency": "usd",
        "destination": "acct_1",
        "livemode": False,
        "metadata": {},
        "reversals": {"object": "list", "data": [], "has_more": False},
        "reversed": False,
        "source_transaction": None,
        "transfer_group": None,
    }
    return transfer | changes


def ours(
    db: Connection,
    stripe_transfer_id: str = "tr_1",
    *,
    settlement_id: str = SETTLEMENT,
    payee_id: str = PAYEE,
    source_transaction: str | None = None,
    **changes: object,
) -> Listed:
    """Return a transfer as Stripe lists it after this engine, or a copy of it, has made it."""
    identity = [settlement_id, payee_id, source_transaction]
    ((ref, installation_id),) = db.execute(
        "select payout.payout_ref(installation_id, %s, %s, %s), installation_id "
        "from payout.engine_settings",
        identity,
    ).fetchall()
    metadata = {
        "payout_engine": installation_id,
        "payout_ref": ref,
        "settlement_id": settlement_id,
        "payee_id": payee_id,
    }
    group = ref if source_transaction is None else "group_pi_1"
    facts: Listed = {
        "metadata": metadata,
        "transfer_group": group,
        "source_transaction": source_transaction,
        "destination": payee_id.replace("seller", "acct"),
    }
    return listed(stripe_transfer_id, **(facts | changes))


def event(number: int, transfer: Listed, **changes: object) -> dict[str, Any]:
    """Return an event as Stripe lists it: the transfer as it was then."""
    facts = {
        "id": f"evt_{number}",
        "object": "event",
        "type": "transfer.reversed",
        "created": 1_900_000_000,
        "data": {"object": transfer},
    }
    return facts | changes


def discrepancies(engine: Engine) -> list[Discrepancy]:
    """Return all discrepancies, open and resolved, in order."""
    rows = engine.db.execute(
        "select kind, stripe_transfer_id, resolved_by from payout.discrepancies "
        "order by discrepancy_id"
    )
    return [Discrepancy(*row) for row in rows]
