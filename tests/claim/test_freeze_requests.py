"""The first claim under a key freezes its request: exactly as Stripe will get it."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.conftest import Connection
from tests.engine import Engine, success, unfunded
from tests.mutants import mutant
from tests.schema.refusals import Refusal
from tests.settle.marketplace import complete, line, refused, register

Requests = list[tuple[str, int, dict[str, Any]]]


@pytest.fixture
def db(engine: Engine) -> Connection:
    register(engine.app, "seller_1", "seller_2")
    return engine.db


def requests(db: Connection) -> Requests:
    """Return payout_ref, generation and request of each key."""
    return db.execute(
        "select t.payout_ref, r.generation, r.request from payout.payout_transfers as t "
        "join payout.transfer_requests as r using (payout_transfer_id) "
        "order by t.settlement_id, t.payee_id, t.source_transaction nulls first, r.generation"
    ).fetchall()


def installation_id(db: Connection) -> str:
    ((found,),) = db.execute("select installation_id from payout.engine_settings").fetchall()
    return str(found)


def move(engine: Engine, account: str) -> None:
    """Give seller_1 another account."""
    engine.app.execute("select payout_api.register_payee('seller_1', %s)", [account])


def test_a_settlement_freezes_no_request(engine: Engine, db: Connection) -> None:
    complete(engine.app, "set_1", [line("1", "seller_1", 5)])
    assert requests(db) == []


@mutant(
    "no payout_ref in the metadata",
    "transfer_request",
    "'payout_ref', p_transfer.payout_ref,",
    "",
)
def test_a_transfer_from_the_balance_names_its_group(engine: Engine, db: Connection) -> None:
    complete(engine.app, "set_1", [line("1", "seller_1", 1500)])
    claim = engine.claim_one()

    ((payout_ref, _, request),) = requests(db)
    assert request == {
        "amount": 1500,
        "currency": "usd",
        "destination": "acct_seller_1",
        "transfer_group": payout_ref,
        "metadata": {
            "payout_engine": installation_id(db),
            "payout_ref": payout_ref,
            "settlement_id": "set_1",
            "payee_id": "seller_1",
        },
    }
    assert claim.request == request


def test_a_transfer_from_a_charge_leaves_the_group_to_stripe(
    engine: Engine, db: Connection
) -> None:
    complete(engine.app, "set_1", [line("1", "seller_1", 1500, source_transaction="ch_1")])
    engine.claim()

    ((payout_ref, _, request),) = requests(db)
    assert request.pop("metadata")["payout_ref"] == payout_ref
    assert request == {
        "amount": 1500,
        "currency": "usd",
        "destination": "acct_seller_1",
        "source_transaction": "ch_1",
    }


def test_metadata_of_the_settlement_is_in_every_request(engine: Engine, db: Connection) -> None:
    metadata = {"order": "A-17", "week": "2026-47"}
    lines = [line("1", "seller_1", 5), line("2", "seller_2", 7)]
    complete(engine.app, "set_1", lines, metadata=metadata)
    engine.claim()

    found = [request["metadata"] for _, _, request in requests(db)]
    assert [sorted(each) for each in found] == [
        ["order", "payee_id", "payout_engine", "payout_ref", "settlement_id", "week"]
    ] * 2
    assert all(metadata.items() <= each.items() for each in found)


@mutant(
    "something volatile in the request",
    "transfer_request",
    "'payout_ref', p_transfer.payout_ref,",
    "'payout_ref', p_transfer.payout_ref, 'at', clock_timestamp()::text,",
)
def test_nothing_volatile_is_in_it(engine: Engine, db: Connection) -> None:
    with db.transaction(force_rollback=True):
        complete(db, "set_1", [line("1", "seller_1", 5)])
        engine.claim()
        first = requests(db)

    # The serials have gone on and the clock has moved.
    complete(db, "set_1", [line("1", "seller_1", 5)])
    engine.claim()
    assert requests(db) == first


def test_its_digest_is_made_by_the_database(engine: Engine, db: Connection) -> None:
    metadata = {"back\\slash": 'a "quote" é'}
    complete(engine.app, "set_1", [line("1", "seller_1", 5)], metadata=metadata)
    engine.claim()

    ((text, digest),) = db.execute(
        "select r.request::text, r.request_sha256 from payout.transfer_requests as r"
    ).fetchall()
    assert digest == hashlib.sha256(text.encode()).digest()
    assert refused(
        db.execute,
        "insert into payout.transfer_requests (request, request_sha256) values ('{}', sha256(''))",
    ) == ("428C9", 'cannot insert a non-DEFAULT value into column "request_sha256"', None)


def test_the_account_is_the_one_at_the_first_claim_under_the_key(
    engine: Engine, db: Connection
) -> None:
    complete(engine.app, "set_1", [line("1", "seller_1", 5)])
    move(engine, "acct_second")
    first = engine.claim_one()
    assert first.request["destination"] == "acct_second"

    move(engine, "acct_third")
    engine.let_pass("31 seconds")
    engine.sweep()
    again = engine.claim_one()
    assert (again.generation, again.request) == (1, first.request)

    engine.let_pass("16 minutes")
    engine.sweep()
    engine.report(unfunded(engine.claim_one()))
    engine.make_due()
    engine.sweep()
    other = engine.claim_one()
    assert (other.generation, other.request["destination"]) == (2, "acct_third")
    assert [generation for _, generation, _ in requests(db)] == [1, 2]
    assert engine.report_one(success(other)) == ("ok", "paid")


def test_a_frozen_request_cannot_be_changed_by_anybody(engine: Engine, db: Connection) -> None:
    complete(engine.app, "set_1", [line("1", "seller_1", 5)])
    engine.claim()
    change = "update payout.transfer_requests set destination = 'acct_2'"

    assert refused(db.execute, change) == Refusal(
        "SP101", "update on payout.transfer_requests is refused"
    )
