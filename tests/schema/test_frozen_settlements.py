"""A settlement and its lines are edited while it is pending, and never once it is scheduled."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.acting import Session
from tests.conftest import Connection
from tests.schema import rows
from tests.schema.refusals import Refusal, refusal, refusal_in, wait_until_blocked

SETTLEMENT_IS_FROZEN = Refusal("SP102", "settlement set_1 is complete and cannot be changed")
LINES_ARE_FROZEN = Refusal("SP102", "settlement set_1 is complete: its lines cannot be changed")

INSERT_LINE = (
    "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
    "values ('set_1', '2', 'seller_1', 1)"
)
COMPLETE = "update payout.settlements set state = 'complete' where settlement_id = 'set_1'"
SCHEDULE = "insert into payout.payout_jobs (settlement_id) values ('set_1')"

# Statements that change or remove settlement set_1.
CHANGES_BY_THE_APPLICATION = [
    "update payout.settlements set currency = 'eur'",
    "update payout.settlements set total_minor = total_minor + 1",
    "update payout.settlements set state = 'pending'",
    "update payout.settlements set pay_after = '2030-01-01Z'",
    'update payout.settlements set metadata = \'{"order": "2"}\'',
    "update payout.settlements set created_at = created_at - interval '1 day'",
    "insert into payout.settlements (settlement_id, currency, total_minor) "
    "values ('set_1', 'usd', 1) "
    "on conflict (settlement_id) do update set total_minor = excluded.total_minor",
    "merge into payout.settlements as s using (values ('set_1')) as v (id) "
    "on s.settlement_id = v.id "
    "when matched then update set total_minor = 1",
]
REMOVALS = [
    "update payout.settlements set settlement_id = 'set_2'",
    "delete from payout.settlements",
    "merge into payout.settlements as s using (values ('set_1')) as v (id) "
    "on s.settlement_id = v.id "
    "when matched then delete",
]
# The same for its line, and for one that would be added.
LINE_CHANGES_BY_THE_APPLICATION = [
    "update payout.settlement_lines set amount_minor = amount_minor + 1",
    "update payout.settlement_lines set payee_id = 'seller_2'",
    "update payout.settlement_lines set source_transaction = 'ch_1'",
    "delete from payout.settlement_lines",
    "merge into payout.settlement_lines as l using (values ('set_1')) as v (id) "
    "on l.settlement_id = v.id when matched then update set amount_minor = 1",
    "merge into payout.settlement_lines as l using (values ('set_1')) as v (id) "
    "on l.settlement_id = v.id when matched then delete",
    "update payout.settlement_lines set line_id = '3'",
]
LINE_ADDITIONS_BY_THE_APPLICATION = [
    INSERT_LINE,
    "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
    "values ('set_1', '1', 'seller_1', 1) "
    "on conflict (settlement_id, line_id) do update set amount_minor = excluded.amount_minor",
    "merge into payout.settlement_lines as l using (values ('2')) as v (id) on l.line_id = v.id "
    "when not matched then insert (settlement_id, line_id, payee_id, amount_minor) "
    "values ('set_1', v.id, 'seller_1', 1)",
]
EVERYBODY = [
    pytest.param("payout_app", False, id="the_application"),
    pytest.param("payout_owner", False, id="the_owner"),
    pytest.param(None, False, id="a_superuser"),
    pytest.param(None, True, id="a_superuser_posing_as_a_replica"),
]


@pytest.mark.parametrize(("role", "is_replica"), EVERYBODY)
def test_a_complete_settlement_is_not_changed_by(
    db: Connection, act: Callable[[str | None], Session], role: str | None, is_replica: bool
) -> None:
    rows.add_settlement(db)
    attacker = act(role)
    if is_replica:
        attacker.execute("set session_replication_role = replica")

    statements = CHANGES_BY_THE_APPLICATION + REMOVALS
    assert {text: refusal(attacker, text) for text in statements} == dict.fromkeys(
        statements, SETTLEMENT_IS_FROZEN
    )


@pytest.mark.parametrize(("role", "is_replica"), EVERYBODY)
def test_the_lines_of_a_scheduled_settlement_are_not_changed_by(
    db: Connection, act: Callable[[str | None], Session], role: str | None, is_replica: bool
) -> None:
    rows.add_settlement(db)
    rows.add_payee(db, rows.OTHER_PAYEE)
    attacker = act(role)
    statements = list(LINE_CHANGES_BY_THE_APPLICATION)
    if is_replica:
        attacker.execute("set session_replication_role = replica")
    else:
        statements += LINE_ADDITIONS_BY_THE_APPLICATION

    assert {text: refusal(attacker, text) for text in statements} == dict.fromkeys(
        statements, LINES_ARE_FROZEN
    )


def test_a_replica_takes_lines_after_their_job(db: Connection) -> None:
    rows.add_settlement(db)
    db.execute("set session_replication_role = replica")

    # A copy of a whole database may copy its tables in any order.
    assert refusal(db, INSERT_LINE) is None


def test_lines_that_are_copied_in_are_refused_as_well(
    db: Connection, connect: Callable[..., Connection]
) -> None:
    rows.add_settlement(db)
    target = "payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor)"

    with (
        pytest.raises(psycopg.Error) as caught,
        connect("payout_app").cursor().copy(f"copy {target} from stdin") as copy,
    ):
        copy.write_row(["set_1", "2", "seller_1", 1])

    assert refusal_in(caught.value) == LINES_ARE_FROZEN


def test_a_line_is_not_moved_into_a_scheduled_settlement_nor_out_of_it(db: Connection) -> None:
    rows.add_settlement(db)
    rows.add_settlement(db, "set_pending", state="pending")
    db.execute("update payout.settlement_lines set line_id = '2' where settlement_id <> 'set_1'")
    move = "update payout.settlement_lines set settlement_id = %s where settlement_id = %s"

    assert refusal(db, move, ["set_1", "set_pending"]) == LINES_ARE_FROZEN
    assert refusal(db, move, ["set_pending", "set_1"]) == LINES_ARE_FROZEN


def test_one_frozen_line_in_a_statement_refuses_the_whole_statement(
    db: Connection, act: Callable[[str | None], Session]
) -> None:
    rows.add_settlement(db, "set_0", state="pending")
    rows.add_settlement(db)
    rows.add_settlement(db, "set_2", state="pending")

    raise_all = "update payout.settlement_lines set amount_minor = amount_minor + 1"
    assert refusal(act("payout_app"), raise_all) == LINES_ARE_FROZEN


def test_the_application_edits_and_completes_a_pending_settlement(
    db: Connection, act: Callable[[str | None], Session]
) -> None:
    rows.add_settlement(db, state="pending")
    rows.add_payee(db, rows.OTHER_PAYEE)
    app = act("payout_app")

    statements = CHANGES_BY_THE_APPLICATION + LINE_CHANGES_BY_THE_APPLICATION
    statements += LINE_ADDITIONS_BY_THE_APPLICATION
    assert {text: refusal(app, text) for text in statements} == dict.fromkeys(statements)
    with db.transaction():
        assert db.execute(COMPLETE).rowcount == 1
        db.execute(SCHEDULE)
    assert refusal(app, CHANGES_BY_THE_APPLICATION[0]) == SETTLEMENT_IS_FROZEN


def test_a_pending_settlement_is_not_renamed(db: Connection) -> None:
    rows.add_settlement(db, state="pending")

    assert refusal(db, "update payout.settlements set settlement_id = 'set_2'") == Refusal(
        "SP102", "settlement set_1 cannot be renamed"
    )


def test_a_settlement_may_come_complete_before_its_lines(
    db: Connection, act: Callable[[str | None], Session]
) -> None:
    rows.add_payee(db)
    app = act("payout_app")

    with app.transaction(force_rollback=True):
        app.execute(
            "insert into payout.settlements (settlement_id, currency, total_minor, state) "
            "values ('set_1', 'usd', 1, 'complete')"
        )
        assert app.execute(INSERT_LINE).rowcount == 1


def test_completing_a_complete_settlement_again_changes_nothing(
    db: Connection, act: Callable[[str | None], Session]
) -> None:
    rows.add_settlement(db)
    again = "select to_jsonb(s) from payout.settlements as s"
    before = db.execute(again).fetchall()

    assert act("payout_app").execute(COMPLETE).rowcount == 1
    assert db.execute(again).fetchall() == before


def test_a_frozen_settlement_is_frozen_byte_for_byte(db: Connection) -> None:
    rows.add_settlement(db, metadata={"order": 1})

    # Equal as numbers, yet not the text that was settled.
    change = "update payout.settlements set metadata = '{\"order\": 1.00}'"
    assert refusal(db, change) == SETTLEMENT_IS_FROZEN


def test_a_completion_waits_for_a_line_that_was_first(
    db: Connection, connect: Callable[..., Connection]
) -> None:
    rows.add_settlement(db, state="pending")
    app, other = connect("payout_app"), connect("payout_app", member=2)

    app.execute("begin")
    app.execute(INSERT_LINE)
    other.execute("begin")
    with ThreadPoolExecutor(max_workers=1) as pool:
        completion = pool.submit(other.execute, COMPLETE)
        wait_until_blocked(db, other)
        app.execute("commit")
        assert completion.result().rowcount == 1
    # The completion sees the line, and pays it.
    assert other.execute("select count(*) from payout.settlement_lines").fetchone() == (2,)
    other.execute("rollback")


@pytest.mark.parametrize(
    "change",
    [
        INSERT_LINE,
        "update payout.settlement_lines set amount_minor = 1",
        "delete from payout.settlement_lines",
    ],
    ids=["added", "changed", "deleted"],
)
def test_a_line_waits_for_a_completion_that_was_first_when_it_is(
    db: Connection, connect: Callable[..., Connection], change: str
) -> None:
    rows.add_settlement(db, state="pending")
    app, owner = connect("payout_app"), connect("payout_owner")

    owner.execute("begin")
    owner.execute(COMPLETE)
    owner.execute(SCHEDULE)
    with ThreadPoolExecutor(max_workers=1) as pool:
        late = pool.submit(refusal, app, change)
        wait_until_blocked(db, app)
        owner.execute("commit")
        assert late.result() == LINES_ARE_FROZEN


def test_a_line_goes_on_when_the_completion_it_waited_for_is_rolled_back(
    db: Connection, connect: Callable[..., Connection]
) -> None:
    rows.add_settlement(db, state="pending")
    app, owner = connect("payout_app"), connect("payout_owner")

    owner.execute("begin")
    owner.execute(COMPLETE)
    owner.execute(SCHEDULE)
    with ThreadPoolExecutor(max_workers=1) as pool:
        line = pool.submit(app.execute, INSERT_LINE)
        wait_until_blocked(db, app)
        owner.execute("rollback")
        assert line.result().rowcount == 1


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_completion_fails_that_cannot_see_a_line_which_came_meanwhile(
    db: Connection, connect: Callable[..., Connection], level: str
) -> None:
    rows.add_settlement(db, state="pending")
    app, other = connect("payout_app"), connect("payout_app", member=2)

    app.execute(f"begin isolation level {level}")
    assert app.execute("select count(*) from payout.settlement_lines").fetchone() == (1,)
    other.execute(INSERT_LINE)

    assert refusal(app, COMPLETE) == Refusal(
        "40001", "could not serialize access due to concurrent update"
    )
