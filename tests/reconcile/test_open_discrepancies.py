"""Open discrepancies are counted by kind, with the next step for the oldest of each."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.conftest import Connection

CALL = "select kind, open_count, advice from payout_api.open_discrepancies()"


def add(db: Connection, kind: str, advice: str, *, days_ago: int, resolved_by: str | None) -> None:
    db.execute(
        "insert into payout.discrepancies (kind, advice, found_at, resolved_at, resolved_by, "
        "resolution) values (%s, %s, now() - make_interval(days => %s), "
        "case when %s::text is not null then now() end, %s, %s)",
        [kind, advice, days_ago, resolved_by, resolved_by, resolved_by],
    )


def test_open_discrepancies_are_counted_by_kind_the_oldest_first(db: Connection) -> None:
    add(db, "newer", "Do this.", days_ago=1, resolved_by=None)
    add(db, "older", "Do that now.", days_ago=0, resolved_by=None)
    add(db, "older", "Do that.", days_ago=2, resolved_by=None)
    add(db, "older", "It was done.", days_ago=3, resolved_by="me")
    assert db.execute(CALL).fetchall() == [("older", 2, "Do that."), ("newer", 1, "Do this.")]


def test_nothing_open_is_no_row(db: Connection) -> None:
    add(db, "older", "It was done.", days_ago=3, resolved_by="me")
    assert db.execute(CALL).fetchall() == []


@pytest.mark.parametrize("role", ["payout_worker", "payout_operator", "payout_auditor"])
def test_worker_operator_and_auditor_may_ask(visit: Callable[..., Connection], role: str) -> None:
    assert visit(role).execute(CALL).fetchall() == []


def test_the_application_may_not(visit: Callable[..., Connection]) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="open_discrepancies"):
        visit("payout_app").execute(CALL)
