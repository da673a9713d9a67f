"""Retry, cancel, park and settle_outside: the way out of each state, and the books after it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from tests.conftest import Connection, login_name
from tests.engine import (
    Claim,
    Engine,
    Outcome,
    listed,
    no_answer,
    no_such_account,
    outcome,
    refusal_by_stripe,
    success,
    unfunded,
)
from tests.mutants import mutant
from tests.reconcile.listing import ACCOUNT, ours, reconcile
from tests.reconcile.test_newest import restart
from tests.schema.refusals import Refusal, refusal, wait_until_blocked

LARGE = 100_001
ROWS = "select * from payout.transfer_states order by payout_transfer_id"


class Act(NamedTuple):
    """A row of a verb, as far as it is compared."""

    payout_transfer_id: int
    state: str
    result: str


def act(engine: Engine, verb: str, **marks: object) -> list[Act]:
    """Call a verb as an operator."""
    named = ", ".join(f"p_{name} => %({name})s" for name in marks)
    rows = engine.operator.execute(
        "select payout_transfer_id, state, result "
        f"from payout_api.{verb}(p_reason => 'asked for', {named})",
        marks,
    )
    return [Act(*row) for row in rows]


def outside(engine: Engine, transfer: int, **marks: object) -> list[Act]:
    return act(engine, "settle_outside", payout_transfer_id=transfer, reference="wire 77", **marks)


def detail(engine: Engine, verb: str, transfer: int) -> str:
    row = engine.operator.execute(
        f"select detail from payout_api.{verb}('why', p_payout_transfer_id => %s)", [transfer]
    ).fetchone()
    assert row is not None
    return str(row[0])


def balances(engine: Engine) -> dict[str, int]:
    """Return the balance of each account that has one."""
    return dict(
        engine.db.execute(
            "select account, balance_minor from payout_api.balances_as_of('infinity') "
            "where balance_minor <> 0"
        ).fetchall()
    )


def saved(claim: Claim) -> Outcome:
    """Return a refusal that Stripe says it keeps under the key."""
    return no_such_account(claim) | {"should_retry": "false"}


def fail(engine: Engine, failure: Callable[[Claim], Outcome] = no_such_account) -> int:
    (transfer,) = engine.settle()
    engine.report(failure(engine.claim_one()))
    assert engine.progress(transfer).state == "failed"
    return transfer


def projection_is_right(engine: Engine) -> bool:
    return engine.db.execute("select * from payout_api.verify_projection()").fetchall() == []


# Cancel and settle outside.


@pytest.mark.parametrize("state", ["scheduled", "failed"])
def test_what_is_cancelled_is_owed_to_nobody(engine: Engine, state: str) -> None:
    transfer = engine.settle()[0] if state == "scheduled" else fail(engine, saved)
    assert act(engine, "cancel", payout_transfer_id=transfer) == [
        Act(transfer, "cancelled", "done")
    ]
    assert balances(engine) == {}
    assert act(engine, "cancel", payout_transfer_id=transfer) == [
        Act(transfer, "cancelled", "already")
    ]
    assert engine.claim() == []
    assert projection_is_right(engine)
    assert engine.entries(transfer)[-1][0] == "cancel"
    noted = engine.db.execute(
        "select action, subject, reason from payout.operator_actions where action = 'cancel'"
    ).fetchall()
    assert noted == [("cancel", str(transfer), "asked for")]


@pytest.mark.parametrize("state", ["scheduled", "failed"])
def test_what_was_paid_in_another_way_is_closed_in_the_books(engine: Engine, state: str) -> None:
    transfer = engine.settle()[0] if state == "scheduled" else fail(engine, saved)
    assert outside(engine, transfer) == [Act(transfer, "settled_outside", "done")]
    assert balances(engine) == {"settlement_funds": -1500, "paid_outside": 1500}
    assert outside(engine, transfer) == [Act(transfer, "settled_outside", "already")]
    assert projection_is_right(engine)
    kept = engine.db.execute(
        "select details ->> 'reference' from payout.operator_actions "
        "where action = 'settle_outside'"
    ).fetchall()
    assert kept == [("wire 77",)]


def test_each_act_tells_the_amount_as_people_read_it(engine: Engine) -> None:
    engine.settle("seller_1", settlement_id="set_1", currency="jpy", amount_minor=LARGE)
    engine.settle("seller_2", settlement_id="set_2", currency="kwd", amount_minor=99_990)
    (yen, dinars) = engine.claim()
    engine.report(no_such_account(yen), success(dinars))
    reversal = '[{"id": "trr_1", "amount": 99990}]'
    engine.db.execute(
        "select payout.book_reversals(t, %s) from payout.payout_transfers as t "
        "where t.payee_id = 'seller_2'",
        [reversal],
    )
    wire, again = (c.payout_transfer_id for c in (yen, dinars))
    for call, amount in (
        (f"cancel('why', {wire}, p_preview => true)", "100001 jpy"),
        (f"settle_outside({wire}, 'wire', 'why')", "100001 jpy"),
        (f"repay({again}, 'why', true)", "99.990 kwd"),
        (f"retry('why', {wire})", "100001 jpy"),
        ("write_off('seller_2', 'kwd', 10, 'why')", "0.010 kwd"),
        (f"repay({again}, 'why')", "99.980 kwd"),
    ):
        told = engine.operator.execute(
            f"select amount || ' ' || currency from payout_api.{call}".encode()
        ).fetchall()
        assert told == [(amount,)], call


def in_flight(engine: Engine, claim: Claim) -> None:
    """Leave the claim open."""


def waiting(engine: Engine, claim: Claim) -> None:
    engine.report(outcome(claim, "not_sent"))


def unknown(engine: Engine, claim: Claim) -> None:
    engine.report(no_answer(claim))


def parked(engine: Engine, claim: Claim) -> None:
    engine.report(success(claim, amount_minor=1))


def paid(engine: Engine, claim: Claim) -> None:
    engine.report(success(claim))


@mutant(
    "an act on what may be at Stripe",
    "act_problem",
    "when v_state not in ('scheduled', 'failed')",
    "when false",
    at="unknown-cancel",
)
@pytest.mark.parametrize("verb", ["cancel", "settle_outside"])
@pytest.mark.parametrize("state", [in_flight, waiting, unknown, parked, paid])
def test_what_may_be_at_stripe_is_not_cancelled(
    engine: Engine, state: Callable[[Engine, Claim], None], verb: str
) -> None:
    (transfer,) = engine.settle()
    state(engine, engine.claim_one())
    before = engine.db.execute(ROWS).fetchall()
    marks = {"reference": "wire 77"} if verb == "settle_outside" else {}
    ((_, _, result),) = act(engine, verb, payout_transfer_id=transfer, **marks)
    assert result == "refused"
    assert engine.db.execute(ROWS).fetchall() == before
    assert (
        engine.db.execute("select from payout.operator_actions where action = %s", [verb]).rowcount
        == 0
    )


@mutant(
    "what Stripe lists is cancelled",
    "act_problem",
    "and exists (select from payout.listed_transfers",
    "and false and exists (select from payout.listed_transfers",
)
def test_what_stripe_lists_is_not_cancelled(engine: Engine) -> None:
    """A restored database has forgotten that it sent it."""
    reconcile(engine.db, ours(engine.db))
    (transfer,) = engine.settle()
    assert act(engine, "cancel", payout_transfer_id=transfer)[0].result == "refused"
    engine.sweep()
    assert engine.progress(transfer).state == "paid"


@mutant(
    "what Stripe lists ends, since its decline was saved",
    "act_problem",
    "when (v_state <> 'failed' or not payout.was_seen_at_stripe(p_state.payout_transfer_id))",
    "when v_state = 'scheduled'",
    at="settle_outside",
)
@pytest.mark.parametrize("verb", ["cancel", "settle_outside"])
def test_what_stripe_lists_while_it_waits_for_its_next_key_is_not_ended(
    engine: Engine, verb: str
) -> None:
    """The attack: nobody has judged the listed one yet, and the wire pays the payee twice."""
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.report(unfunded(claim))
    reconcile(engine.db, listed(claim, created=1_900_000_000))
    assert ended(engine, verb, transfer) == "refused"
    assert detail(engine, "cancel", transfer) == (
        "Stripe lists a transfer of it: retry has it looked up"
    )
    act(engine, "retry", payout_transfer_id=transfer)
    (lookup,) = engine.claim_lookups(account=(ACCOUNT, False))
    for number in range(len(lookup.queries)):
        report = engine.report_page(lookup, number, [listed(claim)])
    assert report.verdict == "alarm"
    assert ended(engine, "cancel", transfer) == "refused"
    assert ended(engine, "settle_outside", transfer) == "done"


@mutant(
    "an act without a comparison of the newest",
    "previewed_acts",
    "and not payout.is_compared(e.comparison_counts_for)",
    "and false",
    at="cancel",
)
@pytest.mark.parametrize("verb", ["cancel", "settle_outside"])
def test_nothing_is_ended_before_the_newest_transfers_were_compared(
    engine: Engine, verb: str
) -> None:
    """A database that went back in time keeps its identity, and has forgotten that it paid."""
    engine.settle("seller_2", settlement_id="set_2")
    engine.claim_one()
    (transfer,) = engine.settle()
    restart(engine)
    before = engine.db.execute(ROWS).fetchall()
    marks = {"reference": "wire 77"} if verb == "settle_outside" else {}
    for is_preview in (True, False):
        ended = act(engine, verb, payout_transfer_id=transfer, preview=is_preview, **marks)
        assert ended == [(transfer, "scheduled", "refused")]
    assert engine.db.execute(ROWS).fetchall() == before

    reconcile(engine.db, ours(engine.db))
    assert engine.progress(transfer).state == "paid"


def test_an_installation_that_never_sent_cancels_without_a_worker(engine: Engine) -> None:
    (transfer,) = engine.settle()
    restart(engine)
    assert act(engine, "cancel", payout_transfer_id=transfer) == [(transfer, "cancelled", "done")]


@mutant(
    "what Stripe has shown is cancelled",
    "act_problem",
    "when p_signal = 'cancel' and v_state = 'failed'",
    "when false",
)
def test_what_stripe_paid_under_a_closed_key_is_settled_outside_and_not_cancelled(
    engine: Engine,
) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.report(no_such_account(claim))
    engine.report(success(claim))
    assert act(engine, "cancel", payout_transfer_id=transfer)[0].result == "refused"
    assert act(engine, "retry", payout_transfer_id=transfer)[0].result == "refused"
    assert outside(engine, transfer)[0].result == "done"
    assert balances(engine) == {"settlement_funds": -1500, "paid_outside": 1500}


def refused_without_a_key(claim: Claim) -> Outcome:
    """Return a refusal that names no key: it may be the copy of another answer."""
    return refusal_by_stripe(claim, 403, "account_closed") | {"is_tied": False}


def fail_by_three(engine: Engine) -> tuple[int, Claim]:
    """Let three such refusals fail the transfer; return it with its first claim."""
    (transfer,) = engine.settle()
    claims = []
    for _ in range(3):
        engine.make_due()
        claims.append(engine.claim_one())
        engine.report(refused_without_a_key(claims[-1]))
    assert engine.progress(transfer).state == "failed"
    return transfer, claims[0]


def ended(engine: Engine, verb: str, transfer: int, **marks: object) -> str:
    """Cancel a transfer or settle it outside; return the result."""
    marks |= {"reference": "wire 77"} if verb == "settle_outside" else {}
    (((number, _, result),)) = act(engine, verb, payout_transfer_id=transfer, **marks)
    assert number == transfer
    return result


@mutant(
    "a debt that is ended on refusals that may be copies",
    "act_problem",
    "else 'it may be at Stripe: a look at its list has to find nothing first, after '",
    "else null || '; '",
)
@mutant(
    "no look for what is to be ended",
    "act",
    "and s.next_lookup_at is null",
    "and false",
)
@mutant(
    "a look for what is to be ended that is made before it counts",
    "look_awaited_from",
    "greatest(payout.clock(), payout.sends_over_at(p_state.payout_transfer_id))",
    "payout.clock()",
)
@pytest.mark.parametrize("verb", ["cancel", "settle_outside"])
def test_three_refusals_that_may_be_copies_end_no_debt_before_a_look(
    engine: Engine, verb: str
) -> None:
    """The attack: one came in place of the success, and the wire pays the payee twice."""
    transfer, _ = fail_by_three(engine)
    before = engine.db.execute(ROWS).fetchall()
    assert ended(engine, verb, transfer, preview=True) == "refused"
    assert engine.db.execute(ROWS).fetchall() == before
    for _ in range(2):
        assert ended(engine, verb, transfer) == "refused"
        assert engine.progress(transfer).next_lookup_in is not None
        assert engine.claim_lookups() == []
        engine.let_pass("23 hours")
    engine.look_up()
    assert ended(engine, verb, transfer) == "done"
    assert projection_is_right(engine)


def test_what_was_paid_behind_refusals_is_found_before_it_is_ended(engine: Engine) -> None:
    transfer, claim = fail_by_three(engine)
    assert ended(engine, "settle_outside", transfer) == "refused"
    engine.let_pass("25 hours")
    assert engine.look_up(listed(claim)).verdict == "alarm"
    assert ended(engine, "cancel", transfer) == "refused"
    assert ended(engine, "settle_outside", transfer) == "done"
    assert balances(engine) == {"settlement_funds": -1500, "paid_outside": 1500}


@mutant(
    "a debt that is ended right after a refusal that is not saved",
    "look_awaited_from",
    "where payout.is_saved(",
    "where true or payout.is_saved(",
)
def test_a_refusal_that_names_the_key_and_is_not_saved_ends_a_debt_after_a_look(
    engine: Engine,
) -> None:
    """It says when: a quarter of an hour after the lease, as before a new key."""
    transfer = fail(engine)
    told = detail(engine, "cancel", transfer)
    assert told.startswith("it may be at Stripe: a look at its list has to find nothing first")
    ((due,),) = engine.db.execute(
        "select next_attempt_at from payout_api.unpaid where next_attempt_at > now() "
        "and %s like '%%' || date_trunc('second', next_attempt_at)::text || '%%'",
        [told],
    ).fetchall()
    assert due is not None
    engine.let_pass("14 minutes")
    assert engine.claim_lookups() == []
    engine.let_pass("2 minutes")
    engine.look_up()
    assert ended(engine, "cancel", transfer) == "done"


def test_what_waits_for_its_account_is_looked_for_and_ended_in_its_wait(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.report(refusal_by_stripe(engine.claim_one(), 400, "account_invalid"))
    assert engine.progress(transfer).next_lookup_in is None
    assert ended(engine, "cancel", transfer) == "refused"
    engine.let_pass("16 minutes")
    engine.look_up()
    assert engine.sweep().transfers_reopened == 0
    assert ended(engine, "cancel", transfer) == "done"
    assert projection_is_right(engine)


def test_one_that_was_given_up_and_is_held_ends_instead_of_being_sent_again(
    engine: Engine,
) -> None:
    """The refusal says so: the look that allows its end allows its next key as well."""
    (transfer,) = engine.settle()
    engine.set(max_tries=1)
    unknown(engine, engine.claim_one())
    act(engine, "retry", payout_transfer_id=transfer, force=True)
    engine.approve()
    assert "and hold keeps it from being sent meanwhile" in detail(engine, "cancel", transfer)
    engine.hold("transfer", str(transfer))
    engine.let_pass("25 hours")
    engine.look_up()
    assert engine.sweep().transfers_reopened == 1
    assert engine.claim() == []
    assert ended(engine, "cancel", transfer) == "done"
    assert balances(engine) == {}
    assert projection_is_right(engine)


def test_a_look_that_could_not_tell_is_asked_for_again(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.report(refusal_by_stripe(claim := engine.claim_one(), 400, "account_invalid"))
    unreadable = listed(claim, metadata=7, transfer_group=None, amount="many")
    for found in ((unreadable,), ()):
        assert ended(engine, "cancel", transfer) == "refused"
        engine.let_pass("16 minutes")
        engine.look_up(*found)
    assert ended(engine, "cancel", transfer) == "done"


def test_a_transfer_is_either_cancelled_or_sent(
    shared_engine: Engine, connect: Callable[..., Connection], background: ThreadPoolExecutor
) -> None:
    """A cancel waits for the claim that has its row; a claim passes over a cancel's row."""
    engine, other = shared_engine, connect("payout_operator", member=2)
    first, second = engine.settle("seller_1", "seller_2")
    with engine.operator.transaction():
        assert act(engine, "cancel", payout_transfer_id=first)[0].result == "done"
        with engine.worker.transaction():
            assert [c.payout_transfer_id for c in engine.claim()] == [second]
            late = background.submit(
                other.execute,
                "select result from payout_api.cancel('why', p_payout_transfer_id => %s)",
                [second],
            )
            wait_until_blocked(engine.db, other, by=late)
    assert late.result().fetchall() == [("refused",)]
    assert [engine.progress(t).state for t in (first, second)] == ["cancelled", "in_flight"]


# Retry and park.


def test_a_failed_transfer_is_sent_again_to_the_present_account(engine: Engine) -> None:
    """The account was closed; the payee has another one (stripe-mirakl-connector#13)."""
    transfer = fail(engine)
    engine.app.execute("select payout_api.register_payee('seller_1', 'acct_new')")
    for _ in range(2):
        assert act(engine, "retry", payee_id="seller_1") == [Act(transfer, "failed", "done")]
    engine.look_up()
    engine.let_pass("16 minutes")
    engine.make_lookups_due()
    engine.look_up()
    assert engine.sweep().transfers_reopened == 1
    claim = engine.claim_one()
    assert (claim.generation, claim.request["destination"]) == (2, "acct_new")
    assert engine.report_one(success(claim)) == ("ok", "paid")
    assert balances(engine) == {"settlement_funds": -1500, "stripe_balance": 1500}
    assert projection_is_right(engine)


def test_what_lacked_funds_goes_out_at_once_after_a_retry(engine: Engine) -> None:
    transfers = engine.settle("seller_1", "seller_2")
    engine.report(*(unfunded(claim) for claim in engine.claim()))
    assert act(engine, "retry", because="balance_insufficient", currency="usd") == [
        Act(transfer, "failed", "done") for transfer in transfers
    ]
    engine.show_nothing()
    assert engine.sweep().transfers_reopened == 2
    assert len(engine.claim()) == 2


@mutant(
    "only transfers that bear the reason themselves are meant",
    "selected_transfers",
    "e.reason = p_because",
    "e.reason = p_because and e.state = 'failed'",
)
def test_a_reason_means_the_transfers_that_unpaid_shows_it_for(engine: Engine) -> None:
    """One was declined and three wait with it; a cancel by the reason left the three, unseen."""
    ids = engine.settle("seller_1", "seller_2", "seller_3", "seller_4")
    (other,) = engine.settle(settlement_id="set_2", currency="eur")
    (claim,) = engine.claim(1)
    engine.report(unfunded(claim))

    shown = engine.db.execute(
        "select payout_transfer_id from payout_api.unpaid where reason = 'balance_insufficient' "
        "order by 1"
    ).fetchall()
    acts = act(engine, "cancel", because="balance_insufficient")

    assert shown == [(transfer,) for transfer in ids]
    assert acts == [Act(transfer, "cancelled", "done") for transfer in ids]
    assert engine.progress(other).state == "scheduled"
    assert projection_is_right(engine)


def test_a_retry_brings_a_wait_to_its_end(engine: Engine) -> None:
    (transfer,) = engine.settle()
    unknown(engine, engine.claim_one())
    assert engine.claim() == []
    assert act(engine, "retry", payout_transfer_id=transfer)[0].result == "done"
    assert act(engine, "retry", payout_transfer_id=transfer)[0].result == "already"
    assert engine.claim_one().payout_transfer_id == transfer
    assert projection_is_right(engine)


def over_a_cap(engine: Engine) -> int:
    engine.operator.execute("select payout_api.set_cap('transfer', 'usd', 'a test', 1)")
    (transfer,) = engine.settle()
    assert engine.claim() == []
    return transfer


def after_a_change(engine: Engine) -> int:
    engine.set(account_change_waits_for="2 days")
    (transfer,) = engine.settle()
    engine.app.execute("select payout_api.register_payee('seller_1', 'acct_other')")
    return transfer


@mutant("a retry that passes a cap", "act_problem", "v_wait.awaits = 'cap'", "false", at="a cap")
@mutant(
    "a retry that passes the wait of a changed account",
    "act_problem",
    "v_wait.awaits = 'account_change'",
    "false",
    at="a changed account",
)
@pytest.mark.parametrize(
    ("wait", "told"),
    [
        (over_a_cap, "it is over a cap: set_cap raises it; release_hold("),
        (after_a_change, "its payee's account was changed, so it waits until "),
    ],
    ids=["a cap", "a changed account"],
)
def test_a_retry_passes_neither_a_cap_nor_the_wait_of_a_changed_account(
    engine: Engine, wait: Callable[[Engine], int], told: str
) -> None:
    transfer = wait(engine)
    # One that goes on beside it, for the same payee.
    engine.db.execute(
        "insert into payout.holds (scope, subject, reason, awaits, goes_on_at) "
        "values ('payee', 'seller_1', 'a test', 'account', now() + interval '1 hour')"
    )
    assert detail(engine, "retry", transfer).startswith(told)
    assert engine.claim() == []


@mutant(
    "a retry that ends any wait",
    "waits_of",
    "            and h.awaits in ('funds', 'account')\n",
    "",
)
def test_a_retry_of_a_declined_transfer_lets_the_payee_of_a_changed_account_wait(
    engine: Engine,
) -> None:
    """The attack: a stolen login changes the account; a retry of an old decline lets all go out."""
    engine.set(account_change_waits_for="2 days")
    (transfer,) = engine.settle()
    engine.report(no_such_account(engine.claim_one()))
    engine.settle(settlement_id="set_2")
    engine.app.execute("select payout_api.register_payee('seller_1', 'acct_other')")
    assert act(engine, "retry", payout_transfer_id=transfer)[0].result == "done"
    assert engine.db.execute(
        "select awaits from payout.holds where released_at is null"
    ).fetchall() == [("account_change",)]
    engine.show_nothing()
    engine.sweep()
    assert engine.claim() == []


def test_a_retry_of_a_parked_transfer_is_a_look(engine: Engine) -> None:
    (transfer,) = engine.settle()
    parked(engine, engine.claim_one())
    engine.look_up()
    assert engine.claim_lookups() == []
    assert act(engine, "retry", payout_transfer_id=transfer)[0] == Act(transfer, "parked", "done")
    assert len(engine.claim_lookups()) == 1
    assert engine.progress(transfer).reason == "answer_contradicts_request"


def test_what_is_parked_is_looked_up_before_it_is_sent_again(engine: Engine) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    unknown(engine, claim)
    assert act(engine, "park", settlement_id="set_1")[0] == Act(transfer, "parked", "done")
    engine.make_due()
    assert engine.claim() == []
    engine.look_up(ours(engine.db, "tr_1"))
    assert engine.progress(transfer).state == "paid"
    assert projection_is_right(engine)


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        ("retry", "its settlement is not to be paid before pay_after"),
        ("park", "it is scheduled and not being sent: hold keeps it from being sent"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(engine: Engine, verb: str, told: str) -> None:
    (transfer,) = engine.settle(pay_after="2099-01-01Z")
    assert detail(engine, verb, transfer) == told


# Two people.


@mutant(
    "one person gives a transfer up",
    "retry",
    "and (p_force or s.reason = 'absence_awaits_approval')",
    "and false",
)
def test_what_stripe_may_execute_later_is_given_up_by_two_people_only(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.report(
        outcome(
            engine.claim_one(),
            "response",
            http_status=400,
            error_type="invalid_request_error",
            error_code="approval_required",
        )
    )
    assert engine.progress(transfer).reason == "stripe_may_execute_later"
    assert act(engine, "retry", payout_transfer_id=transfer, force=True) == [
        Act(transfer, "parked", "proposed")
    ]
    assert engine.progress(transfer).state == "parked"
    engine.approve()
    assert engine.progress(transfer).state == "failed"
    assert act(engine, "cancel", payout_transfer_id=transfer)[0].result == "refused"
    engine.look_up()
    assert act(engine, "cancel", payout_transfer_id=transfer)[0].result == "refused"
    engine.let_pass("25 hours")
    engine.look_up()
    assert act(engine, "cancel", payout_transfer_id=transfer)[0].result == "done"
    assert balances(engine) == {}
    assert projection_is_right(engine)


@mutant(
    "given up once, cancelled whatever Stripe shows later",
    "was_seen_since_given_up",
    "and o.observation_id > (payout.end_of_key(p_state)).observation_id",
    "and false",
)
def test_what_stripe_shows_after_it_was_given_up_is_not_cancelled(engine: Engine) -> None:
    """The attack: an operator follows the advice that was printed before the look found it."""
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    later = {"http_status": 400, "error_code": "approval_required"}
    engine.report(outcome(claim, "response", **later))
    act(engine, "retry", payout_transfer_id=transfer, force=True)
    engine.approve()
    engine.let_pass("25 hours")
    engine.look_up(listed(claim))
    assert engine.progress(transfer).state == "failed"

    assert act(engine, "cancel", payout_transfer_id=transfer)[0].result == "refused"

    assert outside(engine, transfer)[0].result == "done"
    assert balances(engine) == {"settlement_funds": -1500, "paid_outside": 1500}


def test_what_was_shown_before_two_people_gave_it_up_is_cancelled(engine: Engine) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.report(success(claim, amount_minor=1))
    act(engine, "retry", payout_transfer_id=transfer, force=True)
    engine.approve()
    # The same one is shown again.
    engine.look_up(listed(claim, amount=1))
    assert act(engine, "cancel", payout_transfer_id=transfer)[0].result == "done"


@mutant(
    "a look at once where two people gave up what Stripe may execute later",
    "evidence_for_new_key",
    "payout.sends_over_at(d.payout_transfer_id)",
    "payout.absence_counts_from(d.payout_transfer_id)",
)
def test_after_a_key_that_was_given_up_refusals_that_may_be_copies_wait_for_a_look_that_counts(
    engine: Engine,
) -> None:
    """The attack: one came in place of the success, and the third key pays the payee twice."""
    (transfer,) = engine.settle()
    later = {"http_status": 400, "error_code": "approval_required"}
    engine.report(outcome(engine.claim_one(), "response", **later))
    act(engine, "retry", payout_transfer_id=transfer, force=True)
    engine.approve()
    engine.let_pass("25 hours")
    engine.look_up()
    assert engine.sweep().transfers_reopened == 1
    for _ in range(3):
        engine.make_due()
        engine.report(refused_without_a_key(engine.claim_one()))
    assert engine.progress(transfer).state == "failed"
    assert ended(engine, "settle_outside", transfer) == "refused"
    engine.make_lookups_due()
    engine.look_up()
    engine.end_waits()
    assert engine.sweep().transfers_reopened == 0
    assert ended(engine, "settle_outside", transfer) == "refused"
    engine.let_pass("25 hours")
    engine.look_up()
    assert ended(engine, "settle_outside", transfer) == "done"


def look_for(engine: Engine, transfer: int) -> None:
    """Look two transfers up, and finish the look for one of them: it finds nothing."""
    engine.make_lookups_due()
    for lookup in engine.claim_lookups():
        for number in range(len(lookup.queries)) if lookup.payout_transfer_id == transfer else ():
            engine.report_page(lookup, number, [])


@mutant(
    "a proposal in which the sends of one transfer stand for those of another",
    "do_proposed",
    "v_details <> v_details || payout.known_of(v_verb, v_ids)",
    "not v_details @> payout.known_of(v_verb, v_ids)",
)
def test_a_proposal_about_two_transfers_knows_the_sends_of_each(engine: Engine) -> None:
    """The attack: the first is sent once more, and both have two attempts, as one had before."""
    one, two = engine.settle("seller_1", "seller_2")
    engine.report(*(no_answer(claim) for claim in engine.claim()))
    act(engine, "park", payout_transfer_id=one)
    engine.make_due()
    engine.report(no_answer(engine.claim_one()))
    act(engine, "park", payout_transfer_id=two)
    assert {made.result for made in act(engine, "retry", settlement_id="set_1", force=True)} == {
        "proposed"
    }
    engine.let_pass("2 days")
    for _ in range(2):
        look_for(engine, one)
        engine.let_pass("61 minutes")
    assert engine.sweep().transfers_reopened == 1
    engine.report(no_answer(engine.claim_one()))
    act(engine, "park", payout_transfer_id=one)
    ((proposal,),) = engine.db.execute("select action_id from payout_api.proposals").fetchall()
    assert refusal(engine.approver, "select payout_api.approve(%s, 'looked')", [proposal]) == (
        Refusal("SP402", f"proposal {proposal}: another send, alarm or stop came meanwhile")
    )
    assert engine.progress(one).state == "parked"


@mutant(
    "a proposal that outlives its key",
    "do_proposed",
    "v_details <> v_details || payout.known_of(v_verb, v_ids)",
    "false",
)
def test_a_proposal_about_one_key_gives_no_later_key_up(engine: Engine) -> None:
    """The attack: Stripe may execute the second key later, and a third one would be opened."""
    (transfer,) = engine.settle()
    in_use = {"http_status": 409, "error_code": "idempotency_key_in_use"}
    engine.report(outcome(engine.claim_one(), "response", **in_use))
    act(engine, "park", payout_transfer_id=transfer)
    act(engine, "retry", payout_transfer_id=transfer, force=True)
    for _ in range(2):
        engine.let_pass("2 hours")
        engine.make_lookups_due()
        engine.look_up()
    assert engine.sweep().transfers_reopened == 1, "it was proved absent"
    later = {"http_status": 400, "error_code": "approval_required"}
    engine.report(outcome(engine.claim_one(), "response", **later))
    ((proposal,),) = engine.db.execute("select action_id from payout_api.proposals").fetchall()
    approve = "select payout_api.approve(%s, 'as agreed')"
    assert refusal(engine.approver, approve, [proposal]) == Refusal(
        "SP402", f"proposal {proposal}: another send, alarm or stop came meanwhile"
    )
    assert engine.progress(transfer).reason == "stripe_may_execute_later"
    act(engine, "retry", payout_transfer_id=transfer, force=True)
    ((again,),) = engine.db.execute(
        "select max(action_id) from payout_api.proposals where action_id > %s", [proposal]
    ).fetchall()
    engine.approver.execute(approve, [again])
    assert engine.progress(transfer).state == "failed"


@mutant(
    "a proposal that locks what it is about",
    "act",
    "if p_preview is not true and p_takes_two is not true then",
    "if p_preview is not true then",
)
def test_a_proposal_waits_for_nobody(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    """The attack: locked after others, out of the order of ids, it and a report wait in a ring."""
    engine, other = shared_engine, connect()
    (transfer,) = engine.settle()
    unknown(engine, engine.claim_one())
    act(engine, "park", payout_transfer_id=transfer)
    with other.transaction():
        other.execute("select from payout.transfer_states for update")
        engine.operator.execute("set lock_timeout = '200ms'")
        give_up = "select payout_api.retry('gone', p_payout_transfer_id => %s, p_force => true)"
        assert refusal(engine.operator, give_up, [transfer]) is None


@mutant(
    "a proposal that outlives an alarm",
    "known_of",
    "where d.payout_transfer_id = any",
    "where null = any",
)
def test_nobody_approves_to_settle_outside_after_stripe_has_shown_a_transfer(
    engine: Engine,
) -> None:
    """The attack: the person who approves sends the wire, and the payee has the money twice."""
    (transfer,) = engine.settle(amount_minor=LARGE)
    claim = engine.claim_one()
    engine.report(saved(claim))
    assert outside(engine, transfer) == [Act(transfer, "failed", "proposed")]
    engine.report(success(claim))
    ((proposal,),) = engine.db.execute("select action_id from payout_api.proposals").fetchall()
    approve = "select payout_api.approve(%s, 'sent it')"
    assert refusal(engine.approver, approve, [proposal]) == Refusal(
        "SP402", f"proposal {proposal}: another send, alarm or stop came meanwhile"
    )
    assert engine.progress(transfer).state == "failed"


@mutant(
    "a proposal that outlives an alarm which commits behind a later one",
    "known_of",
    "select count(*)\n",
    "select max(d.discrepancy_id)\n",
)
def test_an_alarm_counts_for_an_approval_however_late_it_commits(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    """The number of the first alarm is smaller than that of the one that was known."""
    engine, late = shared_engine, connect()
    (transfer,) = engine.settle(amount_minor=LARGE)
    alarm = (
        "insert into payout.discrepancies (kind, payout_transfer_id, advice) "
        "values ('missing_at_stripe', %s, 'Look it up.')"
    )
    with late.transaction():
        late.execute(alarm, [transfer])
        engine.db.execute(alarm, [transfer])
        assert outside(engine, transfer) == [Act(transfer, "scheduled", "proposed")]
    ((proposal,),) = engine.db.execute("select action_id from payout_api.proposals").fetchall()
    refused = refusal(engine.approver, "select payout_api.approve(%s, 'looked')", [proposal])
    assert refused is not None
    assert refused.sqlstate == "SP402"
    assert engine.progress(transfer).state == "scheduled"


@mutant(
    "a new key as soon as two people gave the old one up",
    "evidence_for_new_key",
    "d.observed_at, payout.sends_over_at(d.payout_transfer_id))",
    "d.observed_at)",
)
def test_after_two_people_gave_it_up_a_look_still_has_to_find_nothing(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.set(max_tries=1)
    unknown(engine, engine.claim_one())
    act(engine, "retry", payout_transfer_id=transfer, force=True)
    engine.approve()
    engine.look_up()
    assert engine.sweep().transfers_reopened == 0, "the lost send may still be executed"
    engine.let_pass("25 hours")
    engine.make_lookups_due()
    engine.look_up()
    assert engine.sweep().transfers_reopened == 1
    engine.make_due()
    assert engine.claim_one().generation == 2


@mutant(
    "a large amount settled outside by one person",
    "settle_outside",
    "t.amount_minor > e.approval_limit_minor",
    "false",
)
def test_a_large_amount_is_settled_outside_by_two_people(engine: Engine) -> None:
    (transfer,) = engine.settle(amount_minor=LARGE)
    assert outside(engine, transfer)[0] == Act(transfer, "scheduled", "proposed")
    assert engine.progress(transfer).state == "scheduled"
    engine.approve()
    assert engine.progress(transfer).state == "settled_outside"


@pytest.fixture
def proposal(acted_engine: Engine) -> int:
    """The number of a proposal of an operator."""
    (transfer,) = acted_engine.settle(amount_minor=LARGE)
    for _ in range(2):
        outside(acted_engine, transfer)
    ((number,),) = acted_engine.db.execute("select action_id from payout_api.proposals").fetchall()
    return int(number)


APPROVE = "select * from payout_api.approve(%s, %s)"


@mutant(
    "one's own proposal approved",
    "approve",
    "when v_proposal.acted_by = session_user then",
    "when false then",
)
def test_nobody_approves_their_own_proposal(acted_engine: Engine, proposal: int) -> None:
    """Even with both roles in one login."""
    acted_engine.db.execute(f"grant payout_approver to {login_name('payout_operator')}")
    assert refusal(acted_engine.operator, APPROVE, [proposal, "mine"]) == Refusal(
        "SP314", f"proposal {proposal} is your own: another person approves it"
    )


@mutant(
    "a proposal without end",
    "approve",
    "when v_proposal.expires_at <= payout.clock()",
    "when false",
)
def test_a_proposal_expires(acted_engine: Engine) -> None:
    acted_engine.set(proposals_expire_after="1 microsecond")
    (transfer,) = acted_engine.settle(amount_minor=LARGE)
    outside(acted_engine, transfer)
    ((number,),) = acted_engine.db.execute(
        "select operator_action_id from payout.operator_actions where action = 'propose'"
    ).fetchall()
    refused = refusal(acted_engine.approver, APPROVE, [number, "late"])
    assert refused is not None
    assert refused.sqlstate == "SP314"
    assert acted_engine.progress(transfer).state == "scheduled"


def test_an_approval_is_done_once(acted_engine: Engine, proposal: int) -> None:
    assert acted_engine.approver.execute(APPROVE, [proposal, "looked"]).rowcount == 1
    assert acted_engine.approver.execute(APPROVE, [proposal, "again"]).rowcount == 0
    acts = acted_engine.db.execute(
        "select action, acted_by from payout.operator_actions "
        "where action in ('approve', 'settle_outside') order by operator_action_id"
    ).fetchall()
    approver = login_name("payout_approver")
    assert acts == [("approve", approver), ("settle_outside", approver)]


@pytest.mark.parametrize(
    ("number", "reason", "told"),
    [
        (10**9, "why", "there is no proposal 1000000000"),
        (None, "why", "there is no proposal null"),
    ],
)
def test_an_approval_of_nothing_is_refused(
    acted_engine: Engine, number: int | None, reason: str, told: str
) -> None:
    assert refusal(acted_engine.approver, APPROVE, [number, reason]) == Refusal("SP310", told)


# The marks, the reason, the preview.


def test_without_any_mark_nothing_is_done(engine: Engine) -> None:
    engine.settle()
    for verb in ("retry", "cancel", "park"):
        assert refusal(engine.db, f"select payout_api.{verb}('why')") == Refusal(
            "SP314", "it is not said of which transfers"
        )


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_without_a_reason_nothing_is_done(engine: Engine, reason: str | None) -> None:
    engine.settle()
    assert refusal(
        engine.db, "select payout_api.cancel(%s, p_payee_id => 'seller_1')", [reason]
    ) == Refusal("SP314", "cannot cancel without a reason")


@pytest.mark.parametrize(
    ("mark", "value", "told"),
    [
        ("payout_transfer_id", 99, "there is no transfer 99"),
        ("settlement_id", "set_9", "there is no settlement set_9"),
        ("payee_id", "seller_9", "there is no payee seller_9"),
        ("currency", "USD", "there is no currency USD"),
    ],
)
def test_an_unknown_name_is_an_error(engine: Engine, mark: str, value: object, told: str) -> None:
    engine.settle()
    assert refusal(
        engine.db, f"select payout_api.retry('why', p_{mark} => %s)", [value]
    ) == Refusal("SP310", told)


def test_marks_are_joined_by_and(engine: Engine) -> None:
    first, _ = engine.settle("seller_1", "seller_2")
    engine.settle("seller_1", settlement_id="set_2", currency="eur")
    assert act(engine, "cancel", payee_id="seller_1", currency="usd", preview=True) == [
        Act(first, "scheduled", "preview")
    ]


@mutant(
    "a preview that hides the other person",
    "previewed_acts",
    "case when p_takes_two then",
    "case when false then",
)
def test_a_preview_says_that_another_person_has_to_approve(engine: Engine) -> None:
    """The attack: a preview promised the end of a large debt, and the act only proposed it."""
    (large,) = engine.settle(amount_minor=LARGE)
    call = "select detail from payout_api.settle_outside(%s, 'wire 77', 'paid', p_preview => true)"
    assert engine.operator.execute(call, [large]).fetchall() == [
        ("becomes settled_outside, once another person approves",)
    ]
    assert outside(engine, large)[0].result == "proposed"
    assert engine.db.execute(
        "select details - '{verb,attempts,discrepancies}'::text[] from payout_api.proposals"
    ).fetchall() == [({"reference": "wire 77", "payout_transfer_ids": [large]},)]

    unknown(engine, engine.claim_one())
    act(engine, "park", payout_transfer_id=large)
    call = "select detail from payout_api.retry('why', %s, p_force => true, p_preview => true)"
    assert engine.operator.execute(call, [large]).fetchall() == [
        ("becomes failed, once another person approves",)
    ]


def test_one_that_is_held_first_is_settled_outside(engine: Engine) -> None:
    """A proposal stops nothing: the runbook has it held before it is paid in another way."""
    (transfer,) = engine.settle()
    engine.hold("transfer", str(transfer))
    engine.sweep()
    assert outside(engine, transfer) == [Act(transfer, "settled_outside", "done")]
    assert projection_is_right(engine)


def test_a_preview_changes_nothing(engine: Engine) -> None:
    first, second = engine.settle("seller_1", "seller_2")
    before = engine.db.execute(ROWS).fetchall()
    assert act(engine, "cancel", settlement_id="set_1", preview=True) == [
        Act(first, "scheduled", "preview"),
        Act(second, "scheduled", "preview"),
    ]
    assert engine.db.execute(ROWS).fetchall() == before
    assert (
        engine.db.execute("select from payout.operator_actions where action = 'cancel'").rowcount
        == 0
    )


def test_ten_thousand_are_one_call_and_one_act(shared_engine: Engine) -> None:
    engine = shared_engine
    engine.settle(*(f"seller_{number}" for number in range(500)))
    assert len(act(engine, "cancel", settlement_id="set_1")) == 500
    assert (
        engine.db.execute("select from payout.operator_actions where action = 'cancel'").rowcount
        == 1
    )
    assert balances(engine) == {}
