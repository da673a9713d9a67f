"""A shop's own tables pay its sellers: written by plain SQL, Django and SQLAlchemy alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import psycopg
import pytest
from psycopg import sql

from tests.conftest import PASSWORD, ROOT, Connection, Server, connect_to_clone, login_name
from tests.end_to_end.shops import SHOPS, Shop

PAGE: Final = (ROOT / "docs/attach.md").read_text(encoding="utf-8")


class Books:
    """The engine's rows of the shop's orders, as a superuser sees them."""

    def __init__(self, db: Connection, uri: str) -> None:
        self.db, self.uri = db, uri

    def transfers(self, order_id: int) -> list[tuple[str, int, str, str | None]]:
        """Return payee, amount, currency and reason of each transfer of an order."""
        return self.db.execute(
            "select t.payee_id::text, t.amount_minor, t.currency::text, s.reason "
            "from payout.payout_transfers as t join payout.transfer_states as s "
            "using (payout_transfer_id) where t.settlement_id = %s order by 1",
            [str(order_id)],
        ).fetchall()

    def edits(self, order_id: int) -> list[tuple[Any, Any, bool]]:
        """Return the amounts of both sides of each edit, and whether it is open."""
        amounts = (
            "(select array_agg(o -> 'amount_minor' order by (o ->> 'payee_id')::bigint) "
            "from jsonb_array_elements(d.{} -> 'owed') as o)"
        )
        return self.db.execute(
            f"select {amounts.format('ours')}, {amounts.format('theirs')}, d.resolved_at is null "
            "from payout.discrepancies as d where d.kind = 'settlement_edited' "
            "and d.ours ->> 'settlement_id' = %s order by d.discrepancy_id",
            [str(order_id)],
        ).fetchall()


@pytest.fixture(scope="module", params=SHOPS)
def both(
    request: pytest.FixtureRequest, server: Server, maintenance: Connection
) -> Iterator[tuple[Shop, Books]]:
    """A shop and the engine's books, in one database for all tests of a writer."""
    with connect_to_clone(server, maintenance) as db:
        name, login = db.info.dbname, login_name("payout_app")
        names = {"login": sql.Identifier(login), "name": sql.Identifier(name)}
        for statement in (
            "create schema shop authorization {login}",
            "alter role {login} in database {name} set search_path = shop",
        ):
            db.execute(sql.SQL(statement).format(**names))
        uri = server.uri(name, user=login, password=PASSWORD)
        with closing(SHOPS[request.param](uri)) as shop:
            yield shop, Books(db, uri)


@pytest.fixture
def shop(both: tuple[Shop, Books]) -> Shop:
    return both[0]


@pytest.fixture
def books(both: tuple[Shop, Books]) -> Books:
    return both[1]


@pytest.fixture
def ada(shop: Shop) -> int:
    return shop.seller("acct_ada")


@pytest.fixture
def bob(shop: Shop) -> int:
    return shop.seller("acct_bob")


def part(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```sql\n(.*?);\n```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def test_an_order_is_paid_when_it_is_completed(
    shop: Shop, books: Books, ada: int, bob: int
) -> None:
    """Items of one seller together, free ones and the shop's own not at all."""
    order = shop.order((ada, 700), (bob, 800), (ada, 5), (bob, 0), (None, 900))
    shop.save(order, address="1 Road")
    assert books.transfers(order) == []

    shop.save(order, state="completed")

    assert books.transfers(order) == [(str(ada), 705, "usd", None), (str(bob), 800, "usd", None)]
    assert books.edits(order) == []


def test_an_order_may_be_written_as_completed(shop: Shop, books: Books, ada: int) -> None:
    order = shop.order((ada, 700), currency="EUR", state="completed")

    assert books.transfers(order) == [(str(ada), 700, "eur", None)]


@pytest.mark.parametrize("items", [[], [0], [0, 0]])
def test_an_order_that_owes_nobody_is_completed(
    shop: Shop, books: Books, ada: int, items: list[int]
) -> None:
    order = shop.order(*((ada, share) for share in items))

    shop.save(order, state="completed")
    shop.save(order, address="2 Road")

    assert (books.transfers(order), books.edits(order)) == ([], [])


def test_a_seller_without_an_account_does_not_stop_the_order(
    shop: Shop, books: Books, bob: int
) -> None:
    newcomer = shop.seller(None)
    order = shop.order((newcomer, 700), (bob, 800))
    shop.save(order, state="completed")
    assert (
        books.transfers(order)
        == [
            (str(bob), 800, "usd", None),
            (str(newcomer), 700, "usd", "awaiting_account"),
        ][:: 1 if str(bob) < str(newcomer) else -1]
    )

    shop.give_account(newcomer, "acct_newcomer")

    assert {reason for *_, reason in books.transfers(order)} == {None}


def test_a_completed_order_is_saved_as_often_as_the_shop_likes(
    shop: Shop, books: Books, ada: int
) -> None:
    order = shop.order((ada, 700))
    shop.save(order, state="completed")
    paid = books.transfers(order)

    shop.save(order)
    shop.save(order, address="3 Road")
    shop.update([order], state="completed")
    shop.save_items(order)
    shop.save(order, state="shipped")
    shop.write_items_anew(order)

    assert (books.transfers(order), books.edits(order)) == (paid, [])


def test_a_refund_changes_no_settlement_and_is_reported(
    shop: Shop, books: Books, ada: int, bob: int
) -> None:
    order = shop.order((ada, 700), (bob, 800))
    shop.save(order, state="completed")
    paid = books.transfers(order)

    shop.set_shares(order, 600, 750)
    shop.save(order, address="4 Road")
    shop.save(order, state="refunded")

    assert books.transfers(order) == paid
    assert books.edits(order) == [([700, 800], [600, 750], True)]

    shop.set_shares(order, 700, 750)
    shop.set_shares(order, 700, 800)
    assert [is_open for *_, is_open in books.edits(order)] == [False, False]


def test_a_settled_order_that_is_cancelled_is_reported(
    shop: Shop, books: Books, ada: int, bob: int
) -> None:
    """Its sellers went on being paid, and nothing said so."""
    order = shop.order((ada, 700), (bob, 800))
    shop.save(order, state="completed")
    paid = books.transfers(order)

    shop.save(order, state="cancelled")

    assert books.transfers(order) == paid
    assert books.edits(order) == [([700, 800], None, True)]
    shop.save(order, state="completed")
    assert (books.transfers(order), books.edits(order)) == (paid, [([700, 800], None, False)])


def test_an_order_that_is_completed_again_is_not_paid_again(
    shop: Shop, books: Books, ada: int
) -> None:
    order = shop.order((ada, 700))
    shop.save(order, state="completed")
    shop.save(order, state="open")
    shop.save(order, state="completed")
    assert books.edits(order) == []

    shop.save(order, state="open")
    shop.set_shares(order, 900)
    shop.save(order, state="completed")

    assert books.transfers(order) == [(str(ada), 700, "usd", None)]
    assert books.edits(order) == [([700], [900], True)]


def test_another_currency_an_item_or_an_order_that_is_gone_is_reported(
    shop: Shop, books: Books, ada: int, bob: int
) -> None:
    orders = [shop.order((ada, 700), (bob, 5)) for _ in range(3)]
    shop.update(orders, state="completed")

    shop.save(orders[0], currency="EUR")
    shop.add_item(orders[1], (bob, 20))
    shop.remove(orders[2])

    assert [books.edits(order) for order in orders] == [
        [(None, None, True)],
        [([5], [25], True)],
        [([700, 5], None, True)],
    ]
    assert [len(books.transfers(order)) for order in orders] == [2, 2, 2]


def test_many_orders_are_completed_by_one_statement(shop: Shop, books: Books, ada: int) -> None:
    orders = [shop.order((ada, 100 + number)) for number in range(30)]

    shop.update(orders, state="completed")

    assert [books.transfers(order)[0][1] for order in orders] == list(range(100, 130))


def test_nothing_that_is_undone_is_paid_or_reported(shop: Shop, books: Books, ada: int) -> None:
    order = shop.order((ada, 700))
    with shop.atomic():
        with shop.atomic(is_undone=True):
            shop.save(order, state="completed")
        shop.save(order, address="5 Road")
    assert books.transfers(order) == []

    with shop.atomic():
        with shop.atomic():
            shop.save(order, state="completed")
        shop.set_shares(order, 650)
    assert books.transfers(order) == [(str(ada), 650, "usd", None)]

    with shop.atomic():
        with shop.atomic(is_undone=True):
            shop.set_shares(order, 600)
        shop.save(order, address="6 Road")
    assert books.edits(order) == []


def test_an_order_that_is_open_again_at_the_commit_is_not_paid(
    shop: Shop, books: Books, ada: int
) -> None:
    order = shop.order((ada, 700))
    with shop.atomic():
        shop.save(order, state="completed")
        shop.save(order, state="open")
    assert books.transfers(order) == []


def test_an_order_that_cannot_be_paid_is_not_completed(shop: Shop, books: Books, ada: int) -> None:
    order = shop.order((ada, -700))
    with pytest.raises(Exception, match="amount_minor that is not above 0"):
        shop.save(order, state="completed")
    assert books.transfers(order) == []
    shop.set_shares(order, 700)
    shop.save(order, state="completed")
    assert books.transfers(order) == [(str(ada), 700, "usd", None)]


def test_a_seller_whose_account_no_trigger_saw_is_found_and_registered(
    shop: Shop, books: Books, ada: int
) -> None:
    newcomer, unpaid = shop.seller(None), shop.seller(None)
    shop.save(shop.order((newcomer, 700), (unpaid, 5)), state="completed")
    books.db.execute("set session_replication_role = replica")
    books.db.execute(
        "update shop.sellers set stripe_account_id = 'acct_' || seller_id "
        "where seller_id in (%s, %s)",
        [newcomer, ada],
    )
    books.db.execute("reset session_replication_role")

    with psycopg.connect(books.uri, autocommit=True) as app:
        for found in (1, 0):
            assert app.execute(part("unregistered").encode()).rowcount == found

    registered = books.db.execute(
        "select stripe_account_id from payout.payee_accounts where payee_id = any (%s) order by 1",
        [[str(newcomer), str(unpaid), str(ada)]],
    )
    assert registered.fetchall() == [(f"acct_{newcomer}",), ("acct_ada",)]


def test_an_order_that_was_completed_before_its_items_is_found_and_settled(
    shop: Shop, books: Books, ada: int, bob: int
) -> None:
    order = shop.bare_order("completed")
    for item in ((ada, 700), (bob, 800)):
        shop.add_item(order, item)
    assert (books.transfers(order), books.edits(order)) == ([], [])

    with psycopg.connect(books.uri, autocommit=True) as app:
        found = {number for (number,) in app.execute(part("forgotten").encode())}
        assert order in found
        call = part("settle").replace("(1, 2)", str((order, order)))
        for _ in range(2):
            app.execute(call.encode())
        assert order not in {number for (number,) in app.execute(part("forgotten").encode())}

    assert [amount for _, amount, *_ in books.transfers(order)] == [700, 800]
    shop.save(order, address="7 Road")
    assert books.edits(order) == []
