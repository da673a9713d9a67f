"""The application reads each change of status and each reversal, once, from its cursor on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.application.reading import READ, Outcome, drawn, read, told
from tests.conftest import Connection
from tests.engine import (
    Engine,
    no_answer,
    no_such_account,
    rate_limited,
    success,
    unfunded,
)
from tests.mutants import mutant
from tests.reconcile.listing import with_account
from tests.reconcile.test_reversals import report as report_reversals
from tests.reconcile.test_reversals import reversal, see_reversed
from tests.schema.refusals import Refusal, refusal


@pytest.fixture
def start(engine: Engine) -> int:
    """The cursor with which a test begins."""
    return drawn(engine.db)


def test_a_payment_is_told_in_two_rows_and_its_start_in_none(engine: Engine, start: int) -> None:
    engine.settle()
    assert read(engine.app, start) == []
    engine.report(success(engine.claim_one()))
    sending, paid = read(engine.app, start)
    assert sending == Outcome(
        *(sending.outcome_id, "set_1", "seller_1", None, 1500, "usd", "sending", None, None),
        *(sending.changed_at, 0),
    )
    assert paid == Outcome(
        *(paid.outcome_id, "set_1", "seller_1", None, 1500, "usd", "paid", None, "tr_1"),
        *(paid.changed_at, 0),
    )
    assert start < sending.outcome_id < paid.outcome_id
    assert sending.changed_at <= paid.changed_at


def test_it_is_read_page_by_page_from_the_cursor(engine: Engine, start: int) -> None:
    engine.settle(*(f"seller_{number}" for number in range(7)))
    engine.claim()
    everything = read(engine.app, start)
    assert len(everything) == 7
    pages = []
    after = start
    while page := read(engine.app, after, 3):
        pages.append(page)
        after = page[-1].outcome_id
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [outcome for page in pages for outcome in page] == everything


def test_a_move_that_leaves_the_status_is_not_told(engine: Engine, start: int) -> None:
    engine.settle()
    engine.report(no_answer(engine.claim_one()))
    engine.make_due()
    engine.report(rate_limited(engine.claim_one()))
    engine.let_pass("21 hours")
    engine.sweep()
    assert told(engine, start) == [("sending", None)]


def test_a_failure_is_told_with_its_reason_and_the_next_key_after_it(
    engine: Engine, start: int
) -> None:
    engine.settle("seller_1", "seller_2")
    first, second = engine.claim()
    engine.report(unfunded(first))
    engine.report(no_such_account(second))
    engine.make_due()
    engine.sweep()
    engine.claim()
    assert [(row.payee_id, row.status, row.reason) for row in read(engine.app, start)[2:]] == [
        ("seller_1", "failed", "balance_insufficient"),
        ("seller_2", "failed", "no_such_account_or_charge"),
        ("seller_1", "scheduled", None),
        ("seller_1", "sending", None),
    ]


@mutant(
    "a hold that is never told",
    "tg_transfer_states__tell_status",
    "when c.hold_id is null then b.status",
    "when true then b.status",
)
@mutant("a hold without its scope", "outcomes_since", "h.scope || ", "")
@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        ("currency", "usd"),
        ("payee", "seller_1"),
        ("settlement", "set_1"),
        ("transfer", "its id"),
    ],
)
def test_a_hold_is_told_once_it_keeps_back_a_transfer_that_is_due(
    engine: Engine, start: int, scope: str, subject: str
) -> None:
    (transfer,) = engine.settle()
    engine.settle("seller_1", settlement_id="later", pay_after="2100-01-01Z")
    engine.hold(scope, str(transfer) if subject == "its id" else subject)
    assert read(engine.app, start) == []
    engine.let_pass("1 minute")
    engine.sweep()
    engine.sweep()
    engine.release_holds()
    assert told(engine, start) == [("on_hold", f"{scope}_on_hold"), ("scheduled", None)]


@mutant("a wait without its name", "outcomes_since", "'waits_for_' || h.awaits, ", "")
def test_a_wait_is_told_by_what_it_waits_for(engine: Engine, start: int) -> None:
    engine.settle("seller_2", settlement_id="set_0")
    engine.report(unfunded(engine.claim_one()))
    (waiting,) = engine.settle()
    engine.let_pass("1 minute")
    engine.sweep()
    engine.end_waits()
    rows = [row for row in read(engine.app, start) if row.settlement_id == "set_1"]
    assert [(row.status, row.reason) for row in rows] == [
        ("on_hold", "waits_for_funds"),
        ("scheduled", None),
    ]
    assert engine.progress(waiting).state == "scheduled"


def test_a_hold_on_the_engine_tells_nothing(engine: Engine, start: int) -> None:
    engine.settle()
    engine.hold("engine")
    engine.let_pass("1 minute")
    engine.sweep()
    engine.release_holds()
    assert read(engine.app, start) == []


def test_a_transfer_that_may_be_at_stripe_is_not_told_as_held(engine: Engine, start: int) -> None:
    engine.settle("seller_1", "seller_2")
    first, second = engine.claim()
    engine.report(no_answer(first), rate_limited(second))
    engine.hold("payee", "seller_1")
    engine.hold("payee", "seller_2")
    engine.make_due()
    engine.sweep()
    assert [(row.payee_id, row.status) for row in read(engine.app, start)[2:]] == [
        ("seller_2", "on_hold")
    ]
    # Paid by a late answer, under the hold.
    engine.report(success(second))
    assert read(engine.app, start)[-1].status == "paid"


@mutant(
    "reversals that are not told",
    "book_reversals",
    "if v_booked > 0 then",
    "if v_booked > 1000 then",
)
@mutant(
    "a reversal that is told again and again",
    "book_reversals",
    "if v_booked > 0 then",
    "if true then",
)
def test_reversals_are_told_with_their_sum(engine: Engine, start: int) -> None:
    with_account(engine).settle()
    engine.report(success(engine.claim_one()))
    see_reversed(engine, 500)
    report_reversals(engine, reversal(1, 500))
    see_reversed(engine, 900)
    report_reversals(engine, reversal(1, 500), reversal(2, 300), reversal(3, 100))
    report_reversals(engine, reversal(1, 500), reversal(2, 300), reversal(3, 100))
    assert [
        (row.status, row.stripe_transfer_id, row.reversed_minor)
        for row in read(engine.app, start)[1:]
    ] == [("paid", "tr_1", 0), ("paid", "tr_1", 500), ("paid", "tr_1", 900)]


def test_a_move_by_hand_is_told_too(engine: Engine, start: int) -> None:
    (transfer,) = engine.settle()
    engine.db.execute("set local session_replication_role = replica")
    engine.db.execute(
        "update payout.transfer_states set state = 'cancelled', next_attempt_at = null, "
        "reason = 'the buyer gave it back' where payout_transfer_id = %s",
        [transfer],
    )
    assert told(engine, start) == [("cancelled", "the buyer gave it back")]
    engine.db.execute("set local session_replication_role = origin")
    # The facts and the books have to follow by hand, too.
    engine.db.execute(
        "insert into payout.transfer_observations (payout_transfer_id, generation, attempt, "
        "signal, verdict, moved_to) values (%s, 1, 0, 'cancel', 'ok', 'cancelled')",
        [transfer],
    )
    engine.db.execute(
        "insert into payout.ledger_entries (payout_transfer_id, kind, generation, debit_account, "
        "credit_account, amount_minor, currency, operator_action_id) values "
        "(%s, 'cancel', 1, 'in_flight', 'settlement_funds', 1500, 'usd', 1)",
        [transfer],
    )


@pytest.mark.parametrize(
    ("after", "limit", "message"),
    [
        ("0", "null", "cannot read null outcomes after 0"),
        ("0", "0", "cannot read 0 outcomes after 0"),
        ("0", "10001", "cannot read 10001 outcomes after 0"),
        ("null", "1", "cannot read 1 outcomes after null"),
    ],
)
def test_a_limit_or_cursor_that_cannot_be_one_is_refused(
    engine: Engine, after: str, limit: str, message: str
) -> None:
    assert refusal(
        engine.app, f"select * from payout_api.outcomes_since({after}, {limit})"
    ) == Refusal("SP315", message)


@mutant("a cursor from the future", "outcomes_since", " or p_after > v_drawn", "")
def test_a_cursor_that_is_ahead_of_the_database_is_refused(engine: Engine, start: int) -> None:
    """The database went back in time: ids that were read are given to other outcomes."""
    assert refusal(engine.app, READ, [start + 1, 1]) == Refusal(
        "SP315", f"cannot read 1 outcomes after {start + 1}"
    )
    assert read(engine.app, start) == []


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@mutant(
    "an old snapshot",
    "outcomes_since",
    "or current_setting('transaction_isolation') <> 'read committed' then",
    "then",
)
def test_an_older_snapshot_is_refused(shared_engine: Engine, level: str) -> None:
    shared_engine.app.execute(f"set default_transaction_isolation = '{level}'")
    assert refusal(shared_engine.app, READ, [0, 1]) == Refusal(
        "SP401", f"no outcomes are read in a transaction that is {level}"
    )


def test_a_read_only_transaction_may_read(shared_engine: Engine) -> None:
    shared_engine.settle()
    shared_engine.claim()
    shared_engine.app.execute("set default_transaction_read_only = on")
    assert len(read(shared_engine.app)) == 1


@pytest.mark.parametrize("role", ["payout_worker", "payout_operator", "payout_auditor"])
def test_only_the_application_reads_them(visit: Callable[..., Connection], role: str) -> None:
    assert refusal(visit(role), READ, [0, 1]) == Refusal(
        "42501", "permission denied for function outcomes_since"
    )
