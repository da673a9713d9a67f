"""Stripe's transfer object is read field by field; a field of the wrong type is null."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Connection
from tests.engine import Engine
from tests.reconcile.listing import listed, ours

READ = "select to_jsonb(payout.read_stripe_transfer(%s))"
# The name of each field at Stripe, and in the type.
FIELDS = {
    "object": "object",
    "id": "stripe_transfer_id",
    "amount": "amount_minor",
    "amount_reversed": "amount_reversed_minor",
    "currency": "currency",
    "destination": "destination",
    "livemode": "is_livemode",
    "source_transaction": "source_transaction",
    "transfer_group": "transfer_group",
    "created": "created_at",
}
METADATA = ("payout_ref", "settlement_id", "payee_id", "payout_engine")
DECIDES = {"object", "id", "amount", "currency", "destination", "source_transaction"} | {
    "transfer_group",
    *METADATA[:3],
}


def read(db: Connection, transfer: object) -> dict[str, Any]:
    ((found,),) = db.execute(READ, [Jsonb(transfer)]).fetchall()
    return dict(found)


def whole(db: Connection) -> dict[str, Any]:
    """Return a transfer in which every field is filled."""
    return ours(db, source_transaction="ch_1", transfer_group="group_pi_1")


def test_every_field_is_read(engine: Engine) -> None:
    transfer = whole(engine.db)
    found = read(engine.db, transfer)
    assert found.pop("created_at").startswith("2030-03-17T")
    assert {field: found[field] for field in FIELDS.values() if field != "created_at"} == {
        field: transfer[name] for name, field in FIELDS.items() if name != "created"
    }
    assert {name: found[name] for name in METADATA} == transfer["metadata"]
    assert found["belongs_to"] == transfer["metadata"]["payout_ref"]
    assert found["is_readable"] is True


@pytest.mark.parametrize(
    "wrong",
    [7.5, -7, 10**40, "", "\x01", "x" * 3000, True, [], ["tr_1"], {}, {"id": "tr_1"}],
    ids=lambda value: repr(value)[:20],
)
def test_a_field_of_the_wrong_type_is_null_and_no_error(engine: Engine, wrong: object) -> None:
    is_text, is_flag = isinstance(wrong, str), isinstance(wrong, bool)
    free = {"object", "destination", "source_transaction", "transfer_group", *METADATA}
    for name in (*FIELDS, *METADATA):
        transfer = whole(engine.db)
        (transfer["metadata"] if name in METADATA else transfer)[name] = wrong
        found = read(engine.db, transfer)
        kept = (is_text and name in free) or (is_flag and name == "livemode")
        if name == "payout_ref" and len(str(wrong)) > 500:
            kept = False
        assert (found[FIELDS.get(name, name)] is None) is not kept, name
        if not kept:
            assert found["is_readable"] is (name not in DECIDES), name


@pytest.mark.parametrize("nothing", [None, 7, "tr_1", [], [{"id": "tr_1"}], {}], ids=repr)
def test_anything_else_is_a_transfer_without_fields(engine: Engine, nothing: object) -> None:
    found = read(engine.db, nothing)
    assert {value for name, value in found.items() if name != "is_readable"} == {None}
    assert found["is_readable"] is False


def test_a_transfer_of_others_is_readable(engine: Engine) -> None:
    assert read(engine.db, listed())["is_readable"] is True
    bare = {name: value for name, value in listed().items() if name != "metadata"}
    assert read(engine.db, bare)["is_readable"] is True
