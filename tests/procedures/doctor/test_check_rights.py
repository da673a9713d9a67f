"""The doctor notices who was given more rights than the migrations gave."""

from __future__ import annotations

import pytest

from tests.procedures.doctor.checks import complaints
from tests.procedures.engine import Engine


@pytest.mark.parametrize(
    ("right", "thing", "role"),
    [
        ("UPDATE", "payout.transfer_states", "payout_worker"),
        ("INSERT", "payout.ledger_entries", "public"),
        ("DELETE", "payout.settlements", "payout_app"),
        ("TRUNCATE", "payout.settlement_lines", "payout_app"),
        ("TRIGGER", "payout.payout_transfers", "payout_operator"),
        ("EXECUTE", "payout_api.claim_transfers(text,integer,bigint,text,boolean)", "payout_app"),
        ("EXECUTE", "payout.place_hold(text,text,text)", "payout_worker"),
        ("CREATE", "schema payout", "payout_auditor"),
        ("CREATE", "schema payout_api", "public"),
    ],
)
def test_a_right_that_was_given_afterwards_is_named(
    engine: Engine, right: str, thing: str, role: str
) -> None:
    kind = "function " if right == "EXECUTE" else ""
    engine.db.execute(f"grant {right} on {kind}{thing} to {role}")
    assert complaints(engine.db) == {
        "nobody was given more rights": f"{right} on {thing} to {role}"
    }


def test_a_right_on_one_column_is_named(engine: Engine) -> None:
    engine.db.execute("grant update (amount_minor) on payout.payout_transfers to payout_app")
    assert complaints(engine.db) == {
        "nobody was given more rights": "UPDATE on payout.payout_transfers.amount_minor "
        "to payout_app"
    }


def test_others_may_be_given_rights_to_read(engine: Engine) -> None:
    engine.db.execute("grant select on all tables in schema payout to payout_app")
    assert complaints(engine.db) == {}
