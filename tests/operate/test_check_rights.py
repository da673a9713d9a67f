"""The doctor notices who was given more rights than the migrations gave."""

from __future__ import annotations

import pytest

from tests.engine import Engine
from tests.operate.checks import complaints


@pytest.mark.parametrize(
    ("right", "thing", "role"),
    [
        ("UPDATE", "payout.transfer_states", "payout_worker"),
        ("INSERT", "payout.ledger_entries", "public"),
        ("DELETE", "payout.payees", "payout_app"),
        ("TRUNCATE", "payout.settlement_lines", "payout_app"),
        ("TRIGGER", "payout.payout_transfers", "payout_operator"),
        (
            "EXECUTE",
            "payout_api.claim_transfers(text,integer,bigint,text,boolean,timestamp with time zone)",
            "payout_app",
        ),
        ("EXECUTE", "payout.place_hold(text,text,text,bigint)", "payout_worker"),
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
        "no role has more rights than deployed": f"{right} on {thing} to {role}"
    }


@pytest.mark.parametrize(
    ("grant", "named"),
    [
        ("payout_owner to payout_app", "MEMBER on role payout_owner to payout_app"),
        ("payout_worker to payout_operator", "MEMBER on role payout_worker to payout_operator"),
        (
            "set on parameter session_replication_role to payout_app",
            "SET on parameter session_replication_role to payout_app",
        ),
        (
            "update on sequence payout.seen_wakeup to payout_app",
            "UPDATE on payout.seen_wakeup to payout_app",
        ),
        (
            "insert on procrastinate.procrastinate_jobs to payout_app",
            "INSERT on procrastinate.procrastinate_jobs to payout_app",
        ),
        (
            "delete on procrastinate.procrastinate_jobs to public",
            "DELETE on procrastinate.procrastinate_jobs to public",
        ),
    ],
)
def test_a_way_around_the_rights_is_named(engine: Engine, grant: str, named: str) -> None:
    engine.db.execute(f"grant {grant}")
    assert complaints(engine.db) == {"no role has more rights than deployed": named}


def test_a_right_on_one_column_is_named(engine: Engine) -> None:
    engine.db.execute("grant update (amount_minor) on payout.payout_transfers to payout_app")
    assert complaints(engine.db) == {
        "no role has more rights than deployed": "UPDATE on payout.payout_transfers.amount_minor "
        "to payout_app"
    }


def test_others_may_be_given_rights_to_read(engine: Engine) -> None:
    engine.db.execute("grant select on all tables in schema payout to payout_app")
    assert complaints(engine.db) == {}
