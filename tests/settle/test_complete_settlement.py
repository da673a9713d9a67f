"""complete_settlement may be repeated; only other content under the same id is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from tests.acting import Session
from tests.mutants import mutant
from tests.schema.refusals import Refusal
from tests.settle.marketplace import (
    Line,
    complete,
    insert_settlement,
    jobs,
    line,
    refused,
    register,
    transfers,
    writes_nothing,
)

LINES: Final = [line("1", "seller_1", 700), line("2", "seller_2", 800, source_transaction="ch_1")]
PAY_AFTER: Final = datetime(2030, 1, 1, 12, tzinfo=UTC)
METADATA: Final = {"order": "A-17", "week": "47"}
HEADER: Final[dict[str, Any]] = {"pay_after": PAY_AFTER, "metadata": METADATA}

# The second call, and the words of its refusal.
DIFFERENCES: Final[dict[str, tuple[dict[str, Any], list[Line], str]]] = {
    "another currency": ({"currency": "eur"}, LINES, "currency"),
    "another amount": ({}, [LINES[0] | {"amount_minor": 701}, LINES[1]], "line 1"),
    "amounts moved between lines": (
        {},
        [LINES[0] | {"amount_minor": 800}, LINES[1] | {"amount_minor": 700}],
        "line 1",
    ),
    "another payee": ({}, [LINES[0], LINES[1] | {"payee_id": "seller_1"}], "line 2"),
    "another source": ({}, [LINES[0], LINES[1] | {"source_transaction": "ch_2"}], "line 2"),
    "no source": ({}, [LINES[0], line("2", "seller_2", 800)], "line 2"),
    "a source where there was none": (
        {},
        [LINES[0] | {"source_transaction": "ch_1"}, LINES[1]],
        "line 1",
    ),
    "a line more": ({}, [*LINES, line("3", "seller_1", 1)], "line 3"),
    "a line less": ({}, LINES[:1], "line 2"),
    "a line under another id": ({}, [LINES[0] | {"line_id": "3"}, LINES[1]], "line 1"),
    "an unknown payee": ({}, [LINES[0] | {"payee_id": "nobody"}, LINES[1]], "line 1"),
    "another pay_after": (
        {"pay_after": PAY_AFTER + timedelta(microseconds=1)},
        LINES,
        "pay_after",
    ),
    "no pay_after": ({"pay_after": None}, LINES, "pay_after"),
    "other metadata": ({"metadata": METADATA | {"week": "48"}}, LINES, "metadata"),
    "no metadata": ({"metadata": {}}, LINES, "metadata"),
    "everything other": (
        {"currency": "eur", "pay_after": None, "metadata": {}},
        [line("1", "seller_2", 1)],
        "currency, pay_after, metadata, line 1",
    ),
}
REFUSALS: Final = {
    name: Refusal("SP307", f"settlement set_1 exists with other content: {difference}")
    for name, (_, _, difference) in DIFFERENCES.items()
}


@pytest.fixture
def app(act: Callable[[str], Session]) -> Session:
    app = act("payout_app")
    register(app, "seller_1", "seller_2")
    return app


def test_it_records_the_settlement_with_its_lines(app: Session, db: Session) -> None:
    complete(app, "set_1", LINES, **HEADER)

    assert db.execute(
        "select settlement_id, currency, total_minor, state, pay_after, metadata "
        "from payout.settlements"
    ).fetchall() == [("set_1", "usd", 1500, "complete", PAY_AFTER, METADATA)]
    assert db.execute(
        "select settlement_id, line_id, payee_id, amount_minor, source_transaction "
        "from payout.settlement_lines order by line_id"
    ).fetchall() == [
        ("set_1", "1", "seller_1", 700, None),
        ("set_1", "2", "seller_2", 800, "ch_1"),
    ]


def test_it_returns_the_job_it_made(app: Session, db: Session) -> None:
    job = complete(app, "set_1", LINES)

    assert db.execute("select payout_job_id, settlement_id from payout.payout_jobs").fetchall() == [
        (job, "set_1")
    ]
    assert transfers(db) == [("seller_1", None, 700), ("seller_2", "ch_1", 800)]


def test_only_the_first_three_arguments_are_needed(app: Session, db: Session) -> None:
    app.execute(
        "select payout_api.complete_settlement(p_settlement_id => 'set_2', p_currency => 'usd', "
        """p_lines => '[{"line_id":"1","payee_id":"seller_1","amount_minor":700}]')"""
    )

    assert db.execute("select pay_after, metadata from payout.settlements").fetchall() == [
        (None, {})
    ]


@mutant(
    "a settlement scheduled again",
    "create_transfers",
    "    if not found then\n",
    "    if false then\n",
)
def test_repeated_it_returns_the_same_job_and_writes_nothing(app: Session, db: Session) -> None:
    job = complete(app, "set_1", LINES, **HEADER)

    with writes_nothing(db):
        for _ in range(3):
            again = complete(app, "set_1", LINES, **HEADER)
            assert again == job


def test_repeated_in_one_transaction_it_returns_the_same_job(app: Session, db: Session) -> None:
    with app.transaction():
        assert complete(app, "set_1", LINES) == complete(app, "set_1", LINES)

    assert jobs(db) == ["set_1"]


def test_the_same_content_in_another_spelling_is_the_same(app: Session, db: Session) -> None:
    job = complete(app, "set_1", LINES, **HEADER)

    with writes_nothing(db):
        assert app.execute(
            """
            select payout_api.complete_settlement(
                'set_1', 'usd',
                '[ { "amount_minor" : 8e2, "source_transaction":"ch_1",
                     "line_id":"2", "payee_id":"seller_2" },
                   {"source_transaction":null,"payee_id":"\\u0073eller_1","amount_minor":700,
                    "line_id":"1"} ]',
                '2030-01-01 17:30:00+05:30',
                '{ "week":"47","order" : "A-17" }')
            """
        ).fetchall() == [(job,)]


def test_a_complete_settlement_is_not_told_again_with_other_content(
    app: Session, db: Session
) -> None:
    complete(app, "set_1", LINES, **HEADER)

    with writes_nothing(db):
        refusals = {
            name: refused(complete, app, "set_1", lines, **(HEADER | header))
            for name, (header, lines, _) in DIFFERENCES.items()
        }

    assert refusals == REFUSALS


def test_a_pending_settlement_is_not_completed_with_other_content(
    app: Session, db: Session
) -> None:
    insert_settlement(app, "set_1", LINES, state="pending", **HEADER)

    with writes_nothing(db):
        refusals = {
            name: refused(complete, app, "set_1", lines, **(HEADER | header))
            for name, (header, lines, _) in DIFFERENCES.items()
        }

    assert refusals == REFUSALS
    assert db.execute("select state from payout.settlements").fetchall() == [("pending",)]


def test_after_plain_inserts_it_returns_their_job(app: Session, db: Session) -> None:
    with app.transaction():
        insert_settlement(app, "set_1", LINES)

    with writes_nothing(db):
        job = complete(app, "set_1", LINES)
    assert db.execute("select payout_job_id from payout.payout_jobs").fetchall() == [(job,)]


def test_it_completes_a_pending_settlement_with_the_same_content(app: Session, db: Session) -> None:
    insert_settlement(app, "set_1", LINES, state="pending")

    job = complete(app, "set_1", LINES)

    assert db.execute("select payout_job_id from payout.payout_jobs").fetchall() == [(job,)]
    assert db.execute("select state from payout.settlements").fetchall() == [("complete",)]
    assert transfers(db) == [("seller_1", None, 700), ("seller_2", "ch_1", 800)]


def test_a_pending_total_that_the_lines_do_not_reach_is_refused(app: Session, db: Session) -> None:
    insert_settlement(app, "set_1", LINES, state="pending", total_minor=1600)

    with writes_nothing(db):
        assert refused(complete, app, "set_1", LINES) == Refusal(
            "SP303", "settlement set_1: lines add up to 1500, total_minor is 1600, difference 100"
        )


def test_a_settlement_inserted_in_the_same_transaction_is_completed(
    app: Session, db: Session
) -> None:
    with app.transaction():
        insert_settlement(app, "set_1", LINES, state="pending")
        complete(app, "set_1", LINES)

    assert jobs(db) == ["set_1"]


def test_a_plain_update_after_the_call_changes_nothing(app: Session, db: Session) -> None:
    complete(app, "set_1", LINES)

    with writes_nothing(db):
        app.execute("update payout.settlements set state = 'complete'")


@mutant(
    "a trigger that never schedules",
    sql="alter table payout.settlements disable trigger _900_schedule_payout_job",
)
def test_only_what_the_call_itself_completes_is_passed_by(app: Session, db: Session) -> None:
    """Where the trigger is asked, it finds the job that a call has made."""
    with app.transaction():
        insert_settlement(app, "set_1", LINES)
        complete(app, "set_1", LINES)
        insert_settlement(app, "set_2", LINES, state="pending")
        complete(app, "set_2", LINES)
        complete(app, "set_3", LINES)
        app.execute("update payout.settlements set state = 'complete'")
        insert_settlement(app, "set_4", LINES)

    assert jobs(db) == ["set_1", "set_2", "set_3", "set_4"]


def test_another_account_meanwhile_makes_it_no_other_settlement(app: Session, db: Session) -> None:
    job = complete(app, "set_1", LINES)
    app.execute("select payout_api.register_payee('seller_1', 'acct_moved')")

    with writes_nothing(db):
        assert complete(app, "set_1", LINES) == job


def test_a_call_that_was_rolled_back_may_be_made_with_other_content(
    app: Session, db: Session
) -> None:
    with app.transaction(force_rollback=True):
        complete(app, "set_1", LINES)

    complete(app, "set_1", LINES[:1])

    assert transfers(db) == [("seller_1", None, 700)]


@pytest.mark.usefixtures("clone")
def test_settings_of_the_session_change_nothing(
    app: Session, act: Callable[[str], Session], db: Session
) -> None:
    odd = act("payout_app")
    for setting in (
        "datestyle = 'SQL, DMY'",
        "timezone = 'Pacific/Chatham'",
        "intervalstyle = iso_8601",
        "extra_float_digits = -15",
        "bytea_output = escape",
        "client_encoding = latin1",
        "standard_conforming_strings = off",
        "transform_null_equals = on",
        "quote_all_identifiers = on",
        "search_path = pg_temp, payout, public",
        "plpgsql.extra_errors = 'all'",
    ):
        odd.execute(f"set {setting}".encode())
    query = (
        "select payout_ref, payee_id, source_transaction, amount_minor, currency "
        "from payout.payout_transfers order by 1"
    )

    metadata = {"back\\slash": "é ' \" %"}
    with odd.transaction(force_rollback=True):
        complete(odd, "sét_1", LINES, pay_after=PAY_AFTER, metadata=metadata)
        odd.execute("set constraints all immediate")
    job = complete(odd, "sét_1", LINES, pay_after=PAY_AFTER, metadata=metadata)
    told_oddly = db.execute(query).fetchall()
    assert complete(app, "sét_1", LINES, pay_after=PAY_AFTER, metadata=metadata) == job
    assert [row[0] for row in told_oddly] == [
        row[0]
        for row in db.execute(
            "select payout.payout_ref(installation_id, 'sét_1', payee_id, source_transaction) "
            "from payout.settlement_lines cross join payout.engine_settings order by 1"
        )
    ]
    assert db.execute("select metadata from payout.settlements").fetchall() == [(metadata,)]


def test_it_may_be_called_while_every_constraint_is_immediate(app: Session, db: Session) -> None:
    with app.transaction():
        app.execute("set constraints all immediate")
        assert complete(app, "set_1", LINES) == complete(app, "set_1", LINES)

    assert jobs(db) == ["set_1"]
    assert transfers(db) == [("seller_1", None, 700), ("seller_2", "ch_1", 800)]


@pytest.mark.parametrize("is_repeat", [False, True], ids=["at first", "again"])
def test_null_is_refused(app: Session, db: Session, is_repeat: bool) -> None:
    if is_repeat:
        complete(app, "set_1", [line("1", "seller_1", 700)])
    lines = """'[{"line_id":"1","payee_id":"seller_1","amount_minor":700}]'"""

    with writes_nothing(db):
        for column, arguments in {
            "settlement_id": f"null, 'usd', {lines}",
            "currency": f"'set_1', null, {lines}",
        }.items():
            statement = f"select payout_api.complete_settlement({arguments})"
            assert refused(app.execute, statement.encode()) == Refusal(
                "23502",
                f'null value in column "{column}" of relation "settlements" '
                "violates not-null constraint",
            )


def test_null_for_what_is_optional_is_none(app: Session, db: Session) -> None:
    with_nulls = (
        "select payout_api.complete_settlement('set_1', 'usd', "
        """'[{"line_id":"1","payee_id":"seller_1","amount_minor":700}]', null, null)"""
    )
    told = app.execute(with_nulls).fetchall()

    with writes_nothing(db):
        assert [(complete(app, "set_1", [line("1", "seller_1", 700)]),)] == told
        assert app.execute(with_nulls).fetchall() == told


def test_only_the_application_may_call_it(
    app: Session, act: Callable[[str], Session], db: Session
) -> None:
    with writes_nothing(db):
        for role in ("payout_worker", "payout_operator", "payout_auditor"):
            other = act(role)
            assert refused(complete, other, "set_1", LINES) == Refusal(
                "42501", "permission denied for function complete_settlement"
            )
