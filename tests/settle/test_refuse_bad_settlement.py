"""A settlement that cannot be paid out is refused as a whole, with the code and what is wrong.

Every refusal comes at commit at the latest, whether the settlement was inserted or told in one
call, and leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pytest

from tests.acting import Session
from tests.engine import Engine
from tests.mutants import mutant
from tests.schema.refusals import Refusal, domain_refusal, refusal
from tests.settle.marketplace import (
    Line,
    complete,
    insert_lines,
    insert_settlement,
    jobs,
    line,
    refused,
    refused_at_commit,
    register,
    settle,
    transfers,
    writes_nothing,
)

LARGEST_BIGINT: Final = 2**63 - 1


class Case(NamedTuple):
    """A settlement and how it has to be refused."""

    lines: list[Line]
    refusal: Refusal
    header: dict[str, Any] = {}  # noqa: RUF012
    settlement_id: str = "set_1"


def unpayable(sqlstate: str, message: str, *lines: Line, **header: Any) -> Case:
    return Case(list(lines), Refusal(sqlstate, f"settlement set_1{message}"), header)


# Faults of a settlement although each of its rows could be stored.
UNPAYABLE: Final = {
    "an unknown payee": unpayable(
        "SP301",
        ", line 2: payee nobody is unknown",
        line("1", "seller_1", 5),
        line("2", "nobody", 5),
    ),
    "a payee in other letters": unpayable(
        "SP301", ", line 1: payee Seller_1 is unknown", line("1", "Seller_1", 5)
    ),
    "an unknown payee beside one without an account": unpayable(
        "SP301",
        ", line 2: payee nobody is unknown",
        line("1", "newcomer", 5),
        line("2", "nobody", 5),
    ),
    "two unknown payees, the first line is named": unpayable(
        "SP301",
        ", line a: payee somebody is unknown",
        line("b", "nobody", 5),
        line("a", "somebody", 5),
    ),
    "a currency that Stripe does not know": unpayable(
        "SP305", ": currency zzz is not supported", line("1", "seller_1", 5), currency="zzz"
    ),
    "a third decimal": unpayable(
        "SP306",
        ", payee seller_1: 1005 is not a multiple of 10 as Stripe asks for kwd",
        line("1", "seller_1", 1005),
        currency="kwd",
    ),
    "part of a króna": unpayable(
        "SP306",
        ", payee seller_1: 150 is not a multiple of 100 as Stripe asks for isk",
        line("1", "seller_1", 150),
        currency="isk",
    ),
    "part of an Ugandan shilling": unpayable(
        "SP306",
        ", payee seller_2: 99 is not a multiple of 100 as Stripe asks for ugx",
        line("1", "seller_1", 100),
        line("2", "seller_2", 99),
        currency="ugx",
    ),
    "metadata that Stripe does not take": unpayable(
        "SP308",
        ": metadata key order[1] has a square bracket",
        line("1", "seller_1", 5),
        metadata={"order[1]": "x"},
    ),
    "a bad currency and a bad payee, the currency is named": unpayable(
        "SP305", ": currency zzz is not supported", line("1", "nobody", 5), currency="zzz"
    ),
}

# Rows that no settlement may have.
LINES: Final = [line("1", "seller_1", 5)]
LINE_AMOUNT: Final = domain_refusal("positive_minor", "amount_is_positive")
SOURCE: Final = domain_refusal("source_transaction_id", "source_transaction_looks_like_one")
TOTAL: Final = domain_refusal("positive_minor", "amount_is_positive")
CURRENCY: Final = domain_refusal("currency_code", "currency_is_three_lower_case_letters")
ID_LENGTH: Final = domain_refusal("external_id", "id_is_1_to_200_characters")
MALFORMED: Final = {
    "no amount": Case([line("1", "seller_1", 0)], TOTAL),
    "a negative amount": Case([line("1", "seller_1", -5)], TOTAL),
    "a line of nothing": Case([*LINES, line("2", "seller_2", 0)], LINE_AMOUNT),
    "a negative line": Case([*LINES, line("2", "seller_2", -4)], LINE_AMOUNT),
    "a currency in capitals": Case(LINES, CURRENCY, {"currency": "USD"}),
    "a currency of two letters": Case(LINES, CURRENCY, {"currency": "us"}),
    "no currency": Case(LINES, CURRENCY, {"currency": ""}),
    "no settlement_id": Case(LINES, ID_LENGTH, settlement_id=""),
    "a long settlement_id": Case(LINES, ID_LENGTH, settlement_id="s" * 201),
    "no line_id": Case([line("", "seller_1", 5)], ID_LENGTH),
    "a long line_id": Case([line("1" * 201, "seller_1", 5)], ID_LENGTH),
    "no payee_id": Case([line("1", "", 5)], ID_LENGTH),
    "a long payee_id": Case([line("1", "p" * 201, 5)], ID_LENGTH),
    "a blank after an id": Case(
        LINES,
        domain_refusal("external_id", "id_has_no_blank_at_its_ends"),
        settlement_id="set_1 ",
    ),
    "no source": Case([line("1", "seller_1", 5, source_transaction="")], SOURCE),
    "a payment intent as source": Case(
        [line("1", "seller_1", 5, source_transaction="pi_1")],
        domain_refusal(
            "source_transaction_id", "source_transaction_is_a_charge_and_no_payment_intent"
        ),
    ),
    "a source that is none": Case([line("1", "seller_1", 5, source_transaction="ch 1")], SOURCE),
}
# A call names the line that is wrong.
NOT_ABOVE_ZERO: Final = "of p_lines has an amount_minor that is not above 0"
MALFORMED_IN_A_CALL: Final = {
    "no amount": Refusal("SP309", f"line 1 {NOT_ABOVE_ZERO}"),
    "a negative amount": Refusal("SP309", f"line 1 {NOT_ABOVE_ZERO}"),
    "a line of nothing": Refusal("SP309", f"line 2 {NOT_ABOVE_ZERO}"),
    "a negative line": Refusal("SP309", f"line 2 {NOT_ABOVE_ZERO}"),
}


@pytest.fixture
def app(act: Callable[[str], Session]) -> Session:
    app = act("payout_app")
    register(app, "seller_1", "seller_2")
    app.execute("select payout_api.register_payee(p_payee_id => 'newcomer')")
    return app


def test_a_call_that_cannot_be_paid_out_is_refused_with(app: Session, db: Session) -> None:
    cases = UNPAYABLE | MALFORMED

    with writes_nothing(db):
        refusals = {
            name: refused(complete, app, case.settlement_id, case.lines, **case.header)
            for name, case in cases.items()
        }

    expected = {name: case.refusal for name, case in cases.items()}
    assert refusals == expected | MALFORMED_IN_A_CALL


def test_the_commit_of_what_cannot_be_paid_out_is_refused_with(app: Session, db: Session) -> None:
    with writes_nothing(db):
        refusals = {
            name: refused_at_commit(app, case.settlement_id, case.lines, **case.header)
            for name, case in UNPAYABLE.items()
        }

    assert refusals == {name: case.refusal for name, case in UNPAYABLE.items()}


def test_a_malformed_row_is_refused_when_it_is_inserted_with(app: Session, db: Session) -> None:
    with writes_nothing(db):
        refusals = {
            name: refused(settle, app, case.settlement_id, case.lines, **case.header)
            for name, case in MALFORMED.items()
        }

    assert refusals == {name: case.refusal for name, case in MALFORMED.items()}


def test_a_pending_settlement_that_cannot_be_paid_out_stays_as_it_was(
    app: Session, db: Session
) -> None:
    refusals = {}
    for name, case in UNPAYABLE.items():
        with app.transaction(force_rollback=True):
            insert_settlement(app, "set_1", case.lines, state="pending", **case.header)
            app.execute("set constraints all immediate")
            refusals[name] = refusal(app, "update payout.settlements set state = 'complete'")
            found = app.execute("select state from payout.settlements").fetchall()
            assert found == [("pending",)]

    assert refusals == {name: case.refusal for name, case in UNPAYABLE.items()}


@mutant(
    "a single line that is not the total",
    "schedule_payout_job",
    "        and p_line.amount_minor = p_settlement.total_minor\n",
    "",
    at="too much",
)
@pytest.mark.parametrize(
    ("lines", "total_minor", "added_up", "difference"),
    [
        ([line("1", "seller_1", 700), line("2", "seller_2", 700)], 1500, 1400, 100),
        ([line("1", "seller_1", 1600)], 1500, 1600, -100),
        ([], 1500, 0, 1500),
        (
            [line("1", "seller_1", LARGEST_BIGINT), line("2", "seller_1", LARGEST_BIGINT)],
            LARGEST_BIGINT,
            2 * LARGEST_BIGINT,
            -LARGEST_BIGINT,
        ),
    ],
    ids=["too little", "too much", "no line at all", "more than a bigint holds"],
)
def test_lines_that_do_not_add_up_are_refused_with_the_difference(
    app: Session,
    db: Session,
    lines: list[Line],
    total_minor: int,
    added_up: int,
    difference: int,
) -> None:
    with writes_nothing(db):
        assert refused_at_commit(app, "set_1", lines, total_minor=total_minor) == Refusal(
            "SP303",
            f"settlement set_1: lines add up to {added_up}, total_minor is {total_minor}, "
            f"difference {difference}",
        )


def test_a_line_added_in_the_transaction_that_completes_is_counted(
    app: Session, db: Session
) -> None:
    insert_settlement(app, "set_1", [line("1", "seller_1", 5)], state="pending")

    with writes_nothing(db):
        app.execute("begin")
        app.execute("update payout.settlements set state = 'complete'")
        insert_lines(app, "set_1", [line("2", "seller_1", 1)])
        assert refused(app.execute, "commit") == Refusal(
            "SP303", "settlement set_1: lines add up to 6, total_minor is 5, difference -1"
        )


def test_a_total_that_no_bigint_holds_is_refused(app: Session, db: Session) -> None:
    lines = [line(str(number), "seller_1", 10**18 - 1) for number in range(10)]
    with writes_nothing(db):
        assert refused(settle, app, "set_1", lines) == Refusal("22003", "bigint out of range")
        assert refused(complete, app, "set_1", lines) == Refusal("22003", "bigint out of range")
        assert refused(complete, app, "set_1", [line("1", "seller_1", 2**63)]) == Refusal(
            "SP309", "line 1 of p_lines has an amount_minor that no bigint holds"
        )


@pytest.mark.parametrize("way", [complete, settle])
@pytest.mark.parametrize("lines", [1, 2])
def test_an_amount_has_no_limit_but_bigint(
    way: Callable[..., object], lines: int, app: Session, db: Session
) -> None:
    """Eight digits are Stripe's limit for charges; 1,200,000.00 forints have nine."""
    for settlement, amount in (("set_1", 120_000_000), ("set_2", LARGEST_BIGINT)):
        parts = [amount] if lines == 1 else [amount - 1, 1]
        content = [line(str(part), "seller_1", part) for part in parts]
        way(app, settlement, content, currency="huf")
        assert transfers(db, settlement) == [("seller_1", None, amount)]


def test_the_step_of_a_currency_holds_for_the_transfer_and_not_for_each_line(
    app: Session, db: Session
) -> None:
    complete(app, "set_1", [line("1", "seller_1", 1005), line("2", "seller_1", 5)], currency="kwd")

    assert transfers(db) == [("seller_1", None, 1010)]


def test_the_smallest_amount_of_every_kind_of_currency_is_paid(app: Session, db: Session) -> None:
    smallest = {
        amount_minor: currencies.split()
        for amount_minor, currencies in (
            (1, "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf usd eur huf twd"),
            (10, "bhd jod kwd omr tnd"),
            (100, "isk ugx"),
        )
    }

    for amount_minor, currencies in smallest.items():
        for currency in currencies:
            lines = [line("1", "seller_1", amount_minor)]
            complete(app, f"set_{currency}", lines, currency=currency)

    assert jobs(db) == sorted(
        f"set_{currency}" for names in smallest.values() for currency in names
    )


def test_pay_after_is_a_moment(app: Session, db: Session) -> None:
    statement = (
        "insert into payout.settlements (settlement_id, currency, total_minor, pay_after) "
        "values ('set_1', 'usd', 5, %s)"
    )
    refused_as = domain_refusal("moment", "moment_has_a_year_of_four_digits")
    for pay_after in ("infinity", "-infinity", "20270-01-01"):
        assert refusal(app, statement, [pay_after]) == refused_as
    assert refusal(app, statement, ["2027-01-01"]) is None


def test_an_edit_after_completion_is_refused(app: Session, db: Session) -> None:
    complete(app, "set_1", [line("1", "seller_1", 700), line("2", "seller_2", 800)])

    with writes_nothing(db):
        assert refused(app.execute, "update payout.settlements set total_minor = 1499") == Refusal(
            "SP102", "settlement set_1 is complete and cannot be changed"
        )
        for statement in (
            "update payout.settlement_lines set amount_minor = 699 where line_id = '1'",
            "delete from payout.settlement_lines where line_id = '1'",
            "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
            "values ('set_1', '3', 'seller_1', 1)",
        ):
            assert refused(app.execute, statement.encode()) == Refusal(
                "SP102", "settlement set_1 is complete: its lines cannot be changed"
            )


def test_a_line_after_scheduling_in_the_same_transaction_is_refused(
    app: Session, db: Session
) -> None:
    with writes_nothing(db):
        app.execute("begin")
        insert_settlement(app, "set_1", [line("1", "seller_1", 700)])
        app.execute("set constraints all immediate")
        late = refused(insert_lines, app, "set_1", [line("2", "seller_1", 1)])
        app.execute("rollback")

    assert late == Refusal("SP102", "settlement set_1 is complete: its lines cannot be changed")


def test_a_payee_registered_later_in_the_same_transaction_is_known(
    app: Session, db: Session
) -> None:
    with app.transaction():
        insert_settlement(app, "set_1", [line("1", "latecomer", 5)])
        register(app, "latecomer")

    assert transfers(db) == [("latecomer", None, 5)]


def test_a_settlement_that_was_refused_may_be_told_again(app: Session, db: Session) -> None:
    lines = [line("1", "latecomer", 5)]
    assert refused(complete, app, "set_1", lines) == Refusal(
        "SP301", "settlement set_1, line 1: payee latecomer is unknown"
    )
    register(app, "latecomer")

    complete(app, "set_1", lines)

    assert transfers(db) == [("latecomer", None, 5)]


@mutant(
    "lines left out that make the total fit",
    "create_transfers",
    "having sum(o.amount_minor) =",
    "having true or sum(o.amount_minor) =",
    at="an unknown payee",
)
@pytest.mark.parametrize(
    ("currency", "second"),
    [
        ("usd", line("2", "nobody", 50)),
        ("isk", line("2", "seller_2", 50)),
    ],
    ids=["an unknown payee", "part of a króna"],
)
def test_lines_are_not_left_out_to_make_the_total_fit(
    app: Session, db: Session, currency: str, second: Line
) -> None:
    """The total is that of the lines that can be paid, as an importer's mistake may have it."""
    lines = [line("1", "seller_1", 100), second]
    with writes_nothing(db):
        refusal = refused_at_commit(app, "set_1", lines, currency=currency, total_minor=100)
    assert refusal == Refusal(
        "SP303", "settlement set_1: lines add up to 150, total_minor is 100, difference -50"
    )


@mutant(
    "a settlement whose payee came between two looks",
    "create_transfers",
    "if v_made_minor is distinct from p_settlement.total_minor then",
    "if (payout.settlement_problem(p_settlement)).code <> 'SP402' then",
)
def test_a_payee_registered_while_the_reason_is_looked_for_is_not_left_out(
    engine: Engine,
) -> None:
    engine.settle(settlement_id="set_0")
    # The payee comes while the transfers are made, and the wake-up jobs for them.
    engine.db.execute(
        "create or replace function payout.queue_wakeup("
        "p_payout_job_id bigint, p_transfers integer, p_pay_after timestamptz) "
        "returns bigint[] language sql set search_path = pg_catalog, pg_temp as "
        "$$ insert into payout.payees (payee_id) values ('late') returning '{}'::bigint[] $$"
    )
    refused = refusal(
        engine.db,
        "select payout_api.complete_settlement('set_1', 'usd', "
        """'[{"line_id": "1", "payee_id": "seller_1", "amount_minor": 700},
             {"line_id": "2", "payee_id": "late", "amount_minor": 700}]')""",
    )
    assert refused == Refusal(
        "SP402", "settlement set_1: payees or currencies changed while it was scheduled"
    )
