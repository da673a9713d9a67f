"""A hold is released once, a discrepancy resolved once; otherwise neither changes."""

from __future__ import annotations

import pytest

from tests.conftest import Connection
from tests.schema import rows
from tests.schema.refusals import Refusal, refusal

RELEASE = (
    "update payout.holds set released_at = now(), released_by = 'ada', release_reason = 'funded'"
)


REFUSED = Refusal("SP104", "a row of payout.holds changes once, when released_at is set")


@pytest.fixture(params=[False, True], ids=["as_usual", "posing_as_a_replica"])
def superuser(db: Connection, request: pytest.FixtureRequest) -> Connection:
    """A superuser's connection to a database with one open hold."""
    rows.insert(db, "holds", {"scope": "payee", "subject": rows.PAYEE, "reason": "a test"})
    if request.param:
        db.execute("set session_replication_role = replica")
    return db


def test_a_hold_is_released_once(superuser: Connection) -> None:
    assert superuser.execute(RELEASE).rowcount == 1
    assert refusal(superuser, RELEASE) == REFUSED
    reopen = "update payout.holds set released_at = null, released_by = null, release_reason = null"
    assert refusal(superuser, reopen) == REFUSED


def test_no_other_column_of_a_hold_is_changed(superuser: Connection) -> None:
    for assignment in (
        "scope = 'settlement'",
        "subject = 'seller_2'",
        "scope = 'engine', subject = null",
        "reason = 'another'",
        "placed_by = 'ada'",
        "placed_at = placed_at - interval '1 day'",
    ):
        assert refusal(superuser, f"update payout.holds set {assignment}") == REFUSED
        assert refusal(superuser, f"{RELEASE}, {assignment}") == REFUSED


def test_a_wait_moves_on_until_it_is_released(superuser: Connection) -> None:
    superuser.execute(
        "insert into payout.holds (scope, subject, reason, awaits, goes_on_at) "
        "values ('currency', 'chf', 'a test', 'funds', now())"
    )
    move = "update payout.holds set goes_on_at = goes_on_at + interval '1 hour', probes = 1 "
    assert superuser.execute(f"{move} where awaits = 'funds'").rowcount == 1
    assert refusal(superuser, "update payout.holds set awaits = 'cap' where probes = 1") == REFUSED
    assert superuser.execute(RELEASE).rowcount == 2
    assert refusal(superuser, f"{move} where awaits = 'funds'") == REFUSED


@pytest.mark.parametrize("role", ["origin", "replica"])
def test_a_discrepancy_is_resolved_once(db: Connection, role: str) -> None:
    db.execute(
        "insert into payout.discrepancies (kind, advice) values ('missing_at_stripe', 'look')"
    )
    db.execute(f"set session_replication_role = {role}")
    resolve = "update payout.discrepancies set resolved_at = now(), resolved_by = 'a', resolution ="
    refused = Refusal(
        "SP104", "a row of payout.discrepancies changes once, when resolved_at is set"
    )
    assert refusal(db, f"{resolve} 'b', kind = 'another'") == refused
    assert refusal(db, "update payout.discrepancies set advice = 'none'") == refused
    assert db.execute(f"{resolve} 'looked'").rowcount == 1
    assert refusal(db, f"{resolve} 'rewritten'") == refused
