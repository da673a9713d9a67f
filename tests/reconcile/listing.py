"""Stripe's list of transfers as a test makes it up, and a reconcile run as a worker carries it."""

from __future__ import annotations

from functools import partial
from typing import Any, Final, NamedTuple

from psycopg.types.json import Jsonb

from tests.conftest import Connection
from tests.engine import AMOUNT_MINOR, PAYEE, SETTLEMENT, Engine, success
from tests.schema.refusals import Refusal

Listed = dict[str, Any]

ACCOUNT: Final = "acct_platform"
OTHER_QUERY: Final = "the page answers another query than this database gave out"
BEGIN: Final = "select * from payout_api.begin_reconcile(%s, %s, %s)"
REPORT: Final = "select * from payout_api.report_reconcile_page(%s, %s, %s, %s, %s)"


class Begun(NamedTuple):
    """A row of `begin_reconcile`."""

    reconcile_run_id: int
    query: dict[str, Any]
    starting_after: str | None
    transfers_seen: int
    transfers_expected: int


class Taken(NamedTuple):
    """A row of `report_reconcile_page`."""

    transfers_seen: int
    discrepancies_found: int
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


def begin(
    db: Connection, *, worker: str | None = "worker_1", account: str | None = ACCOUNT
) -> Begun:
    """Begin a run, or go on with it."""
    (row,) = db.execute(BEGIN, [worker, account, False]).fetchall()
    return Begun(*row)


def report(
    db: Connection,
    run: Begun,
    *transfers: object,
    after: str | None = None,
    has_more: bool | None = False,
) -> Taken:
    """Report a page that starts after an id, of the query that the run was begun with."""
    page = Jsonb(list(transfers))
    parameters = [run.reconcile_run_id, Jsonb(run.query), after, page, has_more]
    (row,) = db.execute(REPORT, parameters).fetchall()
    return Taken(*row)


def refusal_by(run: Begun, problem: str) -> Refusal:
    """Return how a run refuses a page."""
    return Refusal("SP341", f"reconcile run {run.reconcile_run_id}: {problem}")


def reconcile(db: Connection, *transfers: Listed, per_page: int = 100) -> Taken:
    """Carry a whole run over Stripe's list."""
    run, after = begin(db), None
    pages = [transfers[at : at + per_page] for at in range(0, len(transfers), per_page)] or [()]
    for number, page in enumerate(pages, start=1):
        has_more = number < len(pages)
        taken = report(db, run, *page, after=after, has_more=has_more)
        after = page[-1]["id"] if page else after
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
    ((ref,),) = db.execute(
        "select payout.payout_ref(installation_id, %s, %s, %s) from payout.engine_settings",
        identity,
    ).fetchall()
    metadata = {"payout_ref": ref, "settlement_id": settlement_id, "payee_id": payee_id}
    group = ref if source_transaction is None else "group_pi_1"
    facts: Listed = {
        "metadata": metadata,
        "transfer_group": group,
        "source_transaction": source_transaction,
        "destination": payee_id.replace("seller", "acct"),
    }
    return listed(stripe_transfer_id, **(facts | changes))


def event(number: int, transfer: Listed) -> dict[str, Any]:
    """Return an event as Stripe lists it: the transfer as it was then."""
    return {
        "id": f"evt_{number}",
        "object": "event",
        "type": "transfer.reversed",
        "created": 1_900_000_000,
        "data": {"object": transfer},
    }


def discrepancies(engine: Engine) -> list[Discrepancy]:
    """Return all discrepancies, open and resolved, in order."""
    rows = engine.db.execute(
        "select kind, stripe_transfer_id, resolved_by from payout.discrepancies "
        "order by discrepancy_id"
    )
    return [Discrepancy(*row) for row in rows]
