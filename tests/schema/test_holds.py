"""A hold is made, later released, and otherwise never changed."""

from __future__ import annotations

import pytest

from tests.conftest import Connection
from tests.schema import rows
from tests.schema.refusals import Refusal, refusal

RELEASE = (
    "update payout.holds set released_at = now(), released_by = 'ada', release_reason = 'funded'"
)


def refused(connection: Connection) -> Refusal:
    """Return how a change of the hold is refused."""
    ((hold_id,),) = connection.execute("select hold_id from payout.holds").fetchall()
    return Refusal("SP104", f"hold {hold_id} can only be released, once")


@pytest.fixture(params=[False, True], ids=["as_usual", "posing_as_a_replica"])
def superuser(db: Connection, request: pytest.FixtureRequest) -> Connection:
    """A superuser's connection to a database with one open hold."""
    rows.insert(db, "holds", {"scope": "payee", "subject": rows.PAYEE, "reason": "a test"})
    if request.param:
        db.execute("set session_replication_role = replica")
    return db


def test_a_hold_is_released_once(superuser: Connection) -> None:
    assert superuser.execute(RELEASE).rowcount == 1
    assert refusal(superuser, RELEASE) == refused(superuser)
    reopen = "update payout.holds set released_at = null, released_by = null, release_reason = null"
    assert refusal(superuser, reopen) == refused(superuser)


def test_no_other_column_of_a_hold_is_changed(superuser: Connection) -> None:
    for assignment in (
        "scope = 'settlement'",
        "subject = 'seller_2'",
        "scope = 'engine', subject = null",
        "reason = 'another'",
        "placed_by = 'ada'",
        "placed_at = placed_at - interval '1 day'",
    ):
        assert refusal(superuser, f"update payout.holds set {assignment}") == refused(superuser)
        assert refusal(superuser, f"{RELEASE}, {assignment}") == refused(superuser)
