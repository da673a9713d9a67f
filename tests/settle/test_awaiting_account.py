"""Earnings of a payee without a Stripe account are owed and wait; the account lets them go out."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import pytest

from tests.conftest import Connection
from tests.engine import Engine, success, unguarded
from tests.engine import listed as listed_again
from tests.mutants import mutant
from tests.reconcile.listing import ACCOUNT, reconcile, with_account
from tests.schema.refusals import Refusal, refusal_of
from tests.settle.marketplace import complete, jobs, line, register, settle, transfers

NEWCOMER: Final = [line("1", "newcomer", 1500)]
CALL: Final = (
    "select payout_api.complete_settlement(p_settlement_id => %s, p_currency => 'usd', "
    'p_lines => \'[{"line_id":"1","payee_id":"newcomer","amount_minor":1500}]\', '
    "p_register_payees => %s)"
)


@pytest.fixture
def db(engine: Engine) -> Connection:
    engine.app.execute("select payout_api.register_payee(p_payee_id => 'newcomer')")
    return engine.db


def states(db: Connection) -> list[tuple[Any, ...]]:
    """Return state, reason, and whether it is due, of each transfer by its payee."""
    return db.execute(
        "select t.settlement_id, t.payee_id, s.state, s.reason, s.next_attempt_at <= payout.clock()"
        " from payout.transfer_states as s join payout.payout_transfers as t "
        "using (payout_transfer_id) order by t.settlement_id, t.payee_id"
    ).fetchall()


def open_waits(db: Connection) -> int:
    ((found,),) = db.execute(
        "select count(*) from payout.account_waits where next_look_at is not null"
    ).fetchall()
    return int(found)


def books_problems(db: Connection) -> list[tuple[Any, ...]]:
    return [
        *db.execute("select * from payout_api.verify_settlements()").fetchall(),
        *db.execute("select * from payout_api.verify_books()").fetchall(),
        *db.execute("select * from payout_api.verify_projection()").fetchall(),
    ]


@pytest.mark.parametrize("act", [complete, settle])
def test_what_a_payee_without_an_account_earns_is_booked_and_has_no_date(
    act: Any, engine: Engine, db: Connection
) -> None:
    act(engine.app, "set_1", NEWCOMER)
    db.execute("set constraints all immediate; set constraints all deferred")

    assert states(db) == [("set_1", "newcomer", "scheduled", "awaiting_account", None)]
    (transfer,) = [n for (n,) in db.execute("select payout_transfer_id from payout.account_waits")]
    assert engine.entries(transfer) == [
        ("obligation", 1, "settlement_funds", "payable:newcomer", 1500),
        ("reserve", 1, "payable:newcomer", "in_flight", 1500),
    ]
    assert engine.claim() == []
    engine.sweep()
    assert engine.claim() == []
    assert books_problems(db) == []


def test_a_payee_may_be_registered_with_a_null_account(engine: Engine, db: Connection) -> None:
    for _ in range(2):
        engine.app.execute(
            "select payout_api.register_payee(p_payee_id => 'x', p_stripe_account_id => null)"
        )

    complete(engine.app, "set_1", [line("1", "x", 5)])

    assert states(db) == [("set_1", "x", "scheduled", "awaiting_account", None)]


@mutant(
    "a transfer that is due before its payee has an account",
    "create_transfers",
    "case when o.has_account then coalesce(p_settlement.pay_after, current_timestamp) end,",
    "coalesce(p_settlement.pay_after, current_timestamp),",
)
def test_only_the_payees_without_an_account_wait(engine: Engine, db: Connection) -> None:
    register(engine.app, "seller_1", "seller_2")
    lines = [
        line("1", "seller_1", 700),
        line("2", "newcomer", 300, source_transaction="ch_1"),
        line("3", "newcomer", 200),
        line("4", "seller_2", 5),
    ]

    complete(engine.app, "set_1", lines)

    assert states(db) == [
        ("set_1", "newcomer", "scheduled", "awaiting_account", None),
        ("set_1", "newcomer", "scheduled", "awaiting_account", None),
        ("set_1", "seller_1", "scheduled", None, True),
        ("set_1", "seller_2", "scheduled", None, True),
    ]
    assert [claim.request["destination"] for claim in engine.claim()] == [
        "acct_seller_1",
        "acct_seller_2",
    ]
    assert books_problems(db) == []


def test_unpaid_says_that_the_payee_is_next(engine: Engine, db: Connection) -> None:
    complete(engine.app, "set_1", NEWCOMER)

    assert db.execute(
        "select state, reason, whose_turn, destination, next_attempt_at, advice "
        "from payout_api.unpaid"
    ).fetchall() == [
        (
            "scheduled",
            "awaiting_account",
            "payee",
            None,
            None,
            "The payee has no Stripe account yet: register_payee, and it goes out by itself.",
        )
    ]


@mutant(
    "an account that lets nothing go out",
    "register_payee",
    "    if v_waiting_ids <> '{}' then",
    "    if false then",
)
def test_an_account_lets_what_waited_go_out(engine: Engine, db: Connection) -> None:
    complete(engine.app, "set_1", NEWCOMER)
    complete(engine.app, "set_2", NEWCOMER)
    engine.app.execute("select payout_api.register_payee('other')")
    complete(engine.app, "set_3", [line("1", "other", 5)])

    engine.app.execute("select payout_api.register_payee('newcomer', 'acct_new')")

    assert states(db) == [
        ("set_1", "newcomer", "scheduled", None, True),
        ("set_2", "newcomer", "scheduled", None, True),
        ("set_3", "other", "scheduled", "awaiting_account", None),
    ]
    assert open_waits(db) == 1
    claims = engine.claim()
    assert [claim.request["destination"] for claim in claims] == ["acct_new"] * 2
    assert [row.state for row in engine.report(*(
        success(claim, stripe_transfer_id=f"tr_{n}") for n, claim in enumerate(claims)
    ))] == ["paid"] * 2  # fmt: skip
    assert books_problems(db) == []


def test_an_account_queues_a_wake_up_job_for_each_hundred(engine: Engine, db: Connection) -> None:
    for number in range(101):
        complete(engine.app, f"set_{number}", NEWCOMER)
    queued = "select count(*) from procrastinate.procrastinate_jobs where status = 'todo'"
    assert db.execute(queued).fetchall() == [(0,)]

    register(engine.app, "newcomer")

    assert db.execute(queued).fetchall() == [(2,)]
    assert db.execute(
        "select count(distinct s.wakeup_id), count(*) from payout.transfer_states as s "
        "join procrastinate.procrastinate_jobs as q on q.id = s.wakeup_id"
    ).fetchall() == [(2, 101)]


def test_a_repeated_registration_dates_nothing_anew(engine: Engine, db: Connection) -> None:
    complete(engine.app, "set_1", NEWCOMER)
    register(engine.app, "newcomer")
    (first,) = db.execute("select to_jsonb(s) from payout.transfer_states as s").fetchall()

    register(engine.app, "newcomer")
    engine.app.execute("select payout_api.register_payee('newcomer')")
    engine.app.execute("select payout_api.register_payee('newcomer', 'acct_other')")

    assert db.execute("select to_jsonb(s) from payout.transfer_states as s").fetchall() == [first]


@pytest.mark.parametrize(
    ("pay_after", "is_due"),
    [("now() + interval '2 days'", False), ("now() - interval '1 hour'", True)],
    ids=["ahead", "passed"],
)
def test_it_goes_out_no_earlier_than_pay_after(
    pay_after: str, is_due: bool, engine: Engine, db: Connection
) -> None:
    ((moment,),) = db.execute(f"select {pay_after}".encode()).fetchall()
    complete(engine.app, "set_1", NEWCOMER, pay_after=moment)
    assert states(db) == [("set_1", "newcomer", "scheduled", "awaiting_account", None)]

    register(engine.app, "newcomer")

    assert states(db) == [("set_1", "newcomer", "scheduled", None, is_due)]
    assert db.execute(
        "select next_attempt_at = %s or %s from payout.transfer_states", [moment, is_due]
    ).fetchall() == [(True,)]
    doctor = db.execute(
        "select check_name from payout_api.doctor() where status = 'failure'"
    ).fetchall()
    assert ("every date is one that was decided",) not in doctor


@mutant(
    "a late first send after a wait, without a look",
    "date_waiting_transfers",
    "                else o.owed_at\n",
    "                else v_now\n",
)
def test_one_that_waited_longer_than_a_key_lives_is_looked_for_first(
    engine: Engine, db: Connection
) -> None:
    """The database may have gone back to a time before the account, and forgotten the send."""
    complete(engine.app, "set_1", NEWCOMER)
    with unguarded(db, "payout.payout_transfers"):
        db.execute("update payout.payout_transfers set created_at = now() - interval '45 hours'")

    register(engine.app, "newcomer")

    assert engine.claim() == []
    engine.sweep()
    assert engine.look_up() == (True, "ok", "scheduled")
    assert engine.claim_one().request["destination"] == "acct_newcomer"


@mutant(
    "a wait that revives a transfer",
    "date_waiting_transfers",
    "            and s.state = 'scheduled'\n",
    "",
)
def test_a_transfer_that_was_withdrawn_meanwhile_does_not_go_out(
    engine: Engine, db: Connection
) -> None:
    complete(engine.app, "set_1", NEWCOMER)
    with db.transaction(force_rollback=True):
        db.execute("update payout.transfer_states set state = 'cancelled', reason = null")

        register(engine.app, "newcomer")

        assert states(db) == [("set_1", "newcomer", "cancelled", None, None)]
        assert open_waits(db) == 0


def test_it_is_paid_to_the_account_that_the_payee_has_when_it_is_sent(
    engine: Engine, db: Connection
) -> None:
    complete(engine.app, "set_1", NEWCOMER)
    engine.app.execute("select payout_api.register_payee('newcomer', 'acct_first')")
    hold_id = engine.hold("payee", "newcomer")
    engine.app.execute("select payout_api.register_payee('newcomer', 'acct_second')")
    shown = "select destination, whose_turn from payout_api.unpaid"
    assert db.execute(shown).fetchall() == [("acct_second", "operator")]
    assert engine.claim() == []

    engine.operator.execute("select payout_api.release_hold(%s, 'looked')", [hold_id])

    claim = engine.claim_one()
    assert claim.request["destination"] == "acct_second"
    # From the first claim on the account belongs to the key.
    engine.app.execute("select payout_api.register_payee('newcomer', 'acct_third')")
    assert db.execute(shown).fetchall() == [("acct_second", "stripe")]


@pytest.mark.parametrize("is_known", [True, False])
def test_a_settlement_registers_unknown_payees_if_asked(
    is_known: bool, engine: Engine, db: Connection
) -> None:
    if not is_known:
        with unguarded(db, "payout.payees"):
            db.execute("delete from payout.payees")

    (first,) = engine.app.execute(CALL, ["set_1", True]).fetchall()
    (again,) = engine.app.execute(CALL, ["set_1", True]).fetchall()

    assert again == first
    assert db.execute("select payee_id from payout.payees").fetchall() == [("newcomer",)]
    assert states(db) == [("set_1", "newcomer", "scheduled", "awaiting_account", None)]


@pytest.mark.parametrize("asked", [False, None])
def test_a_settlement_names_an_unknown_payee_unless_asked(
    asked: bool | None, engine: Engine, db: Connection
) -> None:
    with unguarded(db, "payout.payees"):
        db.execute("delete from payout.payees")

    refused = refusal_of(db, lambda: engine.app.execute(CALL, ["set_1", asked]))

    assert refused == Refusal("SP301", "settlement set_1, line 1: payee newcomer is unknown")
    assert jobs(db) == []


def test_registered_with_the_settlement_they_are_known_to_a_pending_one(
    engine: Engine, db: Connection
) -> None:
    """A draft that was inserted names a payee whom the call registers."""
    with unguarded(db, "payout.payees"):
        db.execute("delete from payout.payees")
    db.execute(
        "insert into payout.settlements (settlement_id, currency, total_minor) "
        "values ('set_1', 'usd', 1500)"
    )
    db.execute(
        "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
        "values ('set_1', '1', 'newcomer', 1500)"
    )

    engine.app.execute(CALL, ["set_1", True])

    assert transfers(db) == [("newcomer", None, 1500)]


@mutant(
    "a claim for a payee without an account",
    "freeze_requests",
    "s.payout_transfer_id = any (p_payout_transfer_ids)\n",
    "a.stripe_account_id is not null and s.payout_transfer_id = any (p_payout_transfer_ids)\n",
)
def test_a_dated_transfer_without_an_account_is_set_aside(engine: Engine, db: Connection) -> None:
    """It was dated by hand. The others go out."""
    register(engine.app, "seller_1")
    complete(engine.app, "set_1", NEWCOMER)
    complete(engine.app, "set_2", [line("1", "seller_1", 5)])
    db.execute(
        "update payout.transfer_states set next_attempt_at = now() - interval '1 minute', "
        "reason = null where next_attempt_at is null"
    )
    problems = db.execute("select check_name, detail from payout_api.verify_books()").fetchall()
    assert [name for name, _ in problems] == ["every transfer that is not paid can go on"]

    claims = [*engine.claim(), *engine.claim()]

    assert [claim.request["destination"] for claim in claims] == ["acct_seller_1"]
    assert [kind for kind, *_ in engine.discrepancies()] == ["row_contradicts_facts"]
    assert states(db)[0] == ("set_1", "newcomer", "parked", "row_contradicts_facts", None)


def test_a_wait_that_nobody_looks_at_is_named(engine: Engine, db: Connection) -> None:
    complete(engine.app, "set_1", NEWCOMER)
    db.execute("update payout.account_waits set next_look_at = null")

    problems = db.execute("select check_name from payout_api.verify_books()").fetchall()

    assert problems == [("every transfer that is not paid can go on",)]


@mutant(
    "a look-up that nobody can begin while the account is forgotten",
    "lookup_queries",
    "|| coalesce(jsonb_agg(jsonb_build_object('destination', d.destination)), '[]')",
    "|| jsonb_agg(jsonb_build_object('destination', d.destination))",
    at="None",
)
@pytest.mark.parametrize("charge", [None, "ch_1"])
def test_a_transfer_at_stripe_whose_account_a_restore_forgot_is_paid_once_it_is_known_again(
    charge: str | None, engine: Engine, db: Connection
) -> None:
    """It is not sent again: the account may be another one than it was sent to."""
    with_account(engine)
    lookups = partial(engine.claim_lookups, account=(ACCOUNT, False))
    engine.claim_lookups = lookups  # type: ignore[method-assign]
    complete(engine.app, "set_1", [line("1", "newcomer", 1500, source_transaction=charge)])
    with db.transaction(force_rollback=True):
        register(engine.app, "newcomer")
        found = listed_again(engine.claim_one())

    reconcile(db, found)
    assert states(db) == [("set_1", "newcomer", "parked", "answer_contradicts_request", None)]
    assert engine.look_up(found) == (True, "already", "parked")

    register(engine.app, "newcomer")
    engine.make_lookups_due()
    assert engine.look_up(found) == (True, "ok", "paid")
    assert engine.open_holds() == []
    assert db.execute("select * from payout_api.discrepancies").fetchall() == []
    assert books_problems(db) == []
