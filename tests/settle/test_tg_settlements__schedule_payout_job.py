"""However a settlement comes to be complete, its commit schedules its payouts exactly once.

Each way is written as an application would type it, and runs as the application's role.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import psycopg
import pytest

from tests.conftest import PASSWORD, Connection, Server, connect_to_clone, login_name
from tests.mutants import mutant
from tests.schema.refusals import Refusal, refusal_in
from tests.settle.marketplace import (
    jobs,
    refused,
    register,
    row_counts,
    transfers,
    writes_nothing,
)

SETTLEMENT: Final = (
    "insert into payout.settlements (settlement_id, currency, total_minor, state) "
    "values ('set_1', 'usd', 1500, 'complete')"
)
PENDING: Final = (
    "insert into payout.settlements (settlement_id, currency, total_minor) "
    "values ('set_1', 'usd', 1500)"
)
LINES: Final = (
    "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
    "values ('set_1', '1', 'seller_1', 700), ('set_1', '2', 'seller_1', 800)"
)
COMPLETE: Final = "update payout.settlements set state = 'complete' where settlement_id = 'set_1'"
UPSERT: Final = (
    "insert into payout.settlements (settlement_id, currency, total_minor, state) "
    "values ('set_1', 'usd', 1500, 'complete') "
    "on conflict (settlement_id) do update set state = excluded.state"
)
MERGE: Final = """
    merge into payout.settlements as s
    using (values ('set_1', 'usd', 1500)) as n (settlement_id, currency, total_minor)
    on s.settlement_id = n.settlement_id
    when matched then update set state = 'complete'
    when not matched then insert (settlement_id, currency, total_minor, state)
        values (n.settlement_id, n.currency, n.total_minor, 'complete')
"""
IGNORED_CONFLICT: Final = SETTLEMENT + " on conflict (settlement_id) do nothing"
CTE: Final = f"""
    with lines as ({LINES}), settlement as ({SETTLEMENT} returning settlement_id)
    select settlement_id from settlement
"""
BLOCK_WITH_SUBTRANSACTIONS: Final = f"""
    do $$
    begin
        begin
            {SETTLEMENT};
            {LINES};
            raise exception 'lost' using errcode = 'U0001';
        exception when sqlstate 'U0001' then
            {SETTLEMENT};
        end;
        begin
            {LINES};
        exception when unique_violation then
            raise;
        end;
    end
    $$
"""
NO_LINES: Final = Refusal(
    "SP303", "settlement set_1: lines add up to 0, total_minor is 1500, difference 1500"
)

# The statements of one session; `begin` and `commit` stand where the application would write them.
WAYS: Final = {
    "inserted complete before its lines": ["begin", SETTLEMENT, LINES, "commit"],
    "inserted pending, completed in the same transaction": [
        "begin", PENDING, LINES, COMPLETE, "commit",
    ],
    "completed before its lines": ["begin", PENDING, COMPLETE, LINES, "commit"],
    "each statement its own transaction": [PENDING, LINES, COMPLETE],
    "completed twice in one transaction": ["begin", PENDING, LINES, COMPLETE, COMPLETE, "commit"],
    "completed twice in two transactions": [PENDING, LINES, COMPLETE, COMPLETE],
    "one statement with two CTEs": [CTE],
    "insert on conflict do nothing": ["begin", IGNORED_CONFLICT, LINES, "commit"],
    "insert on conflict do nothing, repeated": [
        "begin", IGNORED_CONFLICT, LINES, "commit", IGNORED_CONFLICT,
    ],
    "insert on conflict do update": [PENDING, LINES, UPSERT],
    "insert on conflict do update, repeated": [PENDING, LINES, UPSERT, UPSERT],
    "merge that inserts": ["begin", MERGE, LINES, "commit"],
    "merge that updates": [PENDING, LINES, MERGE],
    "update of every pending settlement": [
        PENDING, LINES, "update payout.settlements set state = 'complete' where state = 'pending'",
    ],
    "in a savepoint that is released": [
        "begin", "savepoint a", SETTLEMENT, "savepoint b", LINES, "release b", "release a",
        "commit",
    ],
    "written again after rolling back to a savepoint": [
        "begin", "savepoint a", SETTLEMENT, LINES, "rollback to a", SETTLEMENT, LINES, "commit",
    ],
    "scheduled in a savepoint that is rolled back, then committed": [
        "begin", SETTLEMENT, LINES, "savepoint a", "set constraints all immediate", "rollback to a",
        "commit",
    ],
    "in a block whose first try is undone": [BLOCK_WITH_SUBTRANSACTIONS],
    "with every constraint immediate": [
        "begin", "set constraints all immediate", PENDING, LINES, COMPLETE, "commit",
    ],
    "one statement with two CTEs and every constraint immediate": [
        "begin", "set constraints all immediate", CTE, "commit",
    ],
    "scheduled before the commit": [
        "begin", SETTLEMENT, LINES, "set constraints all immediate", COMPLETE, "commit",
    ],
}  # fmt: skip


def run(app: Connection, statements: list[str]) -> None:
    for statement in statements:
        app.execute(statement.encode())


@pytest.fixture
def app(connect: Callable[..., Connection]) -> Connection:
    app = connect("payout_app")
    register(app, "seller_1", "seller_2")
    return app


@pytest.fixture(scope="module")
def marketplace(server: Server, maintenance: Connection) -> Iterator[tuple[Connection, Connection]]:
    """The application and a superuser, in a database in which every way has its settlement."""
    with connect_to_clone(server, maintenance) as db:
        uri = server.uri(db.info.dbname, user=login_name("payout_app"), password=PASSWORD)
        with psycopg.connect(uri, autocommit=True) as app:
            register(app, "seller_1")
            yield app, db


@pytest.mark.parametrize("statements", WAYS.values(), ids=WAYS.keys())
def test_a_settlement_that_commits_as_complete_has_one_job(
    statements: list[str], marketplace: tuple[Connection, Connection]
) -> None:
    app, db = marketplace
    app.rollback()
    before, jobs_before = row_counts(db), jobs(db)
    settlement_id = f"set_way_{before['settlements']}"

    run(app, [statement.replace("set_1", settlement_id) for statement in statements])

    assert jobs(db) == sorted([*jobs_before, settlement_id])
    assert transfers(db, settlement_id) == [("seller_1", None, 1500)]
    assert {table: count - before[table] for table, count in row_counts(db).items()} == {
        "settlements": 1,
        "settlement_lines": 2,
        "payout_jobs": 1,
        "payout_transfers": 1,
        "transfer_states": 1,
        "ledger_entries": 2,
    }


def test_a_multi_row_insert_gives_every_settlement_its_own_job(
    app: Connection, db: Connection
) -> None:
    with app.transaction():
        app.execute(
            "insert into payout.settlements (settlement_id, currency, total_minor, state) "
            "values ('set_1', 'usd', 100, 'complete'), ('set_2', 'eur', 200, 'complete'), "
            "('set_3', 'usd', 300, 'pending')"
        )
        app.execute(
            "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
            "values ('set_3', '1', 'seller_1', 300), ('set_2', '1', 'seller_1', 200), "
            "('set_1', '1', 'seller_2', 100)"
        )

    assert jobs(db) == ["set_1", "set_2"]
    assert transfers(db, "set_1") == [("seller_2", None, 100)]
    assert transfers(db, "set_2") == [("seller_1", None, 200)]


def test_settlements_copied_in_have_their_jobs(app: Connection, db: Connection) -> None:
    with app.transaction():
        with app.cursor().copy(
            "copy payout.settlements (settlement_id, currency, total_minor, state) from stdin"
        ) as settlements:
            for number in range(1, 51):
                settlements.write_row((f"set_{number:02}", "usd", number + 100, "complete"))
        with app.cursor().copy(
            "copy payout.settlement_lines "
            "(settlement_id, line_id, payee_id, amount_minor, source_transaction) from stdin"
        ) as lines:
            for number in range(1, 51):
                lines.write_row((f"set_{number:02}", "1", "seller_1", number, None))
                lines.write_row((f"set_{number:02}", "2", "seller_2", 100, f"ch_{number}"))

    assert jobs(db) == [f"set_{number:02}" for number in range(1, 51)]
    assert transfers(db, "set_07") == [("seller_1", None, 7), ("seller_2", "ch_7", 100)]


@pytest.fixture
def preparing(app: Connection, db: Connection) -> Connection:
    """The application, on a server that prepares transactions."""
    if db.execute("show max_prepared_transactions").fetchone() == ("0",):
        pytest.skip("max_prepared_transactions is 0 on this server")
    return app


def test_a_prepared_transaction_schedules_when_it_is_prepared(
    preparing: Connection, db: Connection
) -> None:
    # A transfer that is due at once queues a wake-up job; Postgres prepares no transaction that
    # notifies.
    later = "update payout.settlements set pay_after = '2099-01-01Z'"

    run(preparing, ["begin", PENDING, LINES, later, COMPLETE, "prepare transaction 'settling'"])
    assert jobs(db) == []
    preparing.execute("commit prepared 'settling'")

    assert jobs(db) == ["set_1"]
    assert transfers(db) == [("seller_1", None, 1500)]


def test_a_prepared_transaction_that_is_rolled_back_leaves_nothing(
    preparing: Connection, db: Connection
) -> None:
    later = "update payout.settlements set pay_after = '2099-01-01Z'"

    with writes_nothing(db):
        run(preparing, ["begin", PENDING, LINES, later, COMPLETE, "prepare transaction 'settling'"])
        preparing.execute("rollback prepared 'settling'")


def test_a_settlement_that_does_not_add_up_is_not_prepared(
    preparing: Connection, db: Connection
) -> None:
    with writes_nothing(db):
        run(preparing, ["begin", SETTLEMENT])
        assert refused(preparing.execute, "prepare transaction 'settling'") == NO_LINES


@pytest.mark.parametrize(
    "statements",
    [
        ["begin", SETTLEMENT, LINES, "rollback"],
        ["begin", SETTLEMENT, LINES, "set constraints all immediate", "rollback"],
        ["begin", "savepoint a", SETTLEMENT, LINES, "rollback to a", "commit"],
        [
            "begin", "savepoint a", SETTLEMENT, LINES, "set constraints all immediate",
            "rollback to a", "commit",
        ],
    ],
    ids=[
        "rolled back",
        "rolled back after scheduling",
        "in a savepoint that is rolled back",
        "scheduled in a savepoint that is rolled back",
    ],
)  # fmt: skip
def test_a_settlement_that_is_rolled_back_leaves_nothing(
    statements: list[str], app: Connection, db: Connection
) -> None:
    with writes_nothing(db):
        run(app, statements)


def test_a_pending_settlement_schedules_nothing(app: Connection, db: Connection) -> None:
    run(app, ["begin", PENDING, LINES, "commit"])

    assert jobs(db) == []


def test_completion_that_is_rolled_back_leaves_the_settlement_pending(
    app: Connection, db: Connection
) -> None:
    run(app, ["begin", PENDING, LINES, "commit"])

    with writes_nothing(db):
        run(app, ["begin", COMPLETE, "set constraints all immediate", "rollback"])
    assert db.execute("select state from payout.settlements").fetchall() == [("pending",)]

    app.execute(COMPLETE)
    assert jobs(db) == ["set_1"]


def test_a_pending_settlement_deleted_in_its_own_transaction_leaves_nothing(
    app: Connection, db: Connection
) -> None:
    with writes_nothing(db):
        run(db, ["begin", PENDING, "delete from payout.settlements", "commit"])


def test_a_settlement_completed_and_deleted_in_one_transaction_is_refused(
    app: Connection, db: Connection
) -> None:
    with writes_nothing(db):
        run(db, ["begin", SETTLEMENT])
        assert refused(db.execute, "delete from payout.settlements") == Refusal(
            "SP102", "settlement set_1 is complete and cannot be changed"
        )
        db.execute("rollback")


def test_a_block_that_swallows_the_refusal_cannot_commit_the_settlement(
    app: Connection, db: Connection
) -> None:
    with writes_nothing(db):
        run(app, ["begin", SETTLEMENT])
        app.execute(
            "do $$ begin set constraints all immediate; "
            "exception when sqlstate 'SP303' then null; end $$"
        )
        assert refused(app.execute, "commit") == NO_LINES


def test_one_bad_settlement_keeps_the_good_ones_of_its_transaction_out(
    app: Connection, db: Connection
) -> None:
    with writes_nothing(db):
        run(app, ["begin", SETTLEMENT, LINES])
        app.execute(
            "insert into payout.settlements (settlement_id, currency, total_minor, state) "
            "values ('set_2', 'usd', 5, 'complete')"
        )
        assert refused(app.execute, "commit") == Refusal(
            "SP303", "settlement set_2: lines add up to 0, total_minor is 5, difference 5"
        )


def test_a_line_before_its_settlement_is_refused_with_the_next_step(
    app: Connection, db: Connection
) -> None:
    with writes_nothing(db), pytest.raises(psycopg.Error) as caught:
        app.execute(LINES)

    assert refusal_in(caught.value) == Refusal("SP310", "settlement set_1 does not exist")
    assert caught.value.diag.message_hint == (
        "Insert a settlement before its lines, or in the same statement."
    )


@mutant(
    "a restore that schedules",
    sql=("alter table payout.settlements enable always trigger _900_schedule_payout_job"),
)
def test_a_replica_schedules_nothing_by_itself(app: Connection, db: Connection) -> None:
    run(db, ["begin", "set local session_replication_role = replica", SETTLEMENT, LINES, "commit"])

    assert jobs(db) == []
