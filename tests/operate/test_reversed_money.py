"""Money that Stripe took back is listed, and is written off or paid again by a named act."""

from __future__ import annotations

from contextlib import suppress

import pytest
from psycopg.errors import LockNotAvailable
from psycopg.types.json import Jsonb

from tests.engine import Engine, listed, success
from tests.mutants import mutant
from tests.operate.checks import complaints
from tests.operate.test_acts import LARGE, balances
from tests.reconcile.listing import reconcile, with_account
from tests.schema.refusals import Refusal, refusal

WRITE_OFF = "select * from payout_api.write_off('seller_1', 'usd', %s, %s)"
REPAY = "select * from payout_api.repay(%s, %s)"


def reversed_of(engine: Engine, transfer: int) -> list[tuple[int, int, int]]:
    return engine.db.execute(
        "select reversed_minor, closed_minor, open_minor from payout_api.reversed_money "
        "where payout_transfer_id = %s",
        [transfer],
    ).fetchall()


def reverse(engine: Engine, transfer: int, amount: int, number: int = 1) -> None:
    reversal = {"id": f"trr_{transfer}_{number}", "amount": amount}
    engine.db.execute(
        "select payout.book_reversals(t, %s) from payout.payout_transfers as t "
        "where payout_transfer_id = %s",
        [Jsonb([reversal]), transfer],
    )


def repayment(engine: Engine, transfer: int, number: int) -> str:
    """Return the id of the settlement that repays a transfer."""
    ((ref,),) = engine.db.execute(
        "select payout_ref from payout.payout_transfers where payout_transfer_id = %s", [transfer]
    ).fetchall()
    return f"{ref.replace('payout_', 'repay_')}_{number}"


@pytest.fixture
def transfer(engine: Engine) -> int:
    """A paid transfer of which 400 of 1500 were taken back."""
    (transfer,) = engine.settle()
    engine.report(success(engine.claim_one()))
    reverse(engine, transfer, 400)
    return transfer


def test_reversed_money_is_listed_with_the_calls_that_end_it(engine: Engine, transfer: int) -> None:
    row = engine.db.execute(
        "select payee_id, open_minor, what_to_do from payout_api.reversed_money"
    ).fetchone()
    assert row == (
        "seller_1",
        400,
        "Owed to the payee again, and not sent by itself. If it is their loss: select * from "
        "payout_api.write_off('seller_1', 'usd', 400, '…'); if they are to have it: select * from "
        f"payout_api.repay({transfer}, '…').",
    )
    assert balances(engine)["payable:seller_1"] == 400


def test_what_is_written_off_is_owed_no_more(engine: Engine, transfer: int) -> None:
    engine.operator.execute(WRITE_OFF, [150, "their customer disputed it"])
    assert reversed_of(engine, transfer) == [(400, 150, 250)]
    engine.operator.execute(WRITE_OFF, [250, "the rest"])
    assert reversed_of(engine, transfer) == []
    assert balances(engine) == {"settlement_funds": -1100, "stripe_balance": 1100}
    assert engine.db.execute("select * from payout_api.verify_projection()").fetchall() == []


@mutant(
    "more written off than is owed",
    "close_reversed",
    "or p_amount_minor > v_open_minor then",
    "then",
)
def test_asked_twice_it_is_written_off_once(engine: Engine, transfer: int) -> None:
    engine.operator.execute(WRITE_OFF, [400, "why"])
    assert refusal(engine.db, WRITE_OFF, [400, "why"]) == Refusal(
        "SP314",
        "cannot write off 4.00 usd of seller_1, of whom 0.00 reversed are owed, for reason 'why'",
    )


@pytest.mark.parametrize(
    ("amount", "reason"), [(0, "why"), (-1, "why"), (None, "why"), (1, None), (1, " ")]
)
def test_a_write_off_without_what_it_needs_is_refused(
    engine: Engine, transfer: int, amount: int | None, reason: str | None
) -> None:
    refused = refusal(engine.db, WRITE_OFF, [amount, reason])
    assert refused is not None
    assert refused.sqlstate == "SP314"


def test_the_oldest_transfer_is_written_off_first(engine: Engine, transfer: int) -> None:
    (second,) = engine.settle(settlement_id="set_2")
    engine.report(success(engine.claim_one(), stripe_transfer_id="tr_2"))
    reverse(engine, second, 300)
    rows = engine.operator.execute(WRITE_OFF, [500, "why"]).fetchall()
    assert [(row[0], row[4]) for row in rows] == [(transfer, 400), (second, 100)]
    assert reversed_of(engine, second) == [(300, 100, 200)]


def test_reversed_money_is_paid_again_once(engine: Engine, transfer: int) -> None:
    (row,) = engine.operator.execute(REPAY, [transfer, "reversed by mistake"]).fetchall()
    again = row[0]
    assert row[1:3] == (repayment(engine, transfer, 1), "seller_1")
    assert row[4:8] == (400, "usd", "scheduled", "done")
    assert refusal(engine.db, REPAY, [transfer, "once more"]) == Refusal(
        "SP314",
        "cannot repay the usd of seller_1, of whom 0.00 reversed are owed, for reason 'once more'",
    )
    claim = engine.claim_one()
    assert (claim.payout_transfer_id, claim.request["amount"]) == (again, 400)
    engine.report(success(claim, stripe_transfer_id="tr_2"))
    assert balances(engine) == {"settlement_funds": -1500, "stripe_balance": 1500}
    # Taken back once more, it can be paid once more.
    reverse(engine, transfer, 100, number=2)
    (row,) = engine.operator.execute(REPAY, [transfer, "again"]).fetchall()
    assert (row[1], row[4]) == (repayment(engine, transfer, 2), 100)


@mutant(
    "a settlement of somebody else's taken for the repayment",
    "pay_again",
    "from generate_series(1, 1000)",
    "from generate_series(1, 1)",
)
def test_a_repayment_takes_no_settlement_of_that_id_for_its_own(
    engine: Engine, transfer: int
) -> None:
    """The attack: the application has repaid it so before, by an id of the same form."""
    engine.settle(settlement_id=repayment(engine, transfer, 1), amount_minor=400)
    (row,) = engine.operator.execute(REPAY, [transfer, "reversed by mistake"]).fetchall()
    assert (row[1], row[4]) == (repayment(engine, transfer, 2), 400)
    assert sorted(claim.request["amount"] for claim in engine.claim()) == [400, 400]


@mutant(
    "a repayment named by a number that a restored database gives anew",
    "pay_again",
    "replace(v_transfer.payout_ref, 'payout_', 'repay_')",
    "'repay_' || p_payout_transfer_id",
)
def test_a_repayment_that_a_restored_database_has_forgotten_is_not_made_again(
    engine: Engine,
) -> None:
    """The attack: the transfer has another number there, so its repayment had another key."""
    with_account(engine)
    with engine.db.transaction(force_rollback=True):
        (transfer,) = engine.settle()
        first = engine.claim_one()
        engine.report(success(first))
        reverse(engine, transfer, 400)
        engine.operator.execute(REPAY, [transfer, "reversed by mistake"])
        again = engine.claim_one()
    reconcile(engine.db, listed(first, amount_reversed=400), listed(again, id="tr_2"))
    engine.adopt()
    (transfer,) = engine.settle()
    engine.sweep()
    assert engine.progress(transfer).stripe_transfer_id == "tr_1"
    reverse(engine, transfer, 400)

    ((repaid, *_),) = engine.operator.execute(REPAY, [transfer, "reversed by mistake"]).fetchall()

    engine.sweep()
    assert engine.claim() == []
    assert engine.progress(repaid).stripe_transfer_id == "tr_2"
    assert balances(engine) == {"settlement_funds": -1500, "stripe_balance": 1500}


LARGEST = 9_223_372_036_854_775_807


@pytest.mark.parametrize("call", ["write_off('seller_1', 'usd', 1, 'why')", "repay({}, 'why')"])
def test_reversed_money_that_no_bigint_holds_has_a_way_out(engine: Engine, call: str) -> None:
    """The attack: sums of the amounts left the type, and neither call could be made."""
    engine.set(approval_limit_minor=LARGEST)
    for number in (1, 2):
        (transfer,) = engine.settle(settlement_id=f"set_{number}", amount_minor=LARGEST)
        engine.report(success(engine.claim_one(), stripe_transfer_id=f"tr_{number}"))
        reverse(engine, transfer, LARGEST)
    rows = engine.operator.execute(
        f"select result from payout_api.{call.format(transfer)}".encode()
    ).fetchall()
    assert rows == [("done",)]


@mutant(
    "an approval that pays what was reversed since",
    "do_proposed",
    "v_ids[1], (v_details ->> 'amount_minor')::bigint, p_proposal.reason);",
    "v_ids[1], (select open_minor from payout_api.reversed_money), p_proposal.reason);",
)
def test_an_approval_repays_the_amount_that_was_proposed(engine: Engine) -> None:
    (transfer,) = engine.settle(amount_minor=3 * LARGE)
    engine.report(success(engine.claim_one()))
    reverse(engine, transfer, LARGE)
    engine.operator.execute(REPAY, [transfer, "why"])
    reverse(engine, transfer, LARGE, number=2)
    engine.approve()
    assert engine.claim_one().request["amount"] == LARGE
    assert reversed_of(engine, transfer) == [(2 * LARGE, LARGE, LARGE)]


@mutant(
    "a large amount repaid by one person",
    "repay",
    "elsif v_owed.amount_minor > (",
    "elsif 0 > (",
)
def test_a_large_amount_is_repaid_by_two_people(engine: Engine) -> None:
    (transfer,) = engine.settle(amount_minor=LARGE)
    engine.report(success(engine.claim_one()))
    reverse(engine, transfer, LARGE)
    engine.operator.execute(REPAY, [transfer, "why"])
    assert engine.claim() == []
    engine.approve()
    assert len(engine.claim()) == 1


@mutant(
    "a large amount written off by one person",
    "write_off",
    "if p_amount_minor > (",
    "if 0 > (",
)
def test_a_large_amount_is_written_off_by_two_people(engine: Engine) -> None:
    (transfer,) = engine.settle(amount_minor=LARGE)
    engine.report(success(engine.claim_one()))
    reverse(engine, transfer, LARGE)
    (row,) = engine.operator.execute(WRITE_OFF, [LARGE, "why"]).fetchall()
    assert row[7] == "proposed"
    assert reversed_of(engine, transfer) == [(LARGE, 0, LARGE)]
    engine.approve()
    assert reversed_of(engine, transfer) == []


@mutant(
    "a proposal to write off that outlives an alarm",
    "do_proposed",
    "v_details <> v_details || payout.known_of(v_verb, v_ids)",
    "false",
)
def test_nobody_approves_to_write_off_after_another_alarm(engine: Engine) -> None:
    (transfer,) = engine.settle(amount_minor=LARGE)
    claim = engine.claim_one()
    engine.report(success(claim))
    reverse(engine, transfer, LARGE)
    engine.operator.execute(WRITE_OFF, [LARGE, "why"])
    engine.report(success(claim, stripe_transfer_id="tr_2"))
    ((proposal,),) = engine.db.execute("select action_id from payout_api.proposals").fetchall()
    approve = "select payout_api.approve(%s, 'as agreed')"
    assert refusal(engine.approver, approve, [proposal]) == Refusal(
        "SP402", f"proposal {proposal}: another send, alarm or stop came meanwhile"
    )
    assert reversed_of(engine, transfer) == [(LARGE, 0, LARGE)]


@mutant(
    "a proposal about money that another act has closed",
    "known_of",
    "and l.kind = 'write_off'",
    "and false",
)
def test_nobody_approves_to_write_off_money_that_was_repaid_meanwhile(engine: Engine) -> None:
    """The attack: both were proposed, one is done, and more is taken back: that is another debt."""
    (transfer,) = engine.settle(amount_minor=2 * LARGE)
    engine.report(success(engine.claim_one()))
    reverse(engine, transfer, LARGE)
    engine.operator.execute(WRITE_OFF, [LARGE, "their loss"])
    ((old,),) = engine.db.execute("select action_id from payout_api.proposals").fetchall()
    engine.operator.execute(REPAY, [transfer, "theirs after all"])
    engine.approver.execute("select payout_api.approve(%s, 'yes')", [old + 1])
    reverse(engine, transfer, LARGE, number=2)
    assert refusal(engine.approver, "select payout_api.approve(%s, 'yes')", [old]) == Refusal(
        "SP402", f"proposal {old}: another send, alarm or stop came meanwhile"
    )
    assert reversed_of(engine, transfer) == [(2 * LARGE, LARGE, LARGE)]


@mutant(
    "more taken back, and not listed",
    "book_reversals",
    "select b.payout_transfer_id, b.ledger_entry_id from booked as b",
    "select b.payout_transfer_id, b.ledger_entry_id from booked as b "
    "where not exists (select from payout.ledger_entries as e where e.kind = 'write_off')",
)
@mutant(
    "a part written off, and the rest forgotten",
    "close_reversed",
    "where m.payout_transfer_id = o.payout_transfer_id",
    "where false",
)
def test_what_is_open_is_listed_however_often_it_was_closed(engine: Engine, transfer: int) -> None:
    listed = "select count(*) from payout.open_reversals"
    engine.operator.execute(WRITE_OFF, [150, "a part"])
    assert reversed_of(engine, transfer) == [(400, 150, 250)]
    engine.operator.execute(WRITE_OFF, [250, "the rest"])
    assert engine.db.execute(listed).fetchone() == (0,)
    reverse(engine, transfer, 100, number=2)
    assert reversed_of(engine, transfer) == [(500, 400, 100)]
    assert complaints(engine.db) == {}


@mutant(
    "a list that nothing compares with the books",
    "check_entries",
    "and e.kind in ('reversal', 'write_off')",
    "and e.kind = 'write_off'",
)
def test_an_amount_that_was_taken_off_the_list_by_hand_is_named(
    engine: Engine, transfer: int
) -> None:
    with engine.db.transaction(force_rollback=True):
        engine.db.execute("delete from payout.open_reversals")
        assert complaints(engine.db) == {
            "every amount that is owed again is listed": f"transfer {transfer}"
        }
    assert complaints(engine.db) == {}


@mutant(
    "a reversal that waits for an operator",
    "book_reversals",
    "    if v_booked > 0 then",
    "    perform from payout.transfer_states as s where s.payout_transfer_id = "
    "p_transfer.payout_transfer_id for update;\n    if v_booked > 0 then",
)
def test_a_reversal_that_is_booked_beside_a_write_off_waits_for_nobody_and_stays_listed(
    shared_engine: Engine,
) -> None:
    """The attack: an open psql with a write-off stops a worker, or hides what came meanwhile."""
    engine = shared_engine
    (transfer,) = engine.settle()
    engine.report(success(engine.claim_one()))
    reverse(engine, transfer, 400)
    engine.operator.execute("begin")
    engine.operator.execute(WRITE_OFF, [400, "why"])
    engine.db.execute("set lock_timeout = '1s'")
    with suppress(LockNotAvailable):
        reverse(engine, transfer, 100, number=2)
    engine.operator.execute("commit")
    assert reversed_of(engine, transfer) == [(500, 400, 100)]


def test_a_preview_of_much_says_that_another_person_has_to_approve(
    engine: Engine, transfer: int
) -> None:
    engine.set(approval_limit_minor=399)
    for call in (
        "select detail from payout_api.write_off('seller_1', 'usd', 400, 'why', true)",
        f"select detail from payout_api.repay({transfer}, 'why', true)",
    ):
        ((detail,),) = engine.operator.execute(call.encode()).fetchall()
        assert detail == "4.00 of 4.00 reversed, once another person approves"


def test_a_preview_books_nothing(engine: Engine, transfer: int) -> None:
    before = balances(engine)
    engine.operator.execute("select payout_api.write_off('seller_1', 'usd', 400, 'why', true)")
    engine.operator.execute("select payout_api.repay(%s, 'why', true)", [transfer])
    assert balances(engine) == before
    assert engine.claim() == []
