"""The summary and its views: every number is that of another view, and long lists are cut."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest

from tests.audit.sealing import seal_everything, seals
from tests.busy import age, fill
from tests.conftest import Connection
from tests.engine import Engine, no_such_account, success, unguarded
from tests.mutants import Edit, mutant
from tests.operate.test_reversed_money import reverse
from tests.schema.refusals import Refusal, refusal

Row = dict[str, Any]

BY_AGE: Final = (
    "select state, currency, sum(transfers)::bigint, sum(amount), sum(amount_minor), "
    "min(oldest_since) from payout_api.overview_by_age group by state, currency"
)
PLAIN_OVERVIEW: Final = (
    "select s.state, t.currency, count(*), sum(t.amount_minor) * c.minor_unit, "
    "sum(t.amount_minor), case when s.state <> 'paid' then min(s.changed_at) end "
    "from payout.transfer_states as s join payout.payout_transfers as t using (payout_transfer_id) "
    "join payout.currencies as c on c.currency = t.currency "
    "group by s.state, t.currency, c.minor_unit"
)
FLOW: Final = (
    "select currency, sum(settled_minor), sum(paid_minor), sum(failed_minor), "
    "sum(taken_back_minor) from payout_api.money_flow(%s, %s) group by currency order by currency"
)
DAYS: Final = (
    "select day, currency, transfers_settled, transfers_paid, settled_minor, paid_minor, "
    "failed_minor, taken_back_minor from payout_api.money_flow(%s, %s)"
)
# The same, from the entries alone.
PLAIN_DAYS: Final = """
    select (created_at at time zone 'UTC')::date, currency,
        count(*) filter (where kind = 'obligation'), count(*) filter (where kind = 'paid'),
        coalesce(sum(amount_minor) filter (where kind = 'obligation'), 0),
        coalesce(sum(amount_minor) filter (where kind = 'paid'), 0),
        coalesce(sum(amount_minor) filter (where kind = 'release'), 0),
        coalesce(sum(amount_minor) filter (where kind = 'reversal'), 0)
    from payout.ledger_entries
    where created_at >= %s and created_at < %s
        and kind in ('obligation', 'paid', 'release', 'reversal')
    group by 1, 2 order by 1, 2
    """
PLAIN: Final = """
    select e.currency,
        coalesce(sum(amount_minor) filter (where kind = 'obligation'), 0),
        coalesce(sum(amount_minor) filter (where kind = 'paid'), 0),
        coalesce(sum(amount_minor) filter (where kind = 'release'), 0),
        coalesce(sum(amount_minor) filter (where kind = 'reversal'), 0)
    from payout.ledger_entries as e
    where e.created_at >= %s and e.created_at < %s
    group by e.currency order by e.currency
    """


def sections(db: Connection, **arguments: int) -> dict[str, tuple[int, list[Row]]]:
    """Return how many rows each section has, and those that are shown."""
    named = ", ".join(f"{name} => {value}" for name, value in arguments.items())
    rows = db.execute(f"select * from payout_api.summary({named})".encode())
    return {section: (count, content) for section, count, content in rows}


def as_json(db: Connection, view: str) -> list[Row]:
    """Return the rows of a view, as JSON has them."""
    rows = db.execute(f"select to_jsonb(v) from {view} as v order by 1".encode())
    return [row for (row,) in rows]


@pytest.fixture
def busy(engine: Engine) -> Engine:
    fill(engine)
    return engine


@mutant(
    "ages that leave out a state",
    sql="create or replace view payout_api.overview_by_age as select s.state, t.currency, "
    "null::interval as since_at_least, count(*) as transfers, null::numeric as amount, "
    "sum(t.amount_minor) as amount_minor, min(s.changed_at) as oldest_since, "
    "min(s.next_attempt_at) as next_attempt_at from payout.transfer_states as s "
    "join payout.payout_transfers as t using (payout_transfer_id) where s.state <> 'parked' "
    "group by s.state, t.currency",
)
def test_the_ages_of_a_state_add_up_to_the_state(busy: Engine) -> None:
    found = busy.db.execute(BY_AGE.encode()).fetchall()
    assert len(found) > 6
    assert sorted(found) == sorted(busy.db.execute(PLAIN_OVERVIEW.encode()).fetchall())


def test_an_open_transfer_is_as_old_as_its_state_and_a_final_one_has_no_age(
    engine: Engine,
) -> None:
    for days in (7, 6, 1):
        engine.settle(settlement_id=f"set_{days}")
        age(engine, days=days)
    engine.settle(settlement_id="set_new")
    engine.settle("seller_paid", settlement_id="set_paid")
    claim = next(c for c in engine.claim() if c.request["destination"] == "acct_paid")
    engine.report(success(claim))
    with engine.db.transaction(force_rollback=True):
        rows = engine.db.execute(
            "select state, since_at_least::text, transfers from payout_api.overview_by_age "
            "order by state, since_at_least nulls first"
        ).fetchall()
    # The claim was the last change of the others.
    assert rows == [("in_flight", "00:00:00", 4), ("paid", None, 1)]
    with engine.db.transaction(force_rollback=True):
        for number, interval in enumerate(("59 minutes", "61 minutes", "25 hours", "8 days")):
            engine.db.execute(
                "update payout.transfer_states set changed_at = now() - %s::interval "
                "where payout_transfer_id = (select min(payout_transfer_id) + %s "
                "from payout.payout_transfers)",
                [interval, number],
            )
        rows = engine.db.execute(
            "select since_at_least::text, transfers from payout_api.overview_by_age "
            "where state = 'in_flight' order by since_at_least"
        ).fetchall()
    assert rows == [("00:00:00", 1), ("01:00:00", 1), ("1 day", 1), ("7 days", 1)]


def test_reasons_count_each_unpaid_transfer_once_with_the_words_of_the_first(busy: Engine) -> None:
    groups = busy.db.execute(
        "select state, currency, sum(transfers)::bigint, sum(amount) "
        "from payout_api.unpaid_by_reason group by state, currency order by 1, 2"
    ).fetchall()
    assert groups == (
        busy.db.execute(
            "select state, currency, count(*), sum(amount) from payout_api.unpaid "
            "group by state, currency order by 1, 2"
        ).fetchall()
    )
    words = busy.db.execute(
        "select first_transfer_id, reason, situation, whose_turn, advice, next_call "
        "from payout_api.unpaid_by_reason order by 1"
    ).fetchall()
    assert len(words) >= 5
    assert words == (
        busy.db.execute(
            "select payout_transfer_id, reason, situation, whose_turn, advice, next_call "
            "from payout_api.explained where payout_transfer_id = any (%s) order by 1",
            [[row[0] for row in words]],
        ).fetchall()
    )


@mutant(
    "the end of an interval belongs to it",
    edits=(
        Edit("money_flow", "select m.at - interval '1 microsecond' from", "select m.at from"),
        Edit("money_flow", "select t.at + interval '1 microsecond' as at", "select t.at"),
    ),
)
def test_flow_is_what_was_booked_from_the_first_moment_on_and_before_the_last(
    busy: Engine,
) -> None:
    moments = [
        moment
        for (moment,) in busy.db.execute(
            "select distinct created_at from payout.ledger_entries order by 1"
        )
    ]
    assert len(moments) >= 3
    for interval in (moments[:2], moments[1:3], (moments[0], "infinity")):
        flow = busy.db.execute(FLOW.encode(), interval).fetchall()
        assert flow == busy.db.execute(PLAIN.encode(), interval).fetchall()
    ((first, second),) = busy.db.execute(
        "select min(day)::text, max(day)::text from payout_api.money_flow('-infinity', 'infinity')"
    ).fetchall()
    assert second > first


@mutant(
    "a flow that begins with the first entry by number",
    "money_flow",
    "min(s.rows_from)",
    "(array_agg(s.rows_from order by s.last_id))[1]",
)
@mutant(
    "a flow that begins with what is sealed",
    "money_flow",
    "greatest(p_from, least(",
    "greatest(p_from, coalesce(",
)
@mutant(
    "a decline that a settlement makes",
    "money_flow",
    "case t.account when 'payable' then t.credit_minor else -t.debit_minor end",
    "case t.account when 'payable' then t.credit_minor when 'stripe_balance' then -t.debit_minor "
    "else 0 end",
)
def test_flow_of_each_day_is_the_same_once_it_is_sealed(shared_engine: Engine) -> None:
    """Also of entries that were written late, under a higher number than those of later days."""
    engine, db = shared_engine, shared_engine.db
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for number, days in enumerate((5, 9, 3, 4, 0)):
        engine.settle("seller_1", "seller_2", settlement_id=f"set_{number}", amount_minor=900)
        engine.settle("seller_3", settlement_id=f"set_eur_{number}", currency="eur")
        paid, declined, *_ = engine.claim()
        engine.report(success(paid, stripe_transfer_id=f"tr_{number}"), no_such_account(declined))
        reverse(engine, paid.payout_transfer_id, 10 + number)
        with unguarded(db, "payout.ledger_entries"):
            db.execute(
                "update payout.ledger_entries "
                "set created_at = date_trunc('day', created_at, 'UTC') "
                "- make_interval(days => %s, hours => (ledger_entry_id %% 3 * 11)::integer) "
                "where ledger_entry_id > coalesce((select max(last_id) from payout.seals "
                "where table_name = 'ledger_entries'), 0)",
                [days],
            )
        if number not in (1, 4):
            seal_everything(db)
        for interval in (
            ("-infinity", "infinity"),
            ("2000-01-01", "now"),
            *((today - timedelta(first), today - timedelta(first - 3)) for first in (10, 6, 4)),
        ):
            with db.transaction():
                db.execute("set local timezone = 'UTC'")
                flow = db.execute(DAYS.encode(), interval).fetchall()
                assert flow == db.execute(PLAIN_DAYS.encode(), interval).fetchall(), interval
    assert len(seals(db, "ledger_entries")) == 3
    assert len(flow) >= 2


def test_amounts_have_the_digits_of_their_currency(busy: Engine) -> None:
    rows = busy.db.execute(
        "select currency, max(settled)::text from payout_api.money_flow('-infinity', 'infinity') "
        "where currency <> 'usd' group by currency order by currency"
    ).fetchall()
    assert rows == [("jpy", "1234567"), ("kwd", "1000000.000")]


@mutant(
    "payees without what Stripe took back",
    "payees_owed",
    "from payout_api.reversed_money as m",
    "from payout_api.reversed_money as m where false",
)
@mutant(
    "payees without what was declined",
    "payees_owed",
    "where s.state = 'failed'",
    "where false",
)
def test_each_section_is_what_the_view_says(busy: Engine) -> None:
    busy.db.execute("set local timezone = 'UTC'")
    found = sections(busy.db)
    for section, view in (
        ("books", "payout_api.trial_balance"),
        ("accounts", "payout_api.ledger_balances"),
        ("unpaid", "payout_api.unpaid_by_reason"),
        ("workers", "payout_api.workers"),
        ("reversed", "payout_api.reversed_money"),
        ("overview", "payout_api.overview_by_age"),
        ("days", "payout_api.money_flow('-infinity', 'infinity')"),
        ("discrepancies", "payout_api.discrepancies"),
        ("holds", "(select * from payout.holds where released_at is null)"),
    ):
        count, rows = found[section]
        expected = as_json(busy.db, view)
        assert count == len(rows) == len(expected) > 0, section
        assert sorted(map(str, (strip(row, rows[0]) for row in expected))) == sorted(
            map(str, (strip(row, expected[0]) for row in rows))
        ), section
    # The books agree with the states from which they are told.
    payees = busy.db.execute(
        "select substr(account, 9), currency, payout_api.major_units(balance_minor, currency) "
        "from payout_api.balances_as_of('infinity') "
        "where account like 'payable:%' and balance_minor <> 0 order by 1, 2"
    ).fetchall()
    assert payees == sorted(
        (row["payee_id"], row["currency"], Decimal(str(row["balance"])))
        for row in found["payees"][1]
    )
    assert len(payees) >= 2
    [installation] = found["installation"][1]
    assert installation["database_name"] == busy.db.info.dbname


def strip(row: Row, other: Row) -> Row:
    """Return what both have."""
    return {name: row[name] for name in sorted(row.keys() & other.keys())}


@mutant(
    "a list without an end",
    "summary_lists",
    "h.hold_id))[:p_rows]",
    "h.hold_id))[:9]",
)
def test_a_long_list_is_cut_and_says_how_long_it_is(engine: Engine) -> None:
    payees = [f"seller_{number}" for number in range(5)]
    engine.settle(*payees)
    for payee in payees:
        engine.hold("payee", payee)
        engine.db.execute(
            "insert into payout.discrepancies (kind, advice) values ('differs_at_stripe', 'Look.')"
        )
    found = sections(engine.db, p_rows=2)
    assert [(found[name][0], len(found[name][1])) for name in ("holds", "discrepancies")] == [
        (5, 2),
        (5, 2),
    ]


def test_a_hold_on_the_engine_is_never_cut(engine: Engine) -> None:
    engine.settle()
    engine.hold("payee", "seller_1")
    engine.hold("engine")
    assert sections(engine.db, p_rows=1)["holds"][1][0]["scope"] == "engine"


@mutant(
    "days of another number",
    "summary",
    "greatest(p_days, 1) + 1, 'infinity'",
    "p_days, 'infinity'",
)
def test_so_many_days_are_shown_with_today(busy: Engine) -> None:
    # Something was booked today, two and five days ago.
    for days, shown in ((30, 3), (3, 2), (2, 1), (1, 1), (0, 1)):
        found = sections(busy.db, p_days=days)["days"][1]
        assert len({row["day"] for row in found}) == shown, days


def test_an_installation_without_a_transfer_has_a_summary(engine: Engine) -> None:
    found = sections(engine.db)
    assert {"installation"} <= set(found)
    assert {"overview", "days", "unpaid", "books"}.isdisjoint(found)


@pytest.mark.parametrize(
    ("role", "is_allowed"),
    [
        ("payout_auditor", True),
        ("payout_operator", True),
        ("payout_app", False),
        ("payout_worker", False),
        ("payout_approver", False),
    ],
)
def test_auditors_and_operators_may_read_it(
    role: str, is_allowed: bool, act: Callable[[str], Connection]
) -> None:
    if is_allowed:
        assert sections(act(role))
    else:
        assert refusal(act(role), "select * from payout_api.summary()") == Refusal(
            "42501", "permission denied for function summary"
        )
