"""Balances of each account at a time, read from entries or from sub-totals."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import pytest

from tests.audit.sealing import (
    let_a_minute_pass,
    let_transactions_end,
    seal,
    seal_everything,
    seals,
    value,
)
from tests.conftest import Connection
from tests.engine import Engine, no_such_account, success, unguarded
from tests.mutants import mutant
from tests.schema.refusals import Refusal, refusal

AS_OF: Final = "select account, currency, balance_minor from payout_api.balances_as_of(%s)"
# The same, from the entries alone.
PLAIN: Final = """
    select m.account, e.currency, sum(m.amount_minor)::bigint
    from payout.ledger_entries as e
    cross join lateral (values
        (e.debit_account, -e.amount_minor), (e.credit_account, e.amount_minor)
    ) as m (account, amount_minor)
    where e.created_at <= %s
    group by m.account, e.currency
    """
CONTROL_TOTALS: Final = """
    select at::text, account, currency, debit_minor, credit_minor, debits, credits
    from payout_api.account_totals_at(
        %s::timestamptz[], array(select account from payout.ledger_accounts))
    order by 1, 2, 3
    """
PLAIN_CONTROL_TOTALS: Final = """
    select t.at::text, split_part(m.account, ':', 1), e.currency, sum(m.debit_minor),
        sum(m.credit_minor), sum(m.debits), sum(m.credits)
    from unnest(%s::timestamptz[]) as t (at)
    join payout.ledger_entries as e on e.created_at <= t.at
    cross join lateral (values
        (e.debit_account, e.amount_minor, 0, 1, 0), (e.credit_account, 0, e.amount_minor, 0, 1)
    ) as m (account, debit_minor, credit_minor, debits, credits)
    group by 1, 2, 3 order by 1, 2, 3
    """
# Rows of the ledger that this session has read and its index entries, without those it reported.
ROWS_READ: Final = """
    select sum(pg_stat_get_xact_tuples_fetched(c.oid) + pg_stat_get_xact_tuples_returned(c.oid))
    from pg_class as c
    where c.oid = 'payout.ledger_entries'::regclass or c.oid in (
        select i.indexrelid from pg_index as i
        where i.indrelid = 'payout.ledger_entries'::regclass)
    """
CALL: Final = "select * from payout_api.balances_as_of(now())"

Balances = dict[str, int]


def as_of(db: Connection, moment: datetime | str) -> Balances:
    """Return what stands on each account, in one currency."""
    return {account: balance for account, _, balance in db.execute(AS_OF, [moment])}


def assert_plain(db: Connection, *moments: datetime | str) -> None:
    """Fail unless balances at these moments are what the entries alone say."""
    for moment in moments:
        plain = db.execute(PLAIN, [moment]).fetchall()
        assert sorted(db.execute(AS_OF, [moment]).fetchall()) == sorted(plain), moment


def moments(db: Connection) -> list[datetime | str]:
    """Return every moment at which something was booked, those right before, and the ends."""
    found = db.execute(
        "select distinct m from payout.ledger_entries as e cross join lateral "
        "(values (e.created_at), (e.created_at - interval '1 us')) as v (m) order by 1"
    )
    return ["-infinity", *(moment for (moment,) in found), "infinity"]


def pay(engine: Engine, number: int, *payees: str, currency: str = "usd") -> None:
    """Settle, and pay the first of the payees."""
    engine.settle(*payees, settlement_id=f"set_{number}", currency=currency)
    claim, *_ = engine.claim()
    engine.report(success(claim, stripe_transfer_id=f"tr_{number}"))


def test_a_balance_is_what_stood_there_then(shared_engine: Engine) -> None:
    db = shared_engine.db
    before: datetime = value(db, "select clock_timestamp()")
    shared_engine.settle(amount_minor=700)
    settled: datetime = value(db, "select clock_timestamp()")
    shared_engine.report(success(shared_engine.claim_one()))
    paid: datetime = value(db, "select clock_timestamp()")
    history: list[tuple[datetime | str, Balances]] = [
        (before, {}),
        (settled, {"settlement_funds": -700, "payable:seller_1": 0, "in_flight": 700}),
        (
            paid,
            {
                "settlement_funds": -700,
                "payable:seller_1": 0,
                "in_flight": 0,
                "stripe_balance": 700,
            },
        ),
    ]
    assert [(moment, as_of(db, moment)) for moment, _ in history] == history
    seal_everything(db)
    assert [(moment, as_of(db, moment)) for moment, _ in history] == history


def test_an_entry_counts_from_the_moment_its_transaction_began(shared_engine: Engine) -> None:
    db = shared_engine.db
    with db.transaction():
        begun: datetime = value(db, "select now()")
        before_insert: datetime = value(db, "select clock_timestamp()")
        Engine(db).settle()
    for moment, counts in ((begun, True), (before_insert, True)):
        assert (as_of(db, moment) != {}) is counts
    assert as_of(db, value(db, f"select '{begun}'::timestamptz - interval '1 us'")) == {}


@mutant(
    "the control account beside those of payees",
    "balances_as_of",
    "\n    where t.account <> 'payable'",
    "",
)
def test_subtotals_say_what_the_entries_say_at_every_moment(shared_engine: Engine) -> None:
    db = shared_engine.db
    for number in range(1, 5):
        pay(shared_engine, number, "seller_1", f"seller_{number + 1}")
        pay(shared_engine, number + 10, "seller_2", currency="eur")
        if number != 2:
            seal_everything(db)
    pay(shared_engine, 99, "seller_9")
    assert len(seals(db, "ledger_entries")) == 3
    assert_plain(db, *moments(db))


@mutant(
    "a past that forgets old entries in young seals",
    "ledger_ranges_at",
    "@> p_at",
    "@> p_at and false",
)
def test_an_entry_of_a_long_transaction_is_found_behind_younger_seals(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    """It is written late, under a high number, and counts from long before."""
    db = shared_engine.db
    slow = Engine(connect())
    with slow.db.transaction():
        begun: datetime = value(slow.db, "select now()")
        pay(shared_engine, 1, "seller_1")
        seal_everything(db)
        slow.settle("seller_2", settlement_id="set_slow")
    assert_plain(db, begun, *moments(db))
    pay(shared_engine, 2, "seller_1")
    seal_everything(db)
    assert set(as_of(db, begun)) == {"settlement_funds", "payable:seller_2", "in_flight"}
    assert_plain(db, begun, *moments(db))


@mutant(
    "balances that forget rows above what is sealed and below the mark",
    "ledger_ranges_at",
    "select null, coalesce(max(s.last_id) + 1, -9223372036854775808), 9223372036854775807",
    "select null, max(m.marked_id) + 1, 9223372036854775807 from payout.seal_marks as m where "
    "m.table_name = 'ledger_entries' union all select null, max(s.last_id) + 1, 0",
)
@mutant(
    "subtotals that forget late rows",
    "subtotals_of",
    "between p_seal.first_id and p_seal.last_id",
    "= p_seal.last_id",
)
def test_a_row_that_commits_late_with_a_lower_id_is_not_forgotten(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    db = shared_engine.db
    slow = Engine(connect())
    with slow.db.transaction():
        slow.settle("seller_1", settlement_id="set_slow")
        shared_engine.settle("seller_2", settlement_id="set_quick")
        for _ in range(3):
            let_a_minute_pass(db)
            seal(db)
        assert_plain(db, "infinity")
    assert_plain(db, "infinity")
    assert as_of(db, "infinity")["in_flight"] == 3000
    let_a_minute_pass(db)
    let_transactions_end(db)
    # Entries and transfers, jobs and accounts; the installation's adoptions and acts.
    assert seal(db) == (4 + 2) + (2 + 2) + (2 + 1 + 1)
    assert_plain(db, "infinity")


def test_balances_read_only_what_is_not_sealed(shared_engine: Engine) -> None:
    db = shared_engine.db
    payees = [f"seller_{number}" for number in range(20)]
    for number in range(60):
        shared_engine.settle(*payees, settlement_id=f"set_{number}")
    seal_everything(db)
    shared_engine.settle("seller_1", settlement_id="set_last")
    then = value(db, "select max(rows_until) from payout.seals where last_id < 2400")

    def rows_read(moment: datetime | str) -> int:
        with db.transaction():
            before = value(db, ROWS_READ)
            as_of(db, moment)
            return int(value(db, ROWS_READ) - before)

    assert as_of(db, "infinity")["in_flight"] == 1500 * 1201
    assert rows_read("infinity") < 20
    # And the past is read from the sub-totals of the past, and one range of entries.
    assert rows_read(then) < 2100


def test_what_is_asked_of_no_moment_is_nothing(engine: Engine) -> None:
    engine.settle()
    assert engine.db.execute("select * from payout_api.balances_as_of(null)").fetchall() == []


def test_the_view_is_the_balance_of_now(engine: Engine) -> None:
    engine.settle()
    rows = engine.db.execute("select * from payout_api.ledger_balances order by 1").fetchall()
    assert [row[:-1] for row in rows] == [
        ("in_flight", "usd", 0, 15, 15, 0, 1500, 1500, 0, 1),
        ("payable", "usd", 15, 15, 0, 1500, 1500, 0, 1, 1),
        ("settlement_funds", "usd", 15, 0, -15, 1500, 0, -1500, 1, 0),
    ]
    assert rows[1][-1].startswith("Owed to a payee")


@mutant(
    "a payee whose account begins like another's",
    "account_totals_at",
    " and t.account <= s.last_account",
    "",
)
@mutant(
    "a payee with the unsealed entries of others",
    "account_totals_at",
    "(a.account = any (p_accounts) or (p_accounts is null and a.account is not null))",
    "a.account is not null",
)
def test_the_balance_of_one_payee_is_the_one_that_all_balances_have(shared_engine: Engine) -> None:
    db = shared_engine.db
    for number in range(1, 4):
        shared_engine.settle("seller_2", "seller_22", "seller_3", settlement_id=f"set_{number}")
        pay(shared_engine, number + 10, "seller_2", "seller_3", currency="eur")
        if number < 3:
            seal_everything(db)
    shared_engine.report(*(no_such_account(claim) for claim in shared_engine.claim()))
    every = db.execute(AS_OF, ["infinity"]).fetchall()
    for payee in ("seller_1", "seller_2", "seller_22", "seller_3", ""):
        one = db.execute(
            "select account, currency, balance_minor "
            "from payout_api.balances_as_of('infinity', %s)",
            [payee],
        ).fetchall()
        assert sorted(one) == sorted(row for row in every if row[0] == f"payable:{payee}")


def test_general_accounts_have_at_each_time_what_was_booked_by_then(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    db = shared_engine.db
    slow = Engine(connect())
    with slow.db.transaction():
        slow.db.execute("select now()")
        pay(shared_engine, 1, "seller_1", "seller_2")
        seal_everything(db)
        slow.settle("seller_2", settlement_id="set_slow", currency="eur")
    for number in (2, 3):
        pay(shared_engine, number, "seller_3", currency="eur")
        seal_everything(db)
    pay(shared_engine, 4, "seller_1")
    times = [str(moment) for moment in moments(db)]
    found = db.execute(CONTROL_TOTALS, [times]).fetchall()
    assert len(found) > 50
    assert found == db.execute(PLAIN_CONTROL_TOTALS, [times]).fetchall()


def test_a_currency_whose_entries_are_all_gone_is_in_the_trial_balance(engine: Engine) -> None:
    engine.settle()
    with engine.db.transaction(force_rollback=True):
        with unguarded(engine.db, "payout.ledger_entries"):
            engine.db.execute("delete from payout.ledger_entries")
        assert trial_balance(engine.db) == [("usd", 0, 0, 0, 0, 1500)]
    assert trial_balance(engine.db) == [("usd", 3000, 3000, 0, 1500, 1500)]


def trial_balance(db: Connection) -> list[tuple[Any, ...]]:
    return db.execute("select * from payout_api.trial_balance order by currency").fetchall()


@pytest.mark.parametrize("query", [CALL, "select * from payout_api.ledger_balances"])
def test_operators_and_auditors_may_look_and_nobody_else(
    visit: Callable[..., Connection], query: str
) -> None:
    for role in ("payout_operator", "payout_auditor"):
        assert refusal(visit(role), query) is None
        assert refusal(visit(role), "select * from payout_api.trial_balance") is None
    for role in ("payout_app", "payout_worker"):
        refused = refusal(visit(role), query)
        assert refused is not None
        assert refused.sqlstate == "42501"


def test_the_refusal_names_the_function(visit: Callable[..., Connection]) -> None:
    assert refusal(visit("payout_worker"), CALL) == Refusal(
        "42501", "permission denied for function balances_as_of"
    )


@mutant(
    "sub-totals that a bigint must hold",
    "subtotals_of",
    "coalesce(f.debit_minor, 0) + m.debit_minor,",
    "(coalesce(f.debit_minor, 0) + m.debit_minor)::bigint,",
)
def test_sums_that_no_bigint_holds_stop_nothing(shared_engine: Engine) -> None:
    """An application can settle such amounts; the ledger is sealed, and every view adds up."""
    engine, largest = shared_engine, 2**63 - 1
    for number in range(3):
        engine.settle(settlement_id=f"set_{number}", amount_minor=largest)
        seal_everything(engine.db)

    assert len(seals(engine.db, "ledger_entries")) == 3
    assert as_of(engine.db, "infinity")["in_flight"] == 3 * largest
    assert trial_balance(engine.db) == [
        ("usd", 6 * largest, 6 * largest, 0, 3 * largest, 3 * largest)
    ]
    ((amount, amount_minor),) = engine.db.execute(
        "select amount, amount_minor from payout_api.overview"
    ).fetchall()
    assert (str(amount), amount_minor) == ("276701161105643274.21", 3 * largest)
    assert [claim.request["amount"] for claim in engine.claim()] == [largest] * 3
    assert engine.db.execute("select * from payout_api.verify_seals()").fetchall() == []
    assert engine.db.execute("select * from payout_api.verify_books()").fetchall() == []
