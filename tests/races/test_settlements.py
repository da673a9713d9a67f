"""Payees that commit between two statements of one transaction are not lost.

Under read committed each statement has a snapshot of its own. The pauses are made by locks
that another session holds for a moment, as maintenance does.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from tests.conftest import Connection
from tests.mutants import mutant
from tests.schema.refusals import Refusal, wait_until_blocked
from tests.settle.marketplace import (
    Line,
    complete,
    insert_settlement,
    jobs,
    line,
    refused,
    register,
    settle,
    transfers,
)

COMPLETE: Final = "update payout.settlements set state = 'complete' where settlement_id = 'set_1'"
CHANGED: Final = Refusal(
    "SP402", "settlement set_1: payees or currencies changed while it was scheduled"
)
TRY_AGAIN: Final = Refusal("40001", "could not serialize access due to concurrent update")


@pytest.mark.parametrize("act", [complete, settle])
def test_a_payee_registered_while_a_settlement_is_scheduled_is_not_left_out(
    act: Callable[..., object],
    db: Connection,
    first: Connection,
    second: Connection,
    background: ThreadPoolExecutor,
) -> None:
    """The settlement looks for accounts, waits, and finds one more when it looks for a reason."""
    lines = [line(str(number), f"seller_{number}", 100) for number in (1, 2, 3)]
    db.execute("begin")
    db.execute("lock table payout.engine_settings in access exclusive mode")
    waiting = background.submit(refused, act, first, "set_1", lines)
    wait_until_blocked(db, first, by=waiting)
    register(second, "seller_3")
    db.execute("commit")
    assert waiting.result() == CHANGED

    assert jobs(db) == []
    act(first, "set_1", lines)
    assert transfers(db) == [(f"seller_{number}", None, 100) for number in (1, 2, 3)]


def test_the_only_payee_registered_meanwhile_is_not_left_out(
    db: Connection, first: Connection, second: Connection, background: ThreadPoolExecutor
) -> None:
    """Nothing that could be locked is read in between: the look for accounts waits at its end."""
    db.execute(
        "alter function payout.owed_transfers(payout.settlements) rename to owed_at_once; "
        "create function payout.owed_transfers(p_settlement payout.settlements) returns table "
        "(payee_id payout.external_id, source_transaction text, amount_minor bigint, "
        "has_account boolean) "
        "language plpgsql as $$ begin return query "
        "select * from payout.owed_at_once(p_settlement); perform pg_advisory_xact_lock(1); end $$"
    )
    db.execute("select pg_advisory_lock(1)")
    waiting = background.submit(refused, complete, first, "set_1", [line("1", "seller_3", 100)])
    wait_until_blocked(db, first, by=waiting)
    register(second, "seller_3")
    db.execute("select pg_advisory_unlock(1)")
    assert waiting.result() == CHANGED

    complete(first, "set_1", [line("1", "seller_3", 100)])
    assert transfers(db) == [("seller_3", None, 100)]


@pytest.mark.parametrize("amounts", [[10], [10, 20]])
@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_job_that_came_after_the_snapshot_is_met_as_a_conflict(
    db: Connection, first: Connection, level: str, amounts: list[int]
) -> None:
    """A settlement that a copy left without its job is scheduled by two at once."""
    register(first, "seller_1")
    lines = [line(str(number), "seller_1", amount) for number, amount in enumerate(amounts)]
    with db.transaction():
        db.execute("set local session_replication_role = replica")
        insert_settlement(db, "set_1", lines)
    first.execute(f"begin isolation level {level}".encode())
    first.execute("select from payout.settlements")
    db.execute("select payout.schedule_payout_job('set_1')")
    assert refused(first.execute, COMPLETE) == TRY_AGAIN
    assert transfers(db) == [("seller_1", None, sum(amounts))]


def see_a_settlement_that_is_deleted(
    first: Connection, second: Connection, level: str, lines: list[Line]
) -> None:
    """Let `first` keep a snapshot with a pending settlement, which `second` then deletes."""
    register(first, "seller_1")
    with second.transaction():
        insert_settlement(second, "set_1", lines, state="pending")
    first.execute(f"begin isolation level {level}".encode())
    first.execute("select from payout.settlements")
    second.execute("delete from payout.settlements where settlement_id = 'set_1'")


@mutant(
    "lines of a deleted settlement, shown by an older snapshot",
    "schedule_payout_job",
    "    if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then",
    "    if false then",
)
@pytest.mark.parametrize("amounts", [[10], [10, 20]])
@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_lines_of_a_settlement_deleted_after_the_snapshot_are_not_paid(
    db: Connection, first: Connection, second: Connection, level: str, amounts: list[int]
) -> None:
    """The new settlement has no lines; those that the snapshot still shows add up to its total."""
    lines = [line(str(number), "seller_1", amount) for number, amount in enumerate(amounts)]
    see_a_settlement_that_is_deleted(first, second, level, lines)
    insert_settlement(first, "set_1", [], total_minor=sum(amounts))
    assert refused(first.execute, "commit") == TRY_AGAIN
    assert jobs(db) == []


@pytest.mark.parametrize("amounts", [[10], [10, 20]])
@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_settlement_deleted_after_the_snapshot_is_completed_by_the_next_try(
    db: Connection, first: Connection, second: Connection, level: str, amounts: list[int]
) -> None:
    lines = [line(str(number), "seller_1", amount) for number, amount in enumerate(amounts)]
    see_a_settlement_that_is_deleted(first, second, level, lines)
    assert refused(complete, first, "set_1", lines) == TRY_AGAIN
    first.execute("rollback")

    complete(first, "set_1", lines)
    assert transfers(db) == [("seller_1", None, sum(amounts))]
