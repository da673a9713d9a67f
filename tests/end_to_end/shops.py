"""A shop with orders, items and sellers, written by plain SQL, by Django and by SQLAlchemy.

Each is written as its users do: models that know nothing of payouts, whole rows saved again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Protocol

import psycopg

from tests.conftest import ROOT

SCRIPT: Final = (ROOT / "sql/ops/attach-orders.sql").read_text(encoding="utf-8")
TABLES: Final = """
create table sellers (
    seller_id bigint generated always as identity primary key,
    name text not null,
    stripe_account_id varchar(255)
);
create table orders (
    order_id bigint generated always as identity primary key,
    buyer_email text not null,
    address text not null default '',
    currency char(3) not null,
    state text not null default 'open',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create table order_items (
    item_id bigint generated always as identity primary key,
    order_id bigint not null references orders on delete cascade,
    seller_id bigint references sellers,
    title text not null,
    price_minor integer not null,
    share_minor integer not null
);
"""
# A seller, or the shop itself, and the share.
Item = tuple[int | None, int]


class Shop(Protocol):
    """The things that a shop does with its tables; each is committed, unless it is in `atomic`."""

    def seller(self, account: str | None) -> int:
        """Add a seller, with a Stripe account or without."""

    def give_account(self, seller_id: int, account: str) -> None:
        """Save a seller with an account."""

    def order(self, *items: Item, currency: str = "USD", state: str = "open") -> int:
        """Add an order with its items, in one transaction."""

    def bare_order(self, state: str) -> int:
        """Add an order, as the framework commits by itself."""

    def add_item(self, order_id: int, item: Item) -> None:
        """Add an item, as the framework commits by itself."""

    def save(self, order_id: int, **changes: Any) -> None:
        """Load an order, change it and save it, with all columns where the framework does so."""

    def update(self, order_ids: Sequence[int], **changes: Any) -> None:
        """Change columns of many orders in one statement."""

    def set_shares(self, order_id: int, *shares: int) -> None:
        """Change the shares of an order's items, in bulk."""

    def save_items(self, order_id: int) -> None:
        """Save each item of an order as it is."""

    def write_items_anew(self, order_id: int) -> None:
        """Delete the items of an order and write them again, with other ids."""

    def remove(self, order_id: int) -> None:
        """Delete an order with its items."""

    def atomic(self, *, is_undone: bool = False) -> AbstractContextManager[None]:
        """Run the block in a transaction, or in a savepoint within one."""

    def close(self) -> None:
        """Give the connection back."""


class PlainShop:
    """A shop that writes SQL."""

    def __init__(self, conninfo: str) -> None:
        self._db = psycopg.connect(conninfo, autocommit=True)
        self._db.execute(TABLES)
        self._db.execute(SCRIPT.encode())

    def seller(self, account: str | None) -> int:
        return self._one("insert into sellers (name, stripe_account_id) values ('Ada', %s) "
                         "returning seller_id", [account])  # fmt: skip

    def give_account(self, seller_id: int, account: str) -> None:
        self._db.execute(
            "update sellers set name = name, stripe_account_id = %s where seller_id = %s",
            [account, seller_id],
        )

    def order(self, *items: Item, currency: str = "USD", state: str = "open") -> int:
        with self._db.transaction():
            order_id = self._one(
                "insert into orders (buyer_email, currency, state) values ('bob@shop.test', %s, "
                "%s) returning order_id",
                [currency, state],
            )
            for item in items:
                self.add_item(order_id, item)
        return order_id

    def bare_order(self, state: str) -> int:
        return self.order(state=state)

    def add_item(self, order_id: int, item: Item) -> None:
        self._db.execute(
            "insert into order_items (order_id, seller_id, title, price_minor, share_minor) "
            "values (%s, %s, 'A thing', 9, %s)",
            [order_id, *item],
        )

    def save(self, order_id: int, **changes: Any) -> None:
        columns = "buyer_email, address, currency, state, created_at, updated_at"
        row = self._db.execute(
            f"select to_jsonb(o) from orders as o where order_id = {order_id}".encode()
        ).fetchone()
        assert row is not None
        self._db.execute(
            f"update orders set ({columns}) = (select {columns} from jsonb_populate_record("
            "null::orders, %s)) where order_id = %s",
            [psycopg.types.json.Jsonb(row[0] | changes), order_id],
        )

    def update(self, order_ids: Sequence[int], **changes: Any) -> None:
        for name, value in changes.items():
            self._db.execute(
                f"update orders set {name} = %s where order_id = any (%s)".encode(),
                [value, list(order_ids)],
            )

    def set_shares(self, order_id: int, *shares: int) -> None:
        self._db.execute(
            "update order_items as i set share_minor = n.share_minor from (select item_id, "
            "row_number() over (order by item_id) as position from order_items "
            "where order_id = %s) as p join unnest(%s::integer[]) with ordinality as n "
            "(share_minor, position) on n.position = p.position where p.item_id = i.item_id",
            [order_id, list(shares)],
        )

    def save_items(self, order_id: int) -> None:
        self._db.execute(
            "update order_items set (seller_id, title, share_minor) = row(seller_id, title, "
            "share_minor) where order_id = %s",
            [order_id],
        )

    def write_items_anew(self, order_id: int) -> None:
        with self._db.transaction():
            found = self._db.execute(
                "delete from order_items where order_id = %s returning seller_id, share_minor",
                [order_id],
            ).fetchall()
            for item in found:
                self.add_item(order_id, item)

    def remove(self, order_id: int) -> None:
        self._db.execute("delete from orders where order_id = %s", [order_id])

    @contextmanager
    def atomic(self, *, is_undone: bool = False) -> Iterator[None]:
        with self._db.transaction(force_rollback=is_undone):
            yield

    def close(self) -> None:
        self._db.close()

    def _one(self, statement: str, values: list[Any]) -> int:
        row = self._db.execute(statement.encode(), values).fetchone()
        assert row is not None
        return int(row[0])


class DjangoShop:
    """A shop whose tables Django makes and writes; without `atomic` it commits each statement."""

    def __init__(self, conninfo: str) -> None:
        from django.db import connection, transaction

        from tests.end_to_end.shop_app import connect

        self._models = models = connect(conninfo)
        self._connection, self._transaction = connection, transaction
        with connection.schema_editor() as editor:
            for model in (models.Seller, models.Order, models.OrderItem):
                editor.create_model(model)
        with connection.cursor() as cursor:
            cursor.execute(SCRIPT)

    def seller(self, account: str | None) -> int:
        # An empty text, as a CharField without a value has it.
        seller = self._models.Seller.objects.create(name="Ada", stripe_account_id=account or "")
        return int(seller.pk)

    def give_account(self, seller_id: int, account: str) -> None:
        seller = self._models.Seller.objects.get(pk=seller_id)
        seller.stripe_account_id = account
        seller.save()

    def order(self, *items: Item, currency: str = "USD", state: str = "open") -> int:
        with self._transaction.atomic():
            order = self._models.Order.objects.create(
                buyer_email="bob@shop.test", currency=currency, state=state
            )
            self._models.OrderItem.objects.bulk_create(self._item(order.pk, item) for item in items)
        return int(order.pk)

    def bare_order(self, state: str) -> int:
        order = self._models.Order(buyer_email="bob@shop.test", currency="USD", state=state)
        order.save()
        return int(order.pk)

    def add_item(self, order_id: int, item: Item) -> None:
        self._item(order_id, item).save()

    def save(self, order_id: int, **changes: Any) -> None:
        order = self._models.Order.objects.get(pk=order_id)
        for name, value in changes.items():
            setattr(order, name, value)
        order.save()

    def update(self, order_ids: Sequence[int], **changes: Any) -> None:
        self._models.Order.objects.filter(pk__in=order_ids).update(**changes)
        # The same once more, by columns that are named.
        for order in self._models.Order.objects.filter(pk__in=order_ids):
            order.save(update_fields=[*changes, "updated_at"])

    def set_shares(self, order_id: int, *shares: int) -> None:
        items = list(self._models.OrderItem.objects.filter(order_id=order_id).order_by("pk"))
        for item, share in zip(items, shares, strict=True):
            item.share_minor = share
        self._models.OrderItem.objects.bulk_update(items, ["share_minor"])

    def save_items(self, order_id: int) -> None:
        for item in self._models.OrderItem.objects.filter(order_id=order_id):
            item.save()

    def write_items_anew(self, order_id: int) -> None:
        with self._transaction.atomic():
            found = self._models.OrderItem.objects.filter(order_id=order_id)
            items = [self._item(order_id, (item.seller_id, item.share_minor)) for item in found]
            found.delete()
            self._models.OrderItem.objects.bulk_create(items)

    def remove(self, order_id: int) -> None:
        self._models.Order.objects.get(pk=order_id).delete()

    @contextmanager
    def atomic(self, *, is_undone: bool = False) -> Iterator[None]:
        with self._transaction.atomic():
            yield
            self._transaction.set_rollback(is_undone)

    def close(self) -> None:
        self._connection.close()

    def _item(self, order_id: int, item: Item) -> Any:
        seller_id, share = item
        return self._models.OrderItem(
            order_id=order_id, seller_id=seller_id, title="A thing", price_minor=9,
            share_minor=share,
        )  # fmt: skip


class AlchemyShop:
    """A shop whose tables SQLAlchemy makes and writes: it updates the columns that changed."""

    def __init__(self, conninfo: str) -> None:
        import sqlalchemy
        from sqlalchemy import orm

        self._sql, self._orm = sqlalchemy, orm
        Integer, Text = sqlalchemy.BigInteger, sqlalchemy.Text
        key = {"primary_key": True}

        class Base(orm.DeclarativeBase):
            pass

        class Seller(Base):
            __tablename__ = "sellers"
            seller_id = orm.mapped_column(Integer, **key)
            name = orm.mapped_column(Text, nullable=False)
            stripe_account_id = orm.mapped_column(Text)

        class Order(Base):
            __tablename__ = "orders"
            order_id = orm.mapped_column(Integer, **key)
            buyer_email = orm.mapped_column(Text, nullable=False)
            address = orm.mapped_column(Text, nullable=False, default="")
            currency = orm.mapped_column(sqlalchemy.CHAR(3), nullable=False)
            state = orm.mapped_column(Text, nullable=False, default="open")
            items = orm.relationship("OrderItem", cascade="all, delete-orphan")

        class OrderItem(Base):
            __tablename__ = "order_items"
            item_id = orm.mapped_column(Integer, **key)
            order_id = orm.mapped_column(
                Integer, sqlalchemy.ForeignKey("orders.order_id"), nullable=False
            )
            seller_id = orm.mapped_column(Integer, sqlalchemy.ForeignKey("sellers.seller_id"))
            title = orm.mapped_column(Text, nullable=False)
            price_minor = orm.mapped_column(sqlalchemy.Integer, nullable=False)
            share_minor = orm.mapped_column(sqlalchemy.Integer, nullable=False)

        self._seller, self._order, self._item_class = Seller, Order, OrderItem
        self._engine = sqlalchemy.create_engine(
            "postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo)
        )
        Base.metadata.create_all(self._engine)
        with psycopg.connect(conninfo) as connection:
            connection.execute(SCRIPT.encode())
        self._session = orm.Session(self._engine)
        self._depth = 0

    def seller(self, account: str | None) -> int:
        return int(self._add(self._seller(name="Ada", stripe_account_id=account)).seller_id)

    def give_account(self, seller_id: int, account: str) -> None:
        with self._turn():
            self._session.get_one(self._seller, seller_id).stripe_account_id = account

    def order(self, *items: Item, currency: str = "USD", state: str = "open") -> int:
        order = self._order(buyer_email="bob@shop.test", currency=currency, state=state)
        order.items = [self._item(item) for item in items]
        return int(self._add(order).order_id)

    def bare_order(self, state: str) -> int:
        return self.order(state=state)

    def add_item(self, order_id: int, item: Item) -> None:
        with self._turn():
            order = self._session.get_one(self._order, order_id)
            order.items.append(self._item(item))

    def save(self, order_id: int, **changes: Any) -> None:
        with self._turn():
            order = self._session.get_one(self._order, order_id)
            for name, value in changes.items():
                setattr(order, name, value)
            # All columns, also those that did not change.
            for name in ("buyer_email", "address", "currency", "state"):
                self._orm.attributes.flag_modified(order, name)

    def update(self, order_ids: Sequence[int], **changes: Any) -> None:
        with self._turn():
            self._session.execute(
                self._sql.update(self._order)
                .where(self._order.order_id.in_(order_ids))
                .values(**changes)
            )

    def set_shares(self, order_id: int, *shares: int) -> None:
        with self._turn():
            order = self._session.get_one(self._order, order_id)
            items = sorted(order.items, key=lambda item: item.item_id)
            self._session.execute(
                self._sql.update(self._item_class),
                [
                    {"item_id": item.item_id, "share_minor": share}
                    for item, share in zip(items, shares, strict=True)
                ],
            )

    def save_items(self, order_id: int) -> None:
        with self._turn():
            for item in self._session.get_one(self._order, order_id).items:
                self._orm.attributes.flag_modified(item, "share_minor")

    def write_items_anew(self, order_id: int) -> None:
        with self._turn():
            order = self._session.get_one(self._order, order_id)
            order.items = [self._item((item.seller_id, item.share_minor)) for item in order.items]

    def remove(self, order_id: int) -> None:
        with self._turn():
            self._session.delete(self._session.get_one(self._order, order_id))

    @contextmanager
    def atomic(self, *, is_undone: bool = False) -> Iterator[None]:
        savepoint = self._session.begin_nested() if self._depth else None
        self._depth += 1
        try:
            yield
            self._session.flush()
            end = savepoint or self._session
            end.rollback() if is_undone else end.commit()
        except BaseException:
            self._session.rollback()
            raise
        finally:
            self._depth -= 1

    def close(self) -> None:
        self._session.close()
        self._engine.dispose()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Commit at the end, unless a transaction of the caller's is under way."""
        if self._depth:
            yield
            self._session.flush()
        else:
            with self.atomic():
                yield

    def _add(self, thing: Any) -> Any:
        with self._turn():
            self._session.add(thing)
        return thing

    def _item(self, item: Item) -> Any:
        seller_id, share = item
        return self._item_class(
            seller_id=seller_id, title="A thing", price_minor=9, share_minor=share
        )


SHOPS: Final = {"plain SQL": PlainShop, "Django": DjangoShop, "SQLAlchemy": AlchemyShop}
