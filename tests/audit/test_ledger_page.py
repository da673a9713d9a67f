"""The ledger of an interval, page by page, and its totals: together they are the trial balance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import pytest

from tests.audit.sealing import seal_everything
from tests.audit.test_balances_as_of import ROWS_READ
from tests.busy import age, fill
from tests.conftest import Connection
from tests.engine import Engine
from tests.mutants import mutant
from tests.schema.refusals import Refusal, refusal

PAGE: Final = "select * from payout_api.ledger_page(%s, %s, p_after => %s, p_limit => %s)"
IDS: Final = (
    "select ledger_entry_id from payout.ledger_entries where created_at >= %s and created_at < %s "
    "order by ledger_entry_id"
)
TOTALS: Final = (
    "select account, currency, opening, debit, credit, closing, debit_minor, credit_minor "
    "from payout_api.ledger_totals(%s, %s)"
)
# The same, from the balances of all accounts at two moments.
BALANCES: Final = """
    select split_part(account, ':', 1), currency,
        sum(payout_api.major_units(balance_minor, currency))
    from payout_api.balances_as_of(%s::timestamptz - interval '1 us')
    group by split_part(account, ':', 1), currency
    """
ALWAYS: Final = ("-infinity", "infinity")
FIRST: Final = -(2**63)

Interval = tuple[datetime | str, datetime | str]


def pages(db: Connection, interval: Interval, *, limit: int) -> list[tuple[Any, ...]]:
    """Read all pages."""
    rows: list[tuple[Any, ...]] = []
    while page := db.execute(PAGE.encode(), [*interval, rows[-1][0] if rows else FIRST, limit]):
        found = page.fetchall()
        assert found[:1] != rows[-1:], "a page begins where the last one ended"
        rows += found
        if len(found) < limit:
            return rows
    return rows


def moments(db: Connection) -> list[datetime]:
    """Return when something was booked, each time once, the oldest first."""
    found = db.execute("select distinct created_at from payout.ledger_entries order by 1")
    return [moment for (moment,) in found]


@pytest.fixture
def busy(engine: Engine) -> Engine:
    fill(engine)
    return engine


@pytest.fixture(params=["unsealed", "sealed", "sealed in part"])
def books(busy: Engine, request: pytest.FixtureRequest) -> Engine:
    """The same books, with and without seals over them."""
    if request.param != "unsealed":
        seal_everything(busy.db)
    if request.param == "sealed in part":
        busy.settle("seller_9", settlement_id="set_late")
    return busy


@mutant(
    "a page that begins with the last",
    "ledger_page",
    "ledger_entry_id > coalesce(p_after",
    "ledger_entry_id >= coalesce(p_after",
)
@mutant("the end belongs to a page", "ledger_page", "l.created_at < p_to", "l.created_at <= p_to")
@mutant(
    "ranges that end at the begin",
    "first_entry_id",
    "and s.rows_until >= p_since",
    "and s.rows_until > p_since + interval '1 day'",
    at="sealed",
)
@mutant("an amount in minor units only", "ledger_page", "e.amount_minor * c.minor_unit", "1.0")
def test_pages_have_each_entry_of_the_interval_once_in_order(books: Engine) -> None:
    first, second, *_, last = moments(books.db)
    for interval in (ALWAYS, (first, second), (second, last), (last, "infinity")):
        ids = [entry for (entry,) in books.db.execute(IDS.encode(), interval)]
        assert ids
        for limit in (1, 3, 1000):
            rows = pages(books.db, interval, limit=limit)
            assert [row[0] for row in rows] == ids
    for row in pages(books.db, ALWAYS, limit=100):
        [expected] = books.db.execute(
            "select e.ledger_entry_id, e.created_at, e.kind, e.debit_account, e.credit_account, "
            "payout_api.major_units(e.amount_minor, e.currency), e.amount_minor, e.currency, "
            "t.settlement_id, t.payee_id, e.payout_transfer_id, s.stripe_transfer_id, "
            "e.stripe_reversal_id from payout.ledger_entries as e "
            "join payout.payout_transfers as t using (payout_transfer_id) "
            "join payout.transfer_states as s using (payout_transfer_id) "
            "where ledger_entry_id = %s",
            [row[0]],
        ).fetchall()
        assert row == expected


@mutant(
    "totals to the end with it", "ledger_totals", "p_to - interval '1 micro", "p_to - interval '0"
)
@mutant(
    "totals from the begin without it",
    "ledger_totals",
    "p_from - interval '1 micro",
    "p_from - interval '0",
)
def test_totals_are_the_entries_between_two_balances(books: Engine) -> None:
    first, second, *_, last = moments(books.db)
    for interval in ((first, second), (second, last), (first, last), (last, "infinity")):
        sums: Counter[tuple[str, str, str]] = Counter()
        for row in pages(books.db, interval, limit=100):
            sums["debit", row[3].partition(":")[0], row[7]] += row[6]
            sums["credit", row[4].partition(":")[0], row[7]] += row[6]
        opening, closing = (
            {
                (account, currency): balance
                for account, currency, balance in books.db.execute(BALANCES.encode(), [moment])
            }
            for moment in interval
        )
        totals = books.db.execute(TOTALS.encode(), interval).fetchall()
        assert len(totals) > 3
        for account, currency, opens, debit, credit, closes, debit_minor, credit_minor in totals:
            key = account, currency
            assert (opens, closes) == (opening.get(key, 0), closing[key])
            assert closes == opens + credit - debit
            assert debit_minor == sums.pop(("debit", *key), 0)
            assert credit_minor == sums.pop(("credit", *key), 0)
        assert not +sums


def test_a_null_is_the_default_or_gives_no_rows(books: Engine) -> None:
    page = "select entry_id from payout_api.ledger_page('-infinity', 'infinity'{})"
    for arguments in (", null", ", null, null", ", p_limit => null"):
        assert books.db.execute(page.format(arguments)).fetchall() == (
            books.db.execute(page.format("")).fetchall()
        )
    assert books.db.execute(page.format(", p_limit => -1")).fetchall() == []
    for name in ("ledger_totals", "money_flow"):
        for times in ("null, 'infinity'", "'2020-01-01', null"):
            rows = books.db.execute(f"select * from payout_api.{name}({times})".encode())
            assert rows.fetchall() == []


def test_totals_of_all_time_are_the_trial_balance(books: Engine) -> None:
    totals = books.db.execute(
        "select currency, sum(debit_minor), sum(credit_minor), sum(closing), "
        "sum(closing) filter (where account = 'in_flight') "
        "from payout_api.ledger_totals('-infinity', 'infinity') group by currency order by currency"
    ).fetchall()
    assert totals == (
        books.db.execute(
            "select currency, debit_minor, credit_minor, "
            "payout_api.major_units(difference_minor, currency), "
            "payout_api.major_units(in_flight_minor, currency) "
            "from payout_api.trial_balance order by currency"
        ).fetchall()
    )


@mutant(
    "a page that reads all that was sealed before it",
    "first_entry_id",
    "and s.rows_until >= p_since",
    "",
)
def test_a_page_reads_no_sealed_range_that_was_over_before_it(busy: Engine) -> None:
    age(busy, days=1)
    seal_everything(busy.db)
    before = len(pages(busy.db, ALWAYS, limit=1000))
    busy.db.execute("set local enable_seqscan = off")
    busy.settle("seller_9", settlement_id="set_late")
    (*_, last) = moments(busy.db)
    began = busy.db.execute(ROWS_READ.encode()).fetchone()
    rows = pages(busy.db, (last, "infinity"), limit=10)
    ended = busy.db.execute(ROWS_READ.encode()).fetchone()
    assert began is not None
    assert ended is not None
    assert 0 < len(rows) < before
    assert ended[0] - began[0] < before


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("payout_api.ledger_page(now(), now())", "ledger_page"),
        ("payout_api.ledger_totals(now(), now())", "ledger_totals"),
        ("payout_api.money_flow(now(), now())", "money_flow"),
    ],
)
def test_auditors_and_operators_may_read_them(
    call: str, name: str, act: Callable[[str], Connection]
) -> None:
    for role in ("payout_auditor", "payout_operator"):
        assert act(role).execute(f"select * from {call}".encode()).fetchall() == []
    for role in ("payout_app", "payout_worker", "payout_approver"):
        assert refusal(act(role), f"select * from {call}") == Refusal(
            "42501", f"permission denied for function {name}"
        )
