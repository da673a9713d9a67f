"""Rows of an application that differ from a frozen settlement are told to operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Connection
from tests.engine import Engine
from tests.mutants import mutant
from tests.operate.checks import complaints, examine
from tests.schema.refusals import Refusal, refusal
from tests.settle.marketplace import complete, insert_settlement, line, register

LINES: Final = [line("1", "seller_1", 700), line("2", "seller_2", 800, source_transaction="ch_1")]
FEWER: Final = [LINES[0]]
OTHER: Final = [line("1", "seller_1", 650), LINES[1]]
# By payee and source, as a discrepancy shows them.
FIRST: Final = {"payee_id": "seller_1", "amount_minor": 700}
SECOND: Final = {"payee_id": "seller_2", "amount_minor": 800, "source_transaction": "ch_1"}
LESS: Final = {"payee_id": "seller_1", "amount_minor": 650}
WARNING: Final = "no settlement was edited after it was settled"


@pytest.fixture
def books(engine: Engine) -> Connection:
    settle(engine)
    return engine.db


def settle(engine: Engine) -> None:
    register(engine.app, "seller_1", "seller_2")
    complete(engine.app, "set_1", LINES)


def report(app: Connection, lines: Any, *, currency: str | None = "usd", id_: str = "set_1") -> Any:
    ((answer,),) = app.execute(
        "select payout_api.report_edit(p_settlement_id => %s, p_currency => %s, p_lines => %s)",
        [id_, currency, Jsonb(lines)],
    ).fetchall()
    return answer


def edits(db: Connection) -> list[tuple[Any, Any, bool]]:
    """Return the amounts of both sides of each discrepancy, and whether it is open."""
    return db.execute(
        "select ours -> 'owed', theirs -> 'owed', resolved_at is null from payout.discrepancies "
        "where kind = 'settlement_edited' order by discrepancy_id"
    ).fetchall()


def test_rows_that_agree_are_no_discrepancy(engine: Engine, books: Connection) -> None:
    for lines in (
        LINES,
        LINES[::-1],
        [{**LINES[0], "source_transaction": None, "amount_minor": 700.0}, LINES[1]],
        [line("8", "seller_1", 400), line("9", "seller_1", 300), LINES[1]],
        [*LINES, line("3", "seller_3", 0)],
    ):
        assert report(engine.app, lines) is True
    assert edits(books) == []


@pytest.mark.parametrize("id_", ["set_2", "draft", "", None])
def test_without_a_complete_settlement_there_is_nothing_to_compare(
    id_: Any, engine: Engine, books: Connection
) -> None:
    insert_settlement(engine.app, "draft", [line("1", "seller_1", 5)], state="pending")

    assert report(engine.app, OTHER, id_=id_) is None
    assert edits(books) == []


def test_an_edit_is_a_discrepancy_with_the_amounts_that_differ(
    engine: Engine, books: Connection
) -> None:
    assert report(engine.app, OTHER) is False

    assert edits(books) == [([FIRST], [LESS], True)]
    assert books.execute(
        "select kind, settlement_id, payout_transfer_id, what_to_do from payout_api.discrepancies"
    ).fetchall()[0][:3] == ("settlement_edited", "set_1", None)
    assert len(engine.claim()) == 2


def test_another_currency_or_nothing_left_is_an_edit_too(engine: Engine, books: Connection) -> None:
    assert report(engine.app, LINES, currency="eur") is False
    assert report(engine.app, [], currency=None) is False

    assert edits(books) == [([], [], False), ([FIRST, SECOND], [], True)]


@mutant("an edit that is recorded each time", "replace_edit", "and not exists (", "or exists (")
def test_the_same_edit_is_recorded_once(engine: Engine, books: Connection) -> None:
    for _ in range(3):
        assert report(engine.app, OTHER) is False
    assert edits(books) == [([FIRST], [LESS], True)]

    books.execute("select payout_api.resolve_discrepancy(discrepancy_id, 'paid as order 1/2') "
               "from payout.discrepancies")  # fmt: skip
    assert report(engine.app, OTHER) is False
    assert edits(books) == [([FIRST], [LESS], False)]


@mutant(
    "an edit beside the one before it",
    "replace_edit",
    "and d.resolved_at is null\n            and (d.ours",
    "and false and d.resolved_at is null\n            and (d.ours",
)
def test_a_later_edit_takes_the_place_of_the_earlier_one(engine: Engine, books: Connection) -> None:
    report(engine.app, OTHER)
    report(engine.app, FEWER)
    assert [is_open for *_, is_open in edits(books)] == [False, True]

    # Edited back and forth, it is open again.
    report(engine.app, OTHER)
    assert [is_open for *_, is_open in edits(books)] == [False, False, True]
    assert "every release and resolution has its act" not in complaints(books)


def test_rows_that_agree_again_resolve_it(engine: Engine, books: Connection) -> None:
    report(engine.app, OTHER)
    assert report(engine.app, LINES) is True

    assert edits(books) == [([FIRST], [LESS], False)]
    assert books.execute(
        "select a.action, a.subject, a.reason = d.resolution from payout.operator_actions as a "
        "cross join payout.discrepancies as d where a.action = 'resolve_discrepancy'"
    ).fetchall() == [("resolve_discrepancy", "settlement_edited", True)]
    assert "every release and resolution has its act" not in complaints(books)


def test_the_doctor_warns_and_reconcile_does_not_count_it(
    engine: Engine, books: Connection
) -> None:
    report(engine.app, OTHER)

    checks = {check.check_name: check for check in examine(books)}
    assert (checks[WARNING].status, checks[WARNING].detail) == ("warning", "set_1")
    assert checks["no discrepancy is open"].status == "ok"
    assert books.execute("select * from payout_api.open_discrepancies()").fetchall() == []


@pytest.mark.parametrize(
    "lines",
    [
        None,
        "text",
        {},
        [None, 1, "a", []],
        [{"line_id": 1, "amount_minor": "7.5", "payee_id": None, "more": {"x": [1]}}],
        [line("1", "seller_1", -700), line("1", "seller_1", 0)],
    ],
)
def test_nothing_handed_in_is_refused(lines: Any, engine: Engine, books: Connection) -> None:
    assert report(engine.app, lines) is False
    assert len(edits(books)) == 1


@pytest.mark.parametrize("role", ["payout_worker", "payout_operator", "payout_auditor"])
def test_only_the_application_may_call_it(visit: Callable[..., Connection], role: str) -> None:
    assert refusal(visit(role), "select payout_api.report_edit('a', 'usd', '[]')") == Refusal(
        "42501", "permission denied for function report_edit"
    )


def test_two_edits_at_once_wait_for_nothing(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    settle(shared_engine)
    first, second = connect("payout_app"), connect("payout_app", member=2)
    for session in (first, second):
        session.execute("begin")
        session.execute("set lock_timeout = '1s'")
    assert report(first, OTHER) is False
    assert report(second, FEWER) is False
    second.execute("commit")
    first.execute("commit")

    assert report(first, LINES) is True
    assert [is_open for *_, is_open in edits(shared_engine.db)] == [False, False]
