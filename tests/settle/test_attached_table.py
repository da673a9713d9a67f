"""A marketplace keeps the tables it has, whatever their form: triggers of its own tell the engine.

They are those of sql/ops/attach-orders.sql; `tests/end_to_end/test_shops.py` has the life of an
order.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import pytest
from psycopg import sql

from tests.acting import Session
from tests.conftest import ROOT, login_name
from tests.schema.refusals import Refusal
from tests.settle.marketplace import (
    jobs,
    refused,
    register,
    row_counts,
    transfers,
    writes_nothing,
)

SCRIPT: Final = (ROOT / "sql/ops/attach-orders.sql").read_text(encoding="utf-8").encode()
ORDERS: Final = """
create table orders (
    order_id text, currency text, state text, note text, primary key (order_id, state)
)
"""
PARTITIONED_ORDERS: Final = (
    ORDERS + " partition by list (state);"
    "create table orders_open partition of orders for values in ('open');"
    "create table orders_completed partition of orders for values in ('completed')"
)
ITEMS: Final = (
    "create table order_items (order_id text, item_id text, seller_id text, share_minor int);"
    "create table sellers (seller_id text, stripe_account_id text)"
)

ORDER: Final = "insert into orders values ('order_1', 'usd', '{state}')"
ITEM_ROWS: Final = (
    "insert into order_items values "
    "('order_1', '1', 'seller_1', 700), ('order_1', '2', 'seller_2', 800)"
)
COMPLETE: Final = "update orders set state = 'completed' where order_id = 'order_1'"


@pytest.fixture(params=[ORDERS, PARTITIONED_ORDERS], ids=["plain", "partitioned"])
def app(request: pytest.FixtureRequest, db: Session, act: Callable[[str], Session]) -> Session:
    """The marketplace's login, in whose schema the orders are; it is member of payout_app."""
    login = sql.Identifier(login_name("payout_app"))
    db.execute(sql.SQL("create schema shop authorization {}").format(login))
    app = act("payout_app")
    app.execute("set search_path = shop")
    for statement in (request.param, ITEMS, SCRIPT):
        app.execute(statement)
    register(app, "seller_1", "seller_2")
    return app


@pytest.mark.usefixtures("clone")
def test_an_order_that_is_completed_is_paid(app: Session, db: Session) -> None:
    app.execute(ORDER.format(state="open").encode())
    app.execute(ITEM_ROWS)
    assert jobs(db) == []

    app.execute(COMPLETE)

    assert jobs(db) == ["order_1"]
    assert transfers(db, "order_1") == [("seller_1", None, 700), ("seller_2", None, 800)]


def accounts(db: Session) -> list[tuple[str, str]]:
    return db.execute(
        "select payee_id::text, stripe_account_id from payout.payee_accounts "
        "where payee_id ~ '^s' and payee_id !~ '^seller' order by payee_account_id"
    ).fetchall()


def test_sellers_who_are_there_already_are_registered(app: Session, db: Session) -> None:
    """The shop has them for years; without it all they earn would wait for an account."""
    app.execute("drop table orders, order_items, sellers cascade")
    app.execute(
        "drop function settle_order, report_order, report_again, register_seller, order_lines"
    )
    for statement in (ORDERS, ITEMS):
        app.execute(statement.encode())
    app.execute("insert into sellers values ('s1', 'acct_s1'), ('s2', null), ('s3', '')")

    app.execute(SCRIPT)

    assert accounts(db) == [("s1", "acct_s1")]


def test_a_seller_who_is_saved_again_keeps_the_account_that_an_operator_registered(
    app: Session, db: Session, act: Callable[[str], Session]
) -> None:
    """The attack: the runbook's way out of a wrong account, and then a login of the seller."""
    app.execute("insert into sellers values ('s1', 'acct_wrong')")
    act("payout_operator").execute("select payout_api.register_payee('s1', 'acct_right')")

    app.execute("update sellers set stripe_account_id = 'acct_wrong' where seller_id = 's1'")
    assert accounts(db) == [("s1", "acct_wrong"), ("s1", "acct_right")]

    app.execute("update sellers set stripe_account_id = 'acct_new' where seller_id = 's1'")
    assert accounts(db)[2:] == [("s1", "acct_new")]


@pytest.mark.parametrize("kind", ["bigint", "uuid"])
def test_the_ids_of_the_shop_may_be_of_any_type(app: Session, db: Session, kind: str) -> None:
    ids = {
        name: {"bigint": str(number), "uuid": f"00000000-0000-4000-8000-00000000000{number}"}[kind]
        for number, name in enumerate(("order", "item", "seller"), start=1)
    }
    app.execute("drop table orders, order_items, sellers cascade")
    app.execute("drop function settle_order, report_order, report_again, register_seller")
    app.execute(f"create table orders (order_id {kind}, currency varchar(3), state text)".encode())
    app.execute(
        f"create table order_items (order_id {kind}, item_id {kind}, seller_id {kind}, "
        "share_minor int)".encode()
    )
    app.execute(f"create table sellers (seller_id {kind}, stripe_account_id text)".encode())
    app.execute(SCRIPT)
    app.execute("insert into sellers values (%s, 'acct_1')", [ids["seller"]])

    app.execute(
        "insert into order_items values (%s, %s, %s, 700)",
        [ids["order"], ids["item"], ids["seller"]],
    )
    app.execute("insert into orders values (%s, 'usd', 'completed')", [ids["order"]])

    assert transfers(db, ids["order"]) == [(ids["seller"], None, 700)]


# As Django and Rails make them: each table has a key named id, and items name their order.
KEYED_BY_ID: Final = (
    "create table orders (id bigserial primary key, currency text, state text)",
    "create table sellers (id bigserial primary key, stripe_account_id text)",
    "create table order_items (id bigserial primary key, order_id bigint references orders "
    "on delete cascade, seller_id bigint references sellers, share_minor int)",
)
NAMES: Final = {
    r"\b(o|v_order|orders)\.order_id": r"\1.id",
    r"\bi\.item_id": "i.id",
    r"\bs\.seller_id": "s.id",
    r"register_payee\(new\.seller_id": "register_payee(new.id",
    r"order_lines\(new\.order_id": "order_lines(new.id",
    r"= new\.order_id": "= new.id",
    r"(?s)(on orders\b[^;]*report_order\(')order_id": r"\1id",
}


def test_a_shop_whose_keys_are_all_named_id_writes_its_names_into_the_script(
    app: Session, db: Session
) -> None:
    """One function reports edits of both tables, which name the order in different columns."""
    app.execute("drop table orders, order_items, sellers cascade")
    app.execute("drop function settle_order, report_order, report_again, register_seller")
    script = SCRIPT.decode()
    for name, own in NAMES.items():
        script, count = re.subn(name, own, script)
        assert count, name
    for statement in (*KEYED_BY_ID, script):
        app.execute(statement.encode())
    app.execute("insert into sellers (stripe_account_id) values ('acct_1')")
    app.execute("insert into orders (currency, state) values ('usd', 'open')")
    app.execute("insert into order_items (order_id, seller_id, share_minor) values (1, 1, 700)")

    app.execute("update orders set state = 'completed'")
    assert transfers(db, "1") == [("1", None, 700)]

    app.execute("update order_items set share_minor = 650")
    app.execute("delete from orders")
    assert db.execute(
        "select kind, theirs -> 'owed' from payout.discrepancies order by discrepancy_id"
    ).fetchall() == [
        ("settlement_edited", [{"payee_id": "1", "amount_minor": 650}]),
        ("settlement_edited", []),
    ]


def test_a_share_that_is_null_stops_the_order_unlike_one_of_nothing(
    app: Session, db: Session
) -> None:
    """The attack: the order was settled without it, and the seller never paid."""
    app.execute(ORDER.format(state="open").encode())
    app.execute(ITEM_ROWS)
    app.execute("insert into order_items values ('order_1', '3', 'seller_2', null)")

    refusal = refused(app.execute, COMPLETE)
    assert refusal.sqlstate == "SP309"
    assert refusal.message == "line 3 of p_lines has no whole number amount_minor"
    assert jobs(db) == []

    app.execute("update order_items set share_minor = 0 where item_id = '3'")
    app.execute(COMPLETE)
    assert transfers(db, "order_1") == [("seller_1", None, 700), ("seller_2", None, 800)]

    app.execute("update order_items set share_minor = null where item_id = '2'")
    assert db.execute("select kind from payout.discrepancies").fetchall() == [
        ("settlement_edited",)
    ]


def test_an_order_may_come_completed_before_its_items(app: Session, db: Session) -> None:
    with app.transaction():
        app.execute(ORDER.format(state="completed").encode())
        app.execute(ITEM_ROWS)

    assert transfers(db, "order_1") == [("seller_1", None, 700), ("seller_2", None, 800)]


def test_a_completed_order_that_is_touched_again_is_not_paid_again(
    app: Session, db: Session
) -> None:
    app.execute(ITEM_ROWS)
    app.execute(ORDER.format(state="completed").encode())

    with writes_nothing(db):
        app.execute("update orders set note = 'gift'")
        app.execute(COMPLETE)
    assert app.execute("select note from orders").fetchall() == [("gift",)]


def test_a_completed_order_may_get_other_items(app: Session, db: Session) -> None:
    """They are not paid, and it is reported once for all that a commit changes."""
    app.execute(ITEM_ROWS)
    app.execute(ORDER.format(state="completed").encode())

    with writes_nothing(db), app.transaction():
        app.execute("update order_items set share_minor = share_minor + 1")
        app.execute("insert into order_items values ('order_1', '3', 'seller_3', 5)")
        app.execute("update orders set note = 'corrected'")

    assert app.execute("select note from orders").fetchall() == [("corrected",)]
    assert db.execute("select kind, resolved_at from payout.discrepancies").fetchall() == [
        ("settlement_edited", None)
    ]


AT_ONCE: Final = (
    """
do $$ begin
    set constraints all immediate;
    update order_items set share_minor = 650 where item_id = '1';
    update order_items set share_minor = 42 where item_id = '1';
end $$
""",
)
RECOMPUTED: Final = (
    """
create function recompute() returns trigger language plpgsql as $$ begin
    update order_items set share_minor = 42 where item_id = '1' and share_minor <> 42;
    return null;
end $$
""",
    "create constraint trigger zz_recompute after update on order_items "
    "deferrable initially deferred for each row execute function recompute()",
    "update order_items set share_minor = 650 where item_id = '1'",
)


@pytest.mark.parametrize("edit", [AT_ONCE, RECOMPUTED], ids=["at once", "by a trigger at commit"])
def test_an_edit_that_follows_another_in_one_commit_is_not_missed(
    edit: tuple[str, ...], app: Session, db: Session
) -> None:
    """The first of them was reported, and the amount of the last was not."""
    app.execute(ITEM_ROWS)
    app.execute(ORDER.format(state="completed").encode())

    for statement in edit:
        app.execute(statement.encode())

    assert db.execute(
        "select theirs -> 'owed' -> 0 -> 'amount_minor' from payout.discrepancies "
        "where resolved_at is null"
    ).fetchall() == [(42,)]


def test_an_item_that_goes_to_another_order_is_missed_in_both(app: Session, db: Session) -> None:
    app.execute(ITEM_ROWS)
    app.execute(ORDER.format(state="completed").encode())
    app.execute("insert into orders values ('order_2', 'usd', 'completed')")
    app.execute("insert into order_items values ('order_2', '3', 'seller_1', 5)")
    app.execute("update orders set state = 'open' where order_id = 'order_2'")
    app.execute("update orders set state = 'completed' where order_id = 'order_2'")

    app.execute("update order_items set order_id = 'order_2' where item_id = '2'")

    assert db.execute(
        "select ours ->> 'settlement_id' from payout.discrepancies order by 1"
    ).fetchall() == [("order_1",), ("order_2",)]


def test_an_order_that_is_completed_by_a_cascade_is_paid(app: Session, db: Session) -> None:
    app.execute("create table stages (stage text primary key)")
    app.execute("insert into stages values ('open')")
    app.execute("alter table orders add foreign key (state) references stages on update cascade")
    app.execute(ITEM_ROWS)
    app.execute(ORDER.format(state="open").encode())

    app.execute("update stages set stage = 'completed'")

    assert transfers(db, "order_1") == [("seller_1", None, 700), ("seller_2", None, 800)]


def test_an_order_that_is_rolled_back_leaves_nothing(app: Session, db: Session) -> None:
    with writes_nothing(db), app.transaction(force_rollback=True):
        app.execute(ITEM_ROWS)
        app.execute(ORDER.format(state="completed").encode())
        app.execute("set constraints all immediate")


def test_two_hundred_orders_in_one_statement_are_each_paid(app: Session, db: Session) -> None:
    app.execute(
        "insert into order_items select 'order_' || n, '1', 'seller_1', n "
        "from generate_series(1, 200) as n"
    )
    app.execute(
        "insert into orders select 'order_' || n, 'usd', 'open' from generate_series(1, 200) as n"
    )
    app.execute("update orders set state = 'completed'")

    assert row_counts(db)["payout_jobs"] == 200
    assert transfers(db, "order_200") == [("seller_1", None, 200)]


def test_who_writes_orders_without_being_a_member_of_payout_app_is_denied(
    app: Session, db: Session, act: Callable[[str], Session]
) -> None:
    auditor = act("payout_auditor")
    group = sql.Identifier("payout_auditor")
    app.execute(sql.SQL("grant usage on schema shop to {}").format(group))
    app.execute(sql.SQL("grant all on orders, order_items to {}").format(group))
    auditor.execute("set search_path = shop")

    with writes_nothing(db):
        for statement in (ITEM_ROWS, ORDER.format(state="completed")):
            assert refused(auditor.execute, statement.encode()) == Refusal(
                "42501", "permission denied for function report_edit"
            )
