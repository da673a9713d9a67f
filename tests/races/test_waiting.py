"""Of two sessions at once the second waits for the first, and then finds its rows.

Every interleaving is made by hand: the second statement runs in a thread, and the first goes on
when Postgres says that the second waits for a lock.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from tests.conftest import Connection
from tests.mutants import mutant
from tests.schema.refusals import Refusal, duplicate_refusal, wait_until_blocked
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
    writes_nothing,
)

LINES: Final = [line("1", "seller_1", 700), line("2", "seller_2", 800)]
COMPLETE: Final = "update payout.settlements set state = 'complete' where settlement_id = 'set_1'"
LATE_LINE: Final = Refusal("SP102", "settlement set_1 is complete: its lines cannot be changed")
NO_SETTLEMENT: Final = Refusal("SP310", "settlement set_1 does not exist")
TRY_AGAIN: Final = Refusal("40001", "could not serialize access due to concurrent update")
DEADLOCK: Final = Refusal("40P01", "deadlock detected")

Act = Callable[[Connection], object]


def call(app: Connection) -> object:
    return complete(app, "set_1", LINES)


def insert(app: Connection) -> None:
    settle(app, "set_1", LINES)


def update(app: Connection) -> object:
    return app.execute(COMPLETE).rowcount


@pytest.mark.parametrize("loser", [call, insert])
@pytest.mark.parametrize("winner", [call, insert])
def test_the_next_session_makes_the_job_when_the_first_rolls_back(
    winner: Act,
    loser: Act,
    db: Connection,
    first: Connection,
    second: Connection,
    background: ThreadPoolExecutor,
) -> None:
    first.execute("begin")
    winner(first)
    first.execute("set constraints all immediate")
    waiting = background.submit(loser, second)
    wait_until_blocked(db, second)
    first.execute("rollback")
    waiting.result()

    assert jobs(db) == ["set_1"]
    assert transfers(db) == [("seller_1", None, 700), ("seller_2", None, 800)]


@pytest.mark.parametrize("loser", [call, update])
@pytest.mark.parametrize("winner", [call, update])
def test_the_next_session_makes_the_job_when_the_first_completion_rolls_back(
    winner: Act,
    loser: Act,
    db: Connection,
    first: Connection,
    second: Connection,
    background: ThreadPoolExecutor,
) -> None:
    insert_settlement(first, "set_1", LINES, state="pending")

    first.execute("begin")
    winner(first)
    first.execute("set constraints all immediate")
    waiting = background.submit(loser, second)
    wait_until_blocked(db, second)
    first.execute("rollback")
    waiting.result()

    assert jobs(db) == ["set_1"]
    assert transfers(db) == [("seller_1", None, 700), ("seller_2", None, 800)]


def test_the_next_session_makes_the_job_when_the_first_dies(
    db: Connection, first: Connection, second: Connection, background: ThreadPoolExecutor
) -> None:
    first.execute("begin")
    call(first)
    waiting = background.submit(call, second)
    wait_until_blocked(db, second)
    db.execute("select pg_terminate_backend(%s)", [first.info.backend_pid])
    first.close()
    waiting.result()

    assert jobs(db) == ["set_1"]


def test_a_second_call_gets_the_job_of_the_first(
    db: Connection, first: Connection, second: Connection, background: ThreadPoolExecutor
) -> None:
    first.execute("begin")
    job = call(first)
    waiting = background.submit(call, second)
    wait_until_blocked(db, second)
    first.execute("commit")

    assert waiting.result() == job
    assert jobs(db) == ["set_1"]


def test_a_second_insert_is_refused_as_a_duplicate(
    db: Connection, first: Connection, second: Connection, background: ThreadPoolExecutor
) -> None:
    first.execute("begin")
    call(first)
    waiting = background.submit(refused, insert, second)
    wait_until_blocked(db, second)
    first.execute("commit")

    assert waiting.result() == duplicate_refusal("settlements_pkey")
    assert jobs(db) == ["set_1"]


def test_a_second_update_changes_nothing(
    db: Connection, first: Connection, second: Connection, background: ThreadPoolExecutor
) -> None:
    insert_settlement(first, "set_1", LINES, state="pending")

    first.execute("begin")
    call(first)
    waiting = background.submit(update, second)
    wait_until_blocked(db, second)
    first.execute("commit")

    assert waiting.result() == 1
    assert jobs(db) == ["set_1"]


def test_a_second_call_with_other_content_is_refused(
    db: Connection, first: Connection, second: Connection, background: ThreadPoolExecutor
) -> None:
    first.execute("begin")
    call(first)
    other = [LINES[0], line("2", "seller_2", 801)]
    waiting = background.submit(refused, complete, second, "set_1", other)
    wait_until_blocked(db, second)
    first.execute("commit")

    assert waiting.result() == Refusal(
        "SP307", "settlement set_1 exists with other content: line 2"
    )


def test_a_call_during_an_edit_is_compared_with_the_settlement_as_edited(
    db: Connection, first: Connection, second: Connection, background: ThreadPoolExecutor
) -> None:
    insert_settlement(first, "set_1", LINES, state="pending")

    first.execute("begin")
    # The sum stays the same: only the comparison finds it.
    first.execute("update payout.settlement_lines set payee_id = 'seller_1' where line_id = '2'")
    waiting = background.submit(refused, complete, second, "set_1", LINES)
    wait_until_blocked(db, second)
    first.execute("commit")

    assert waiting.result() == Refusal(
        "SP307", "settlement set_1 exists with other content: line 2"
    )
    assert jobs(db) == []


@mutant(
    "a job that is written without asking whether there is one",
    "create_transfers",
    "    on conflict do nothing\n",
    "",
)
def test_two_schedulers_of_a_settlement_without_its_job_get_the_same_job(
    db: Connection, connect: Callable[..., Connection], background: ThreadPoolExecutor
) -> None:
    register(db, "seller_1", "seller_2")
    with db.transaction():
        db.execute("set local session_replication_role = replica")
        insert_settlement(db, "set_1", LINES)
    first, second = connect("payout_owner"), connect("payout_owner", member=2)
    schedule = "select payout.schedule_payout_job('set_1')"

    first.execute("begin")
    made = first.execute(schedule).fetchall()
    waiting = background.submit(second.execute, schedule)
    wait_until_blocked(db, second)
    first.execute("commit")

    assert waiting.result().fetchall() == made
    assert jobs(db) == ["set_1"]


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@pytest.mark.parametrize("act", [call, update])
def test_a_second_completion_with_an_older_snapshot_has_to_be_repeated(
    act: Act, level: str, db: Connection, first: Connection, second: Connection
) -> None:
    insert_settlement(first, "set_1", LINES, state="pending")
    second.execute(f"begin isolation level {level}")
    second.execute("select from payout.settlements")

    job = call(first)
    assert refused(act, second) == TRY_AGAIN
    second.execute("rollback")

    assert complete(second, "set_1", LINES) == job
    assert jobs(db) == ["set_1"]


# A line is either counted by the completion of its settlement or refused.


@pytest.mark.parametrize(
    "change",
    [
        "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
        "values ('set_1', '3', 'seller_1', 1)",
        "update payout.settlement_lines set amount_minor = 701 where line_id = '1'",
        "update payout.settlement_lines set payee_id = 'seller_2'",
        "delete from payout.settlement_lines where line_id = '1'",
    ],
    ids=["added", "of another amount", "of another payee", "deleted"],
)
@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_completion_with_an_older_snapshot_does_not_miss_a_line(
    level: str, change: str, db: Connection, first: Connection, second: Connection
) -> None:
    insert_settlement(first, "set_1", LINES, state="pending")
    second.execute(f"begin isolation level {level}")
    second.execute("select from payout.settlements")

    first.execute(change.encode())

    assert refused(update, second) == TRY_AGAIN
    second.execute("rollback")
    assert jobs(db) == []


def test_a_line_of_a_settlement_that_is_not_committed_yet_is_refused(
    db: Connection, first: Connection, second: Connection
) -> None:
    """It does not wait, and does not slip in behind the completion."""
    first.execute("begin")
    insert_settlement(first, "set_1", LINES)
    second.execute("set lock_timeout = '2s'")
    second.execute("begin")
    assert refused(insert_lines, second, "set_1", [line("3", "seller_1", 1)]) == NO_SETTLEMENT
    second.execute("rollback")
    first.execute("commit")

    assert transfers(db) == [("seller_1", None, 700), ("seller_2", None, 800)]
    assert refused(insert_lines, second, "set_1", [line("3", "seller_1", 1)]) == LATE_LINE


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_line_with_a_snapshot_older_than_its_settlement_is_refused(
    level: str, db: Connection, first: Connection, second: Connection
) -> None:
    second.execute(f"begin isolation level {level}")
    second.execute("select from payout.settlements")
    insert_settlement(first, "set_1", LINES, state="pending")

    with writes_nothing(db):
        assert refused(insert_lines, second, "set_1", [line("3", "seller_1", 1)]) == NO_SETTLEMENT


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_line_with_a_snapshot_older_than_the_completion_is_refused(
    level: str, db: Connection, first: Connection, second: Connection
) -> None:
    insert_settlement(first, "set_1", LINES, state="pending")
    second.execute(f"begin isolation level {level}")
    second.execute("select from payout.settlements")
    update(first)

    with writes_nothing(db):
        assert refused(insert_lines, second, "set_1", [line("3", "seller_1", 1)]) == TRY_AGAIN


@mutant(
    "a line that does not hold up the completion",
    "lock_settlements_of_lines",
    "        order by s.settlement_id\n        for no key update);",
    "        order by s.settlement_id);",
    at="complete",
)
@pytest.mark.parametrize("state", ["pending", "complete"])
def test_a_line_and_a_completion_wait_for_each_other(
    state: str,
    db: Connection,
    connect: Callable[..., Connection],
    first: Connection,
    second: Connection,
    background: ThreadPoolExecutor,
) -> None:
    """Also where the settlement is complete and has no job, as after a copy."""
    with db.transaction():
        db.execute("set local session_replication_role = replica")
        insert_settlement(db, "set_1", LINES, state=state)
    completes = second if state == "pending" else connect("payout_owner")
    statement = COMPLETE if state == "pending" else "select payout.schedule_payout_job('set_1')"

    first.execute("begin")
    insert_lines(first, "set_1", [line("3", "seller_1", 1)])
    waiting = background.submit(refused, completes.execute, statement)
    wait_until_blocked(db, completes, by=waiting)
    first.execute("commit")

    # The line is counted: the sum is no longer the total.
    assert waiting.result() == Refusal(
        "SP303", "settlement set_1: lines add up to 1501, total_minor is 1500, difference -1"
    )
    assert jobs(db) == []


def test_a_settlement_that_gets_a_line_meanwhile_is_deleted_with_it(
    db: Connection, first: Connection, second: Connection, background: ThreadPoolExecutor
) -> None:
    insert_settlement(first, "set_1", [], state="pending", total_minor=1)

    first.execute("begin")
    insert_lines(first, "set_1", [line("1", "seller_1", 1)])
    waiting = background.submit(refused, second.execute, "delete from payout.settlements")
    wait_until_blocked(db, second)
    first.execute("commit")

    assert waiting.result() is None
    assert db.execute("select from payout.settlement_lines").rowcount == 0


def test_a_settlement_that_is_deleted_meanwhile_gets_no_line(
    db: Connection, first: Connection, second: Connection, background: ThreadPoolExecutor
) -> None:
    insert_settlement(first, "set_1", [], state="pending", total_minor=1)

    second.execute("begin")
    second.execute("delete from payout.settlements")
    waiting = background.submit(refused, insert_lines, first, "set_1", [line("1", "seller_1", 1)])
    wait_until_blocked(db, first)
    second.execute("commit")

    assert waiting.result() == NO_SETTLEMENT
    assert db.execute("select from payout.settlement_lines").rowcount == 0


def test_a_settlement_that_is_completed_meanwhile_is_not_deleted(
    db: Connection, first: Connection, second: Connection, background: ThreadPoolExecutor
) -> None:
    insert_settlement(first, "set_1", LINES, state="pending")

    first.execute("begin")
    update(first)
    waiting = background.submit(refused, second.execute, "delete from payout.settlements")
    wait_until_blocked(db, second)
    first.execute("commit")

    assert waiting.result() == Refusal(
        "SP102", "settlement set_1 is complete and cannot be changed"
    )
    assert transfers(db) == [("seller_1", None, 700), ("seller_2", None, 800)]


def test_a_settlement_that_is_deleted_meanwhile_is_recorded_by_a_call(
    db: Connection, first: Connection, second: Connection, background: ThreadPoolExecutor
) -> None:
    insert_settlement(first, "set_1", [], state="pending", total_minor=1)

    first.execute("begin")
    first.execute("delete from payout.settlements")
    waiting = background.submit(call, second)
    wait_until_blocked(db, second)
    first.execute("commit")
    waiting.result()

    assert transfers(db) == [("seller_1", None, 700), ("seller_2", None, 800)]


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_a_settlement_that_is_deleted_while_a_call_compares_it_is_told_again(
    level: str,
    db: Connection,
    first: Connection,
    second: Connection,
    background: ThreadPoolExecutor,
) -> None:
    """The call has seen that it exists, and waits until another session has deleted it."""
    insert_settlement(first, "set_1", [], state="pending", total_minor=1)
    db.execute(
        "create function public.pause() returns trigger language plpgsql as $$ begin "
        "perform pg_advisory_xact_lock(1); return null; end $$; "
        "create trigger pause after insert on payout.settlements "
        "for each statement execute function public.pause(); select pg_advisory_lock(1)"
    )
    second.execute(f"set default_transaction_isolation = '{level}'")
    waiting = background.submit(refused, call, second)
    wait_until_blocked(db, second)
    first.execute("delete from payout.settlements")
    db.execute("select pg_advisory_unlock(1)")

    assert waiting.result() == (
        Refusal("SP402", "settlement set_1 was deleted meanwhile")
        if level == "read committed"
        else TRY_AGAIN
    )
    assert jobs(db) == []


def test_two_sessions_that_add_a_line_and_complete_wait_and_do_not_deadlock(
    db: Connection, first: Connection, second: Connection, background: ThreadPoolExecutor
) -> None:
    insert_settlement(first, "set_1", LINES[:1], state="pending", total_minor=1500)

    first.execute("begin")
    insert_lines(first, "set_1", LINES[1:])
    waiting = background.submit(refused, insert_lines, second, "set_1", [line("3", "seller_1", 1)])
    wait_until_blocked(db, second)
    update(first)
    first.execute("commit")

    assert waiting.result() == LATE_LINE
    assert transfers(db) == [("seller_1", None, 700), ("seller_2", None, 800)]


# Unrelated settlements do not wait; related ones wait without a deadlock.


def opposite_orders(payees: list[str]) -> list[list[dict[str, Any]]]:
    orders = [payees, payees[::-1]]
    return [[line(str(number), payee, 5) for number, payee in enumerate(order)] for order in orders]


def test_settlements_of_the_same_payees_in_opposite_order_do_not_wait(
    db: Connection, first: Connection, second: Connection
) -> None:
    forth, back = opposite_orders(["seller_1", "seller_2"])

    first.execute("begin")
    complete(first, "set_1", forth[:1])
    second.execute("begin")
    complete(second, "set_2", back[:1])
    # With a lock on the payees or their accounts these two would wait for each other.
    complete(first, "set_3", forth[1:])
    complete(second, "set_4", back[1:])
    first.execute("commit")
    second.execute("commit")

    assert jobs(db) == ["set_1", "set_2", "set_3", "set_4"]


def test_transactions_of_the_same_settlements_in_the_same_order_wait(
    db: Connection, first: Connection, second: Connection, background: ThreadPoolExecutor
) -> None:
    def complete_both(app: Connection) -> list[int]:
        with app.transaction():
            return [complete(app, "set_1", LINES), complete(app, "set_2", LINES)]

    first.execute("begin")
    made = [complete(first, "set_1", LINES)]
    waiting = background.submit(complete_both, second)
    wait_until_blocked(db, second)
    made.append(complete(first, "set_2", LINES))
    first.execute("commit")

    assert waiting.result() == made
    assert jobs(db) == ["set_1", "set_2"]


def test_one_of_two_transactions_in_opposite_order_has_to_be_repeated(
    db: Connection, first: Connection, second: Connection, background: ThreadPoolExecutor
) -> None:
    second.execute("begin")
    complete(second, "set_2", LINES)
    first.execute("begin")
    complete(first, "set_1", LINES)
    waiting = background.submit(refused, complete, first, "set_2", LINES)
    wait_until_blocked(db, first)
    outcomes = [refused(complete, second, "set_1", LINES)]
    outcomes[:0] = [waiting.result()] if outcomes[0] is None else []
    if outcomes == [DEADLOCK]:
        second.execute("rollback")
        assert waiting.result() is None
        first.execute("commit")
    else:
        assert outcomes == [DEADLOCK, None]
        first.execute("rollback")
        second.execute("commit")
    assert jobs(db) == ["set_1", "set_2"]

    # The refused session tries again.
    for app in (first, second):
        complete(app, "set_1", LINES)
        complete(app, "set_2", LINES)
    assert jobs(db) == ["set_1", "set_2"]


# Accounts of payees.


def accounts(db: Connection) -> list[str]:
    rows = db.execute("select stripe_account_id from payout.payee_accounts order by 1")
    return [row[0] for row in rows]


def register_account(app: Connection, account: str) -> None:
    app.execute("select payout_api.register_payee('newcomer', %s)", [account])


@pytest.mark.parametrize(
    ("second_account", "history"),
    [("acct_1", ["acct_1"]), ("acct_2", ["acct_1", "acct_2"])],
    ids=["the same account", "another account"],
)
@pytest.mark.parametrize("is_known", [False, True], ids=["a new payee", "a known payee"])
def test_two_registrations_at_once_have_an_order(
    second_account: str,
    history: list[str],
    is_known: bool,
    db: Connection,
    first: Connection,
    second: Connection,
    background: ThreadPoolExecutor,
) -> None:
    if is_known:
        first.execute("select payout_api.register_payee('newcomer')")

    first.execute("begin")
    register_account(first, "acct_1")
    waiting = background.submit(register_account, second, second_account)
    wait_until_blocked(db, second)
    first.execute("commit")
    waiting.result()

    assert db.execute(
        "select stripe_account_id from payout.payee_accounts where payee_id = 'newcomer' "
        "order by payee_account_id"
    ).fetchall() == [(account,) for account in history]


def test_a_registration_that_is_rolled_back_leaves_the_payee_to_the_next(
    db: Connection, first: Connection, second: Connection, background: ThreadPoolExecutor
) -> None:
    first.execute("begin")
    register_account(first, "acct_1")
    waiting = background.submit(register_account, second, "acct_2")
    wait_until_blocked(db, second)
    first.execute("rollback")
    waiting.result()

    assert "acct_1" not in accounts(db)
    assert "acct_2" in accounts(db)


def test_an_account_that_is_being_changed_does_not_make_settlements_wait(
    db: Connection, first: Connection, second: Connection
) -> None:
    first.execute("begin")
    first.execute("select payout_api.register_payee('seller_1', 'acct_moved')")
    second.execute("set lock_timeout = '2s'")
    complete(second, "set_1", LINES)
    first.execute("commit")
    complete(second, "set_2", LINES)

    assert db.execute(
        "select settlement_id from payout.payout_transfers where payee_id = 'seller_1' order by 1"
    ).fetchall() == [("set_1",), ("set_2",)]


def test_a_settlement_under_way_does_not_make_a_change_of_account_wait(
    db: Connection, first: Connection, second: Connection
) -> None:
    first.execute("begin")
    complete(first, "set_1", LINES)
    second.execute("set lock_timeout = '2s'")
    second.execute("select payout_api.register_payee('seller_1', 'acct_moved')")
    first.execute("commit")

    assert "acct_moved" in accounts(db)
