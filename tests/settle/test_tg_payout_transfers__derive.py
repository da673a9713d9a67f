"""The request is frozen when its settlement is completed: exactly as Stripe will get it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.acting import Session
from tests.mutants import mutant
from tests.schema.refusals import Refusal
from tests.settle.marketplace import complete, line, refused, register


@pytest.fixture
def app(act: Callable[[str], Session]) -> Session:
    app = act("payout_app")
    register(app, "seller_1", "seller_2")
    return app


def requests(db: Session) -> list[tuple[str, dict[str, Any]]]:
    return db.execute(
        "select t.payout_ref, t.request from payout.payout_transfers as t "
        "order by t.payee_id, t.source_transaction nulls first"
    ).fetchall()


@mutant(
    "no payout_ref in the metadata",
    "tg_payout_transfers__derive",
    "'payout_ref', v_payout_ref,",
    "",
)
def test_a_transfer_from_the_balance_names_its_group(app: Session, db: Session) -> None:
    complete(app, "set_1", [line("1", "seller_1", 1500)])

    ((payout_ref, request),) = requests(db)
    assert request == {
        "amount": 1500,
        "currency": "usd",
        "destination": "acct_seller_1",
        "transfer_group": payout_ref,
        "metadata": {
            "payout_ref": payout_ref,
            "settlement_id": "set_1",
            "payee_id": "seller_1",
        },
    }


def test_a_transfer_from_a_charge_leaves_the_group_to_stripe(app: Session, db: Session) -> None:
    complete(app, "set_1", [line("1", "seller_1", 1500, source_transaction="ch_1")])

    ((payout_ref, request),) = requests(db)
    assert request == {
        "amount": 1500,
        "currency": "usd",
        "destination": "acct_seller_1",
        "source_transaction": "ch_1",
        "metadata": {
            "payout_ref": payout_ref,
            "settlement_id": "set_1",
            "payee_id": "seller_1",
        },
    }


def test_metadata_of_the_settlement_is_in_every_request(app: Session, db: Session) -> None:
    complete(
        app,
        "set_1",
        [line("1", "seller_1", 5), line("2", "seller_2", 7)],
        metadata={"order": "A-17", "week": "2026-47"},
    )

    assert [request["metadata"] for _, request in requests(db)] == [
        {
            "order": "A-17",
            "week": "2026-47",
            "payout_ref": payout_ref,
            "settlement_id": "set_1",
            "payee_id": payee_id,
        }
        for payee_id, (payout_ref, _) in zip(["seller_1", "seller_2"], requests(db), strict=True)
    ]


@mutant(
    "something volatile in the request",
    "tg_payout_transfers__derive",
    "'payout_ref', v_payout_ref,",
    "'payout_ref', v_payout_ref, 'at', clock_timestamp()::text,",
)
def test_nothing_volatile_is_in_it(app: Session, db: Session) -> None:
    with db.transaction(force_rollback=True):
        complete(db, "set_1", [line("1", "seller_1", 5)])
        first = requests(db)

    # The serials have gone on and the clock has moved.
    complete(app, "set_1", [line("1", "seller_1", 5)])

    assert requests(db) == first


def test_its_digest_is_made_by_the_database(app: Session, db: Session) -> None:
    complete(app, "set_1", [line("1", "seller_1", 5)], metadata={"back\\slash": 'a "quote" é'})

    row = db.execute(
        "select t.request::text, t.request_sha256 from payout.payout_transfers as t"
    ).fetchone()
    assert row is not None
    text, digest = row
    assert digest == hashlib.sha256(text.encode()).digest()


def test_the_account_stays_the_one_at_completion(app: Session, db: Session) -> None:
    complete(app, "set_1", [line("1", "seller_1", 5)])
    before = requests(db)

    app.execute("select payout_api.register_payee('seller_1', 'acct_moved')")
    complete(app, "set_2", [line("1", "seller_1", 5)])

    assert requests(db)[:1] == before
    assert db.execute(
        "select settlement_id, destination, request ->> 'destination' "
        "from payout.payout_transfers order by 1"
    ).fetchall() == [
        ("set_1", "acct_seller_1", "acct_seller_1"),
        ("set_2", "acct_moved", "acct_moved"),
    ]


def test_a_pending_settlement_is_paid_to_the_account_at_its_completion(
    app: Session, db: Session
) -> None:
    app.execute(
        "insert into payout.settlements (settlement_id, currency, total_minor) "
        "values ('set_1', 'usd', 5)"
    )
    app.execute(
        "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
        "values ('set_1', '1', 'seller_1', 5)"
    )
    app.execute("select payout_api.register_payee('seller_1', 'acct_moved')")
    app.execute("update payout.settlements set state = 'complete'")

    assert [request["destination"] for _, request in requests(db)] == ["acct_moved"]


def test_a_frozen_request_cannot_be_changed_by_anybody(app: Session, db: Session) -> None:
    complete(app, "set_1", [line("1", "seller_1", 5)])

    assert refused(db.execute, "update payout.payout_transfers set amount_minor = 6") == Refusal(
        "SP101", "update on payout.payout_transfers is refused"
    )
