"""Lines and payees that commit between two statements of one transaction are not lost.

Under read committed each statement has a snapshot of its own. The pauses are made by locks
that another session holds for a moment, as maintenance does.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

import pytest

from tests.conftest import Connection
from tests.operate.checks import complaints
from tests.schema.refusals import Refusal, wait_until_blocked
from tests.settle.marketplace import (
    complete,
    insert_lines,
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
LATE_LINE: Final = Refusal("SP102", "settlement set_1 is complete: its lines cannot be changed")


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
    """Nothing that could be locked is read in between: the first look for a reason waits itself."""
    db.execute(
        "create or replace function payout.refuse_bad_header(p_settlement payout.settlements) "
        "returns void language plpgsql volatile set search_path = pg_catalog, pg_temp as "
        "$$ begin perform pg_advisory_xact_lock(1); end $$"
    )
    db.execute("select pg_advisory_lock(1)")
    waiting = background.submit(refused, complete, first, "set_1", [line("1", "seller_3", 100)])
    wait_until_blocked(db, first, by=waiting)
    register(second, "seller_3")
    db.execute("select pg_advisory_unlock(1)")
    assert waiting.result() == CHANGED

    complete(first, "set_1", [line("1", "seller_3", 100)])
    assert transfers(db) == [("seller_3", None, 100)]


@pytest.fixture
def line_between_two_looks(
    db: Connection, first: Connection, second: Connection, background: ThreadPoolExecutor
) -> None:
    """Have `second` insert a line of set_1, which its guard does not see at first, and then does.

    The lock holds the guard up after its first statement, before the snapshot of its second.
    """
    db.execute("begin")
    db.execute("lock table payout.lines_ahead in access exclusive mode")
    second.execute("begin")
    waiting = background.submit(insert_lines, second, "set_1", [line("9", "seller_2", 50)])
    wait_until_blocked(db, second, by=waiting)
    insert_settlement(first, "set_1", [line("1", "seller_1", 100)], state="pending")
    db.execute("commit")
    waiting.result()


@pytest.mark.usefixtures("line_between_two_looks")
def test_a_line_does_not_slip_in_when_its_settlement_comes_between_two_looks(
    db: Connection, first: Connection, second: Connection
) -> None:
    first.execute(COMPLETE)
    assert refused(second.execute, "commit") == LATE_LINE

    assert transfers(db) == [("seller_1", None, 100)]
    assert complaints(db) == {}


@pytest.mark.usefixtures("line_between_two_looks")
@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_completion_with_an_older_snapshot_does_not_miss_the_line_between_two_looks(
    level: str, db: Connection, first: Connection, second: Connection
) -> None:
    first.execute(f"begin isolation level {level}")
    first.execute("select from payout.settlements")
    second.execute("commit")
    assert refused(first.execute, COMPLETE) == TRY_AGAIN
    assert jobs(db) == []


def test_lines_ahead_find_their_settlement_at_the_first_look_or_not_at_all(
    db: Connection, first: Connection, second: Connection, background: ThreadPoolExecutor
) -> None:
    """A second look could find it pending, and another session complete it before the commit.

    A trigger holds up the second look; the application's own, at the end, the rest of the commit.
    """
    db.execute(
        "create function public.pause() returns trigger language plpgsql as $$ begin "
        "if current_setting('application_name') = 'slow' then "
        "perform pg_advisory_xact_lock(tg_argv[0]::bigint); end if; return null; end $$; "
        "create trigger pause before update on payout.settlements "
        "for each statement execute function public.pause(1); "
        "create schema shop create table orders (id integer); "
        "grant usage on schema shop to payout_app; grant insert on shop.orders to payout_app; "
        "create constraint trigger pause after insert on shop.orders deferrable initially deferred "
        "for each row execute function public.pause(2); "
        "select pg_advisory_lock(1), pg_advisory_lock(2)"
    )
    second.execute("set application_name = 'slow'")
    second.execute("begin")
    insert_lines(second, "set_1", [line("9", "seller_2", 50)])
    second.execute("insert into shop.orders values (1)")
    waiting = background.submit(refused, second.execute, "commit")
    with suppress(AssertionError):  # it does not wait if it was refused at the first look
        wait_until_blocked(db, second, by=waiting)
    insert_settlement(first, "set_1", [line("1", "seller_1", 100)], state="pending")
    db.execute("select pg_advisory_unlock(1)")
    with suppress(AssertionError):
        wait_until_blocked(db, second, by=waiting)
    first.execute(COMPLETE)
    db.execute("select pg_advisory_unlock(2)")
    assert waiting.result() == Refusal("SP310", "settlement set_1 does not exist")

    assert transfers(db) == [("seller_1", None, 100)]
    db.execute("drop trigger pause on payout.settlements")
    assert complaints(db) == {}


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
    first.execute(COMPLETE)
    assert refused(first.execute, "commit") == TRY_AGAIN
    assert transfers(db) == [("seller_1", None, sum(amounts))]
