"""register_payee makes a payee known and keeps every account it ever had."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.acting import Session
from tests.conftest import login_name
from tests.schema.refusals import Refusal, check_refusal, domain_refusal
from tests.settle.marketplace import complete, line, refused, transfers


@pytest.fixture
def app(act: Callable[[str], Session]) -> Session:
    return act("payout_app")


def register(app: Session, payee_id: str | None, stripe_account_id: str | None = None) -> None:
    app.execute(
        "select payout_api.register_payee(p_payee_id => %s, p_stripe_account_id => %s)",
        [payee_id, stripe_account_id],
    )


def history(db: Session, payee_id: str = "seller_1") -> list[str]:
    rows = db.execute(
        "select stripe_account_id from payout.payee_accounts where payee_id = %s "
        "order by payee_account_id",
        [payee_id],
    )
    return [row[0] for row in rows]


def payees(db: Session) -> list[str]:
    return [row[0] for row in db.execute("select payee_id from payout.payees order by 1")]


def test_a_payee_is_registered_with_its_account(app: Session, db: Session) -> None:
    register(app, "seller_1", "acct_1")

    assert payees(db) == ["seller_1"]
    assert history(db) == ["acct_1"]


def test_a_payee_may_be_registered_before_it_has_an_account(app: Session, db: Session) -> None:
    app.execute("select payout_api.register_payee(p_payee_id => 'seller_1')")
    assert (payees(db), history(db)) == (["seller_1"], [])

    register(app, "seller_1", "acct_1")
    assert (payees(db), history(db)) == (["seller_1"], ["acct_1"])


def test_repeated_it_writes_nothing(app: Session, db: Session) -> None:
    for _ in range(3):
        register(app, "seller_1", "acct_1")
        register(app, "seller_1")

    assert payees(db) == ["seller_1"]
    assert history(db) == ["acct_1"]


def test_another_account_is_added_to_the_history(app: Session, db: Session) -> None:
    for account in ("acct_1", "acct_2", "acct_2", "acct_1"):
        register(app, "seller_1", account)

    assert history(db) == ["acct_1", "acct_2", "acct_1"]


def test_the_newest_account_is_the_one_that_is_paid(app: Session, db: Session) -> None:
    for account in ("acct_1", "acct_2", "acct_1"):
        register(app, "seller_1", account)
    register(app, "seller_1")

    complete(app, "set_1", [line("1", "seller_1", 5)])

    db.execute("select payout_api.claim_transfers('worker_1')")
    assert db.execute("select destination from payout.transfer_requests").fetchall() == [
        ("acct_1",)
    ]


def test_the_history_says_when_and_under_which_login(app: Session, db: Session) -> None:
    register(app, "seller_1", "acct_1")

    assert db.execute(
        "select recorded_by, recorded_at between now() - interval '1 minute' and now() "
        "from payout.payee_accounts"
    ).fetchall() == [(login_name("payout_app"), True)]


def test_payees_are_kept_apart(app: Session, db: Session) -> None:
    register(app, "seller_1", "acct_1")
    register(app, "seller_2", "acct_2")
    register(app, "Seller_1", "acct_3")

    assert payees(db) == sorted(["seller_1", "seller_2", "Seller_1"])
    assert [history(db, payee_id) for payee_id in ("seller_1", "seller_2", "Seller_1")] == [
        ["acct_1"],
        ["acct_2"],
        ["acct_3"],
    ]


def test_a_payee_with_an_account_can_be_settled_with_at_once(app: Session, db: Session) -> None:
    with app.transaction():
        register(app, "seller_1", "acct_1")
        complete(app, "set_1", [line("1", "seller_1", 5)])

    assert transfers(db) == [("seller_1", None, 5)]


def test_what_cannot_be_a_payee_or_an_account_is_refused(app: Session, db: Session) -> None:
    length = domain_refusal("external_id", "id_is_1_to_200_characters")
    account = check_refusal("payee_accounts", "stripe_account_id_looks_like_one")
    expected = {
        ("", "acct_1"): length,
        ("s" * 201, "acct_1"): length,
        (" seller_1", "acct_1"): domain_refusal("external_id", "id_has_no_blank_at_its_ends"),
        ("seller_1", ""): account,
        ("seller_1", "acct_"): account,
        ("seller_1", "acct_1 "): account,
        ("seller_1", "cus_1"): account,
        ("seller_1", "acct_1\n"): account,
        ("seller_1", "acct_" + "x" * 251): account,
        (None, "acct_1"): Refusal(
            "23502",
            'null value in column "payee_id" of relation "payees" violates not-null constraint',
        ),
    }

    refusals = {case: refused(register, app, *case) for case in expected}

    assert refusals == expected
    assert payees(db) == []


def test_a_refused_account_leaves_the_former_one(app: Session, db: Session) -> None:
    register(app, "seller_1", "acct_1")

    assert refused(register, app, "seller_1", "bank") == check_refusal(
        "payee_accounts", "stripe_account_id_looks_like_one"
    )
    assert history(db) == ["acct_1"]


def test_an_operator_may_call_it_as_well(act: Callable[[str], Session], db: Session) -> None:
    register(act("payout_operator"), "seller_1", "acct_1")

    assert db.execute("select recorded_by from payout.payee_accounts").fetchall() == [
        (login_name("payout_operator"),)
    ]


def test_workers_and_auditors_may_not_call_it(act: Callable[[str], Session], db: Session) -> None:
    for role in ("payout_worker", "payout_auditor"):
        other = act(role)
        assert refused(register, other, "seller_1", "acct_1") == Refusal(
            "42501", "permission denied for function register_payee"
        )
    assert payees(db) == []
