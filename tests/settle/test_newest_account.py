"""The account of a payee is the newest one under any plan, not by the order of an index.

Every look for an account runs here without the index that happens to have the newest one first.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.acting import Session
from tests.mutants import mutant
from tests.settle.marketplace import Line, complete, line, register, settle

NEWEST_FIRST = "{0}order by {1}.payee_account_id desc\n{0}limit 1"


def without_order(indent: int, alias: str) -> tuple[str, str]:
    text = NEWEST_FIRST.format(" " * indent, alias)
    return text, " " * indent + "limit 1"


@pytest.fixture
def app(act: Callable[[str], Session], db: Session) -> Session:
    """An application whose payee moved twice, in a database without the index of accounts."""
    app = act("payout_app")
    register(app, "seller_1", "seller_2")
    for account in ("acct_older", "acct_newest"):
        app.execute("select payout_api.register_payee('seller_1', %s)", [account])
    db.execute("drop index payout.payee_accounts_payee_id_idx")
    return app


@mutant(
    "the account in the order of the table",
    "freeze_requests",
    *without_order(8, "a"),
    at="lines0-complete",
)
@pytest.mark.parametrize("act_", [complete, settle])
@pytest.mark.parametrize(
    "lines",
    [[line("1", "seller_1", 700)], [line("1", "seller_1", 700), line("2", "seller_2", 800)]],
)
def test_the_newest_account_is_paid(
    act_: Callable[..., object], lines: list[Line], app: Session, db: Session
) -> None:
    act_(app, "set_1", lines)
    db.execute("select payout_api.claim_transfers('worker_1')")
    assert db.execute(
        "select r.destination from payout.transfer_requests as r "
        "join payout.payout_transfers as t using (payout_transfer_id) where t.payee_id = 'seller_1'"
    ).fetchall() == [("acct_newest",)]


@mutant(
    "an account that is compared with any other",
    "register_payee",
    *without_order(4, "a"),
)
def test_an_account_is_compared_with_the_newest(app: Session, db: Session) -> None:
    for account in ("acct_seller_1", "acct_seller_1"):
        app.execute("select payout_api.register_payee('seller_1', %s)", [account])

    assert db.execute(
        "select stripe_account_id from payout.payee_accounts where payee_id = 'seller_1' "
        "order by payee_account_id"
    ).fetchall() == [
        ("acct_seller_1",), ("acct_older",), ("acct_newest",), ("acct_seller_1",),
    ]  # fmt: skip
