"""One transfer for each payee and source of a settlement, with its progress row and its books."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.acting import Session
from tests.mutants import mutant
from tests.schema.refusals import Refusal
from tests.settle.marketplace import (
    complete,
    jobs,
    line,
    refused,
    register,
    row_counts,
    settle,
    transfers,
    writes_nothing,
)


@pytest.fixture
def app(act: Callable[[str], Session]) -> Session:
    app = act("payout_app")
    register(app, "seller_1", "seller_2", "seller_3")
    return app


def test_lines_of_one_payee_become_one_transfer(app: Session, db: Session) -> None:
    complete(
        app,
        "set_1",
        [
            line("1", "seller_2", 300),
            line("2", "seller_1", 700),
            line("3", "seller_1", 800),
            line("4", "seller_2", 1),
        ],
    )

    assert transfers(db) == [("seller_1", None, 1500), ("seller_2", None, 301)]


def test_lines_of_another_source_become_another_transfer(app: Session, db: Session) -> None:
    complete(
        app,
        "set_1",
        [
            line("1", "seller_1", 1),
            line("2", "seller_1", 20, source_transaction="ch_1"),
            line("3", "seller_1", 300, source_transaction="ch_2"),
            line("4", "seller_1", 4000, source_transaction="ch_1"),
            line("5", "seller_1", 50000),
            line("6", "seller_2", 600000, source_transaction="ch_1"),
        ],
    )

    assert transfers(db) == [
        ("seller_1", None, 50001),
        ("seller_1", "ch_1", 4020),
        ("seller_1", "ch_2", 300),
        ("seller_2", "ch_1", 600000),
    ]


def test_one_line_and_several_of_the_same_sum_make_the_same(app: Session, db: Session) -> None:
    """A settlement of one line has a path of its own."""
    options = {"pay_after": "2100-01-01", "metadata": {"order": "7"}}
    made = []
    for lines in (
        [line("1", "seller_1", 1500, source_transaction="ch_1")],
        [
            line("1", "seller_1", 1400, source_transaction="ch_1"),
            line("2", "seller_1", 100, source_transaction="ch_1"),
        ],
    ):
        with db.transaction(force_rollback=True):
            complete(db, "set_1", lines, **options)
            made.append(
                db.execute(
                    """
                    select to_jsonb(t) - array['payout_transfer_id', 'payout_job_id', 'created_at'],
                        to_jsonb(s) - array['payout_transfer_id', 'changed_at'],
                        to_jsonb(e) - array['payout_transfer_id', 'ledger_entry_id', 'created_at']
                    from payout.payout_transfers as t
                    join payout.transfer_states as s using (payout_transfer_id)
                    join payout.ledger_entries as e using (payout_transfer_id)
                    order by e.ledger_entry_id
                    """
                ).fetchall()
            )
    assert len(made[0]) == 2
    assert made[0] == made[1]


def test_payees_with_the_same_account_are_paid_each(app: Session, db: Session) -> None:
    for payee_id in ("twin_1", "twin_2"):
        app.execute("select payout_api.register_payee(%s, 'acct_shared')", [payee_id])

    complete(app, "set_1", [line("1", "twin_1", 5), line("2", "twin_2", 5)])

    assert db.execute(
        "select payee_id, amount_minor from payout.payout_transfers order by 1"
    ).fetchall() == [("twin_1", 5), ("twin_2", 5)]


def test_a_transfer_carries_what_identifies_it(app: Session, db: Session) -> None:
    job = complete(app, "set_1", [line("1", "seller_1", 5)], currency="eur")

    assert db.execute(
        "select payout_job_id, settlement_id, payee_id, source_transaction, "
        "amount_minor, currency, "
        "payout_ref = payout.payout_ref("
        "installation_id, settlement_id, payee_id, source_transaction) "
        "from payout.payout_transfers cross join payout.engine_settings"
    ).fetchall() == [(job, "set_1", "seller_1", None, 5, "eur", True)]


def test_a_transfer_starts_as_scheduled_under_its_first_key(app: Session, db: Session) -> None:
    complete(app, "set_1", [line("1", "seller_1", 5)])

    assert db.execute(
        "select state, generation, attempt, tries, lease_until, stripe_transfer_id, "
        "window_begins_at, has_unknown_send, reason from payout.transfer_states"
    ).fetchall() == [("scheduled", 1, 0, 0, None, None, None, False, None)]


def test_it_is_due_at_once_without_pay_after(app: Session, db: Session) -> None:
    complete(app, "set_1", [line("1", "seller_1", 5)])

    assert db.execute(
        "select s.next_attempt_at = t.created_at, s.next_attempt_at <= now() "
        "from payout.transfer_states as s join payout.payout_transfers as t "
        "using (payout_transfer_id)"
    ).fetchall() == [(True, True)]


@pytest.mark.parametrize(
    "pay_after",
    [
        datetime(2020, 2, 29, 12, tzinfo=UTC),
        datetime(2099, 12, 31, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=-11))),
    ],
    ids=["that has passed", "far ahead"],
)
def test_it_is_due_at_a_pay_after(pay_after: datetime, app: Session, db: Session) -> None:
    complete(
        app, "set_1", [line("1", "seller_1", 5), line("2", "seller_2", 5)], pay_after=pay_after
    )
    settle(app, "set_2", [line("1", "seller_3", 5)], pay_after=pay_after)

    assert (
        db.execute("select next_attempt_at from payout.transfer_states").fetchall()
        == [(pay_after,)] * 3
    )


@mutant(
    "no ledger entry for the first reserve",
    "schedule_payout_job",
    "'in_flight',\n            p_line.amount_minor, p_settlement.currency);",
    "'in_flight',\n            1, p_settlement.currency);",
)
@mutant(
    "no ledger entry for the first reserve of many",
    "create_transfers",
    "o.payee_id),\n            ('reserve', 'payable:' || o.payee_id, 'in_flight')",
    "o.payee_id)",
)
def test_every_transfer_is_booked_as_owed_and_as_set_aside(app: Session, db: Session) -> None:
    complete(
        app,
        "set_1",
        [line("1", "seller_1", 700), line("2", "seller_1", 5, source_transaction="ch_1")],
    )
    complete(app, "set_2", [line("1", "seller_2", 9)], currency="jpy")

    assert db.execute(
        "select t.settlement_id, t.source_transaction, e.kind, e.generation, e.debit_account, "
        "e.credit_account, e.amount_minor, e.currency, e.stripe_reversal_id "
        "from payout.ledger_entries as e join payout.payout_transfers as t "
        "using (payout_transfer_id) "
        "order by t.settlement_id, t.source_transaction nulls first, e.kind"
    ).fetchall() == [
        ("set_1", None, "obligation", 1, "settlement_funds", "payable:seller_1", 700, "usd", None),
        ("set_1", None, "reserve", 1, "payable:seller_1", "in_flight", 700, "usd", None),
        ("set_1", "ch_1", "obligation", 1, "settlement_funds", "payable:seller_1", 5, "usd", None),
        ("set_1", "ch_1", "reserve", 1, "payable:seller_1", "in_flight", 5, "usd", None),
        ("set_2", None, "obligation", 1, "settlement_funds", "payable:seller_2", 9, "jpy", None),
        ("set_2", None, "reserve", 1, "payable:seller_2", "in_flight", 9, "jpy", None),
    ]


def test_the_books_balance_in_every_currency(app: Session, db: Session) -> None:
    complete(app, "set_1", [line("1", "seller_1", 700), line("2", "seller_2", 5)])
    complete(app, "set_2", [line("1", "seller_1", 99_999_999)])
    complete(app, "set_3", [line("1", "seller_3", 9)], currency="jpy")

    assert db.execute(
        "select currency, debit_minor, credit_minor, difference_minor, in_flight_minor, "
        "open_transfers_minor from payout_api.trial_balance order by 1"
    ).fetchall() == [
        ("jpy", 18, 18, 0, 9, 9),
        ("usd", 2 * 100_000_704, 2 * 100_000_704, 0, 100_000_704, 100_000_704),
    ]


def test_five_thousand_lines_of_two_thousand_payees_are_one_job(app: Session, db: Session) -> None:
    app.execute(
        "select payout_api.register_payee('p' || n, 'acct_' || n) "
        "from generate_series(0, 1999) as n"
    )
    lines = [line(str(number), f"p{number % 2000}", number + 1) for number in range(5000)]
    owed: defaultdict[str, int] = defaultdict(int)
    for content in lines:
        owed[content["payee_id"]] += content["amount_minor"]

    job = complete(app, "set_1", lines)
    again = complete(app, "set_1", lines)

    assert again == job
    assert jobs(db) == ["set_1"]
    assert {payee_id: amount for payee_id, _, amount in transfers(db)} == owed
    assert row_counts(db) == {
        "settlements": 1,
        "settlement_lines": 5000,
        "payout_jobs": 1,
        "payout_transfers": 2000,
        "transfer_states": 2000,
        "ledger_entries": 4000,
    }


def test_five_thousand_inserted_lines_with_one_bad_payee_leave_nothing(
    app: Session, db: Session
) -> None:
    with writes_nothing(db):
        app.execute("begin")
        app.execute(
            "insert into payout.settlements (settlement_id, currency, total_minor, state) "
            "values ('set_1', 'usd', 5000, 'complete')"
        )
        app.execute(
            "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
            "select 'set_1', to_char(n, 'FM0000'), "
            "case n when 4321 then 'nobody' else 'seller_1' end, 1 "
            "from generate_series(1, 5000) as n"
        )
        assert refused(app.execute, "commit") == Refusal(
            "SP301", "settlement set_1, line 4321: payee nobody is unknown"
        )
