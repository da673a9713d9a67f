"""The doctor notices that nobody seals, and that what was sealed last was changed."""

from __future__ import annotations

from typing import Final

from tests.audit.sealing import let_a_minute_pass, seal_everything
from tests.engine import Engine, unguarded
from tests.operate.checks import complaints

IN_TIME: Final = "facts are sealed in time"
INTACT: Final = "the newest seals are as they were made"


def age_entries(engine: Engine, interval: str) -> None:
    with unguarded(engine.db, "payout.ledger_entries"):
        engine.db.execute(
            "update payout.ledger_entries set created_at = created_at - %s::interval", [interval]
        )


def age_marks(engine: Engine) -> None:
    engine.db.execute("update payout.seal_marks set marked_at = marked_at - '15 minutes'::interval")


def test_facts_that_nobody_seals_are_named_after_a_quarter_of_an_hour(
    shared_engine: Engine,
) -> None:
    shared_engine.settle()
    age_marks(shared_engine)
    age_entries(shared_engine, "14 minutes")
    assert complaints(shared_engine.db) == {}
    age_entries(shared_engine, "1 minute")
    assert complaints(shared_engine.db) == {IN_TIME: "ledger_entries"}
    seal_everything(shared_engine.db)
    assert complaints(shared_engine.db) == {}


def test_an_idle_engine_has_nothing_to_seal(shared_engine: Engine) -> None:
    shared_engine.settle()
    seal_everything(shared_engine.db)
    for _ in range(30):
        let_a_minute_pass(shared_engine.db)
    assert complaints(shared_engine.db) == {}


def test_a_row_that_was_changed_in_the_last_range_is_noticed(shared_engine: Engine) -> None:
    db = shared_engine.db
    shared_engine.settle()
    seal_everything(db)
    with db.transaction(force_rollback=True):
        with unguarded(db, "payout.payout_transfers"):
            db.execute(
                "update payout.payout_transfers set created_at = created_at - '1 s'::interval"
            )
        assert complaints(db) == {INTACT: "payout_transfers"}
