"""schedule_payout_job makes the one job of a complete settlement, however often it is called."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.acting import Session
from tests.mutants import mutant
from tests.schema.refusals import Refusal
from tests.settle.marketplace import (
    complete,
    insert_settlement,
    jobs,
    line,
    refused,
    register,
    transfers,
    writes_nothing,
)

LINES = [line("1", "seller_1", 700), line("2", "seller_2", 800)]


@pytest.fixture
def app(act: Callable[[str], Session]) -> Session:
    app = act("payout_app")
    register(app, "seller_1", "seller_2")
    return app


def schedule(db: Session, settlement_id: str) -> int:
    row = db.execute("select payout.schedule_payout_job(%s)", [settlement_id]).fetchone()
    assert row is not None
    job: int = row[0]
    return job


@mutant(
    "a commit that does not look for the job",
    "tg_settlements__schedule_payout_job",
    "where j.settlement_id = new.settlement_id",
    "where false",
    at="lines1",
)
@pytest.mark.parametrize("lines", [LINES, LINES[:1]])
def test_it_makes_the_job_before_the_commit_does(
    lines: list[dict[str, object]], app: Session, db: Session
) -> None:
    with db.transaction():
        insert_settlement(db, "set_1", lines)
        job = schedule(db, "set_1")

    assert db.execute("select payout_job_id from payout.payout_jobs").fetchall() == [(job,)]
    assert transfers(db) == [("seller_1", None, 700), ("seller_2", None, 800)][: len(lines)]


def test_called_twice_it_gives_the_same_job_and_writes_nothing(app: Session, db: Session) -> None:
    job = complete(app, "set_1", LINES)

    with writes_nothing(db):
        assert schedule(db, "set_1") == job
        assert schedule(db, "set_1") == job


def test_called_twice_in_the_transaction_that_settles_it_gives_the_same_job(
    app: Session, db: Session
) -> None:
    with db.transaction():
        insert_settlement(db, "set_1", LINES)
        assert schedule(db, "set_1") == schedule(db, "set_1")

    assert jobs(db) == ["set_1"]


def test_every_settlement_has_its_own_job(app: Session, db: Session) -> None:
    assert complete(app, "set_1", LINES) != complete(app, "set_2", LINES)


@pytest.mark.usefixtures("clone")
def test_a_settlement_without_its_job_is_caught_up_with(app: Session, db: Session) -> None:
    """As after a restore under session_replication_role = replica."""
    with db.transaction():
        db.execute("set local session_replication_role = replica")
        insert_settlement(db, "set_1", LINES)
    assert jobs(db) == []

    schedule(db, "set_1")

    assert jobs(db) == ["set_1"]
    assert transfers(db) == [("seller_1", None, 700), ("seller_2", None, 800)]


def test_an_unknown_settlement_is_refused(app: Session, db: Session) -> None:
    with writes_nothing(db):
        assert refused(schedule, db, "set_9") == Refusal("SP310", "settlement set_9 does not exist")


def test_a_pending_settlement_is_refused(app: Session, db: Session) -> None:
    insert_settlement(app, "set_1", LINES, state="pending")

    with writes_nothing(db):
        assert refused(schedule, db, "set_1") == Refusal(
            "SP202", "settlement set_1 is still pending"
        )


@pytest.mark.usefixtures("clone")
def test_a_settlement_that_does_not_add_up_is_refused(app: Session, db: Session) -> None:
    with db.transaction():
        db.execute("set local session_replication_role = replica")
        insert_settlement(db, "set_1", LINES, total_minor=1501)

    with writes_nothing(db):
        assert refused(schedule, db, "set_1") == Refusal(
            "SP303", "settlement set_1: lines add up to 1500, total_minor is 1501, difference 1"
        )


def test_the_application_cannot_call_it(app: Session, db: Session) -> None:
    complete(app, "set_1", LINES)

    assert refused(schedule, app, "set_1") == Refusal(
        "42501", "permission denied for function schedule_payout_job"
    )
