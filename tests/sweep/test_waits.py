"""A transfer that is declined for now waits for funds or for an account, and goes on by itself."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

import psycopg
import pytest

from tests.conftest import Connection, compare_newest
from tests.engine import Claim, Engine, Outcome, no_answer, outcome, success, unfunded
from tests.engine import refusal_by_stripe as refused
from tests.mutants import Edit, mutant
from tests.schema.refusals import wait_until_blocked

# No request looks once more whether the account was changed.
UNCHANGED = Edit("freeze_requests", "h.awaits = 'account_change'", "h.awaits = 'nothing'")
# Of the first wait, by hand.
ENDS: Final = {
    "retry": "select payout_api.retry('topped up', p_payout_transfer_id => 1)",
    "release": "select payout_api.release_hold(max(hold_id), 'topped up') from payout.holds",
}


def incapable(claim: Claim) -> Outcome:
    """Return the decline of an account that may not receive; Stripe saves it."""
    answer = refused(claim, 400, "insufficient_capabilities_for_transfer")
    return answer | {"should_retry": "false"}


def waits(engine: Engine) -> list[tuple[str, str, str, int]]:
    """Return scope, subject, cause and rounds of each open wait."""
    return engine.db.execute(
        "select scope, subject, awaits, probes from payout.holds "
        "where released_at is null and awaits is not null order by hold_id"
    ).fetchall()


def next_round_in(engine: Engine) -> timedelta:
    """Return the time until the one wait lets a transfer through."""
    ((found,),) = engine.db.execute(
        "select goes_on_at - payout.clock() from payout.holds "
        "where released_at is null and awaits is not null"
    ).fetchall()
    assert isinstance(found, timedelta)
    return found


def go_on(engine: Engine) -> None:
    """Let the time of the next round come, and sweep."""
    engine.db.execute(
        "update payout.holds set goes_on_at = payout.clock() "
        "where released_at is null and awaits is not null"
    )
    engine.sweep()


def pay(engine: Engine, *claims: Claim) -> None:
    engine.report(
        *(success(claim, stripe_transfer_id=f"tr_{claim.payout_transfer_id}") for claim in claims)
    )


def retried(engine: Engine, which: str) -> list[tuple[str, str]]:
    """Let an operator retry; return result and sentence of each transfer."""
    call = f"select result, detail from payout_api.retry('topped up', {which})"
    return engine.db.execute(call.encode()).fetchall()


def states(engine: Engine) -> dict[str, int]:
    rows = engine.db.execute("select state, count(*) from payout.transfer_states group by state")
    return dict(rows.fetchall())


def look_ups(engine: Engine) -> int:
    return engine.db.execute("select from payout.stripe_reads where kind = 'lookup'").rowcount


@mutant(
    "a currency without funds that goes on",
    "slow_down",
    "then o.moved_to = 'failed'",
    "then false",
)
@mutant(
    "a claim that does not know of the wait",
    "lock_due_transfers",
    "payout.held('currency', 'funds')",
    "payout.held('currency', 'nothing')",
)
@mutant(
    "an alarm for each decline",
    "begin_wait",
    "    if found then\n",
    "    if true then\n",
)
def test_without_funds_a_currency_waits_with_one_alarm_and_no_request_for_the_others(
    engine: Engine,
) -> None:
    """The attack: 2,000 transfers, funds for 250: 1,750 doomed requests and alarms a round."""
    engine.settle(*(f"seller_{n}" for n in range(60)))
    engine.settle("seller_1", settlement_id="set_usd", currency="usd")
    engine.db.execute("update payout.transfer_states set next_attempt_at = now()")
    first = engine.claim(8)
    warnings: list[str | None] = []

    def warn(warning: psycopg.errors.Diagnostic) -> None:
        warnings.append(warning.message_primary)

    engine.worker.add_notice_handler(warn)
    try:
        pay(engine, *first[:5])
        engine.report(unfunded(first[5]))
        engine.report(*(unfunded(claim) for claim in first[6:]))
    finally:
        engine.worker.remove_notice_handler(warn)
    currency = first[5].request["currency"]
    assert waits(engine) == [("currency", currency, "funds", 0)]
    assert warnings == [f"payout alarm: balance_insufficient, currency {currency}"]
    assert engine.claim() == []
    assert states(engine) == {"paid": 5, "failed": 3, "scheduled": 53}
    assert timedelta(minutes=1) < next_round_in(engine) < timedelta(minutes=3)


def test_another_currency_goes_on_and_so_does_what_a_charge_funds(engine: Engine) -> None:
    (declined,) = engine.settle()
    engine.report(unfunded(engine.claim_one()))
    engine.settle("seller_1", settlement_id="set_eur", currency="eur")
    lines = (
        '[{"line_id": "1", "payee_id": "seller_1", "amount_minor": 5, '
        '"source_transaction": "ch_1"}]'
    )
    engine.db.execute(
        "select payout_api.complete_settlement('set_charge', 'usd', %s::jsonb)", [lines]
    )
    engine.sweep()
    claims = engine.claim()
    assert {claim.request["currency"] for claim in claims} == {"eur", "usd"}
    assert declined not in {claim.payout_transfer_id for claim in claims}
    assert engine.progress(declined).state == "failed"


@mutant(
    "a round in which all are sent",
    "probe_waits",
    "v_probe_id := payout.let_through(v_hold, p_now);",
    "perform payout.end_holds(array[v_hold.hold_id], 'engine', 'a round'); continue;",
)
def test_a_round_lets_one_transfer_through_and_makes_one_request(engine: Engine) -> None:
    engine.settle(*(f"seller_{n}" for n in range(20)))
    engine.report(unfunded(engine.claim(1)[0]))
    sent = []
    longest = timedelta(0)
    for _ in range(8):
        go_on(engine)
        claims = engine.claim()
        assert len(claims) == 1
        sent.append(claims[0].payout_transfer_id)
        engine.report(unfunded(claims[0]))
        assert engine.claim() == []
        longest = max(longest, next_round_in(engine))
        engine.sweep()
        assert engine.claim() == []
    assert len(set(sent)) == 8
    assert timedelta(minutes=40) < longest < timedelta(minutes=80)
    assert look_ups(engine) == 0
    assert [probes for *_, probes in waits(engine)] == [8]


@mutant(
    "a wait that does not end when there are funds",
    "end_due_holds",
    "where s.payout_transfer_id = h.probe_transfer_id and s.state = 'paid'",
    "where false",
)
def test_once_one_is_paid_all_go_on(engine: Engine) -> None:
    engine.settle(*(f"seller_{n}" for n in range(5)))
    engine.report(*(unfunded(claim) for claim in engine.claim(2)))
    go_on(engine)
    (probe,) = engine.claim()
    pay(engine, probe)
    assert engine.claim() == []
    engine.sweep()
    assert waits(engine) == []
    pay(engine, *engine.claim())
    assert states(engine) == {"paid": 3, "failed": 2}
    engine.claim_lookups()
    assert look_ups(engine) == 2
    engine.make_due()
    engine.sweep()
    pay(engine, *engine.claim())
    assert states(engine) == {"paid": 5}


@mutant(
    "a look for each that waits",
    "slow_down",
    "next_lookup_at = null\n",
    "next_lookup_at = payout.clock()\n",
)
@mutant(
    "a new key for each that waits",
    "reopen_failed",
    "and s.hold_id is null\n",
    "",
)
def test_those_that_wait_are_neither_looked_up_nor_given_keys(engine: Engine) -> None:
    """Only a transfer that is about to be sent costs a look at Stripe's list."""
    engine.settle(*(f"seller_{n}" for n in range(6)))
    engine.report(*(unfunded(claim) for claim in engine.claim()))
    assert engine.claim_lookups() == []
    engine.show_nothing()
    assert engine.sweep().transfers_reopened == 0
    go_on(engine)
    assert len(engine.claim()) == 1


def test_a_failed_transfer_is_looked_up_when_its_round_comes_and_all_take_turns(
    engine: Engine,
) -> None:
    engine.settle(*(f"seller_{n}" for n in range(3)))
    engine.report(*(unfunded(claim) for claim in engine.claim()))
    sent = []
    for _ in range(6):
        go_on(engine)
        engine.look_up()
        assert engine.sweep().transfers_reopened == 1
        claim = engine.claim_one()
        sent.append(claim.payout_transfer_id)
        engine.report(unfunded(claim))
    assert [sent.count(transfer) for transfer in sorted(set(sent))] == [2, 2, 2]
    assert look_ups(engine) == 6


@mutant(
    "a wait that stops what may have been executed",
    "lock_due_transfers",
    "when s.window_begins_at is not null then false",
    "when false then false",
)
def test_a_wait_does_not_stop_a_key_that_was_used(engine: Engine) -> None:
    """Stripe may have paid under it: the engine has to know before it forgets the key."""
    engine.settle("seller_1", "seller_2")
    first, second = engine.claim()
    engine.report(no_answer(first), unfunded(second))
    engine.db.execute(
        "update payout.transfer_states set next_attempt_at = now() where state = 'unknown'"
    )
    engine.sweep()
    assert engine.claim_one().payout_transfer_id == first.payout_transfer_id


def test_funds_that_an_operator_knows_of_end_the_wait_at_once(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    engine.report(unfunded(engine.claim(1)[0]))
    engine.sweep()
    assert retried(engine, "p_currency => 'eur'") == []
    assert len(waits(engine)) == 1
    preview = retried(engine, "p_because => 'balance_insufficient', p_preview => true")
    assert preview == [("preview", "goes on now")] * 2
    assert len(waits(engine)) == 1
    done = retried(engine, "p_because => 'balance_insufficient'")
    assert done == [("done", "was failed"), ("done", "was scheduled")]
    assert waits(engine) == []
    assert len(engine.claim()) == 1
    assert len(engine.claim_lookups()) == 1


@mutant(
    "a retry that leaves what a charge funds in its wait",
    "wait_of",
    "or h.hold_id = p_state.hold_id)",
    ")",
)
def test_a_retry_of_what_a_charge_funds_ends_the_wait_that_it_was_declined_into(
    engine: Engine,
) -> None:
    """The attack: it stood under the wait, retry said done, and nothing went on."""
    engine.app.execute("select payout_api.register_payee('seller_1', 'acct_1')")
    lines = (
        '[{"line_id": "1", "payee_id": "seller_1", "amount_minor": 5, '
        '"source_transaction": "ch_1"}]'
    )
    engine.app.execute(
        "select payout_api.complete_settlement('set_charge', 'usd', %s::jsonb)", [lines]
    )
    engine.report(unfunded(engine.claim_one()))
    assert engine.db.execute("select situation from payout_api.unpaid").fetchall() == [
        ("waits_for_funds",)
    ]
    assert retried(engine, "p_because => 'balance_insufficient'") == [("done", "was failed")]
    assert waits(engine) == []
    engine.show_nothing()
    assert engine.sweep().transfers_reopened == 1


@mutant(
    "rounds that a clock put years ahead",
    "pull_back_dates",
    "+ 2 * payout.next_round(f.awaits, 18)",
    "+ interval '20 years'",
)
def test_a_round_that_a_clock_put_too_far_ahead_comes_once_the_clock_is_right(
    engine: Engine,
) -> None:
    engine.settle("seller_1", "seller_2")
    engine.report(unfunded(engine.claim(1)[0]))
    engine.let_pass("1 year")
    engine.sweep()
    engine.let_pass("-1 year")
    engine.sweep()
    assert next_round_in(engine) < timedelta(hours=2)


@mutant(
    "a round as long as any is taken for one that a clock gave",
    "pull_back_dates",
    "+ 2 * payout.next_round(f.awaits, 18)",
    "+ 0.5 * payout.next_round(f.awaits, 18)",
    at="account",
)
@pytest.mark.parametrize(
    ("declined", "longest"),
    [(unfunded, "74 minutes"), (incapable, "8 days 17 hours")],
    ids=["funds", "account"],
)
def test_the_longest_round_of_a_wait_is_not_pulled_back(
    engine: Engine, declined: Callable[[Claim], Outcome], longest: str
) -> None:
    engine.settle("seller_1", "seller_2")
    engine.report(declined(engine.claim(1)[0]))
    engine.db.execute("update payout.holds set goes_on_at = payout.clock() + %s", [longest])
    engine.sweep()
    ((*_, rounds),) = waits(engine)
    assert rounds == 0


@mutant(
    "a retry that makes a late first send young",
    "judge_act",
    "least(p_state.next_attempt_at, payout.clock())",
    "payout.clock()",
)
def test_a_retry_of_one_that_waited_for_long_passes_no_look(engine: Engine) -> None:
    """The attack: the database went back in time, to when the currency waited for funds."""
    first, late = engine.settle("seller_1", "seller_2")
    engine.report(unfunded(engine.claim(1)[0]))
    engine.sweep()
    engine.let_pass("30 hours")
    assert retried(engine, f"p_payout_transfer_id => {late}") == [("done", "was scheduled")]
    assert waits(engine) == []
    engine.sweep()
    compare_newest(engine.db)
    assert late not in {claim.payout_transfer_id for claim in engine.claim()}
    assert engine.progress(late).next_lookup_in is not None
    assert engine.progress(first).state == "failed"


@mutant(
    "a round for one that no claim takes",
    "let_through",
    "s.state = 'scheduled' and s.next_attempt_at <= p_now - (",
    "s.next_attempt_at <= p_now - (",
)
def test_a_round_is_for_one_that_can_be_sent(engine: Engine) -> None:
    """The attack: no funds for a day; each round let one through that waited for its look."""
    declined, *_ = engine.settle("seller_1", "seller_2", "seller_3")
    engine.report(unfunded(engine.claim(1)[0]))
    engine.sweep()
    engine.let_pass("21 hours")
    compare_newest(engine.db)
    go_on(engine)
    engine.show_nothing()
    engine.sweep()
    claim = engine.claim_one()
    assert (claim.payout_transfer_id, claim.generation) == (declined, 2)
    pay(engine, claim)
    engine.sweep()
    assert waits(engine) == []


def test_a_hold_that_a_person_placed_is_no_wait_and_outlasts_it(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    engine.report(unfunded(engine.claim(1)[0]))
    engine.hold("currency", "usd")
    go_on(engine)
    assert engine.claim() == []
    retried(engine, "p_currency => 'usd'")
    assert [scope for scope, *_ in engine.open_holds()] == ["currency"]
    assert engine.claim() == []


def test_a_wait_under_which_nothing_waits_any_more_ends(engine: Engine) -> None:
    engine.settle()
    claim = engine.claim_one()
    engine.report(unfunded(claim))
    engine.report(success(claim))
    engine.db.execute("update payout.transfer_states set hold_id = null")
    go_on(engine)
    assert waits(engine) == []


@mutant(
    "a payee whose account refuses gets all its requests",
    "lock_due_transfers",
    "payout.held('payee', 'account') as h)",
    "payout.held('payee', 'nothing') as h)",
)
@mutant(
    "an account that is never tried again",
    "judge_decline",
    "or p_rule.awaits = 'account'",
    "or false",
)
def test_a_payee_that_cannot_receive_yet_is_paid_once_it_can(engine: Engine) -> None:
    """The attack: a seller that was restricted and is verified again was never paid."""
    engine.settle("seller_1", settlement_id="set_1")
    engine.report(incapable(engine.claim_one()))
    for number in range(2, 5):
        engine.settle("seller_1", "seller_2", settlement_id=f"set_{number}")
    others = engine.claim()
    assert {claim.request["metadata"]["payee_id"] for claim in others} == {"seller_2"}
    pay(engine, *others)
    assert waits(engine) == [("payee", "seller_1", "account", 0)]
    go_on(engine)
    (probe,) = engine.claim()
    engine.report(incapable(probe))
    go_on(engine)
    (probe,) = engine.claim()
    pay(engine, probe)
    engine.sweep()
    assert waits(engine) == []
    pay(engine, *engine.claim())
    engine.make_due()
    engine.sweep()
    pay(engine, *engine.claim())
    assert states(engine) == {"paid": 7}


@mutant(
    "an account that is tried for ever",
    "next_round",
    "when p_probes < 19",
    "when true",
)
def test_an_account_is_tried_more_and_more_rarely_and_not_for_ever(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.report(incapable(engine.claim_one()))
    rounds = [next_round_in(engine)]
    for _ in range(18):
        go_on(engine)
        engine.look_up()
        engine.sweep()
        engine.report(incapable(engine.claim_one()))
        rounds.append(next_round_in(engine))
    assert timedelta(hours=1) < rounds[0] < timedelta(hours=3)
    assert timedelta(days=5) < rounds[-1] < timedelta(days=9)
    assert timedelta(days=60) < sum(rounds, timedelta(0)) < timedelta(days=130)
    go_on(engine)
    engine.look_up()
    engine.sweep()
    engine.report(incapable(engine.claim_one()))
    engine.let_pass("1 year")
    engine.sweep()
    assert engine.claim() == []
    assert engine.claim_lookups() == []
    ((turn, at, advice),) = engine.db.execute(
        "select whose_turn, next_attempt_at, advice from payout_api.unpaid"
    )
    assert (turn, at) == ("operator", None)
    assert "took no transfers for three months" in advice
    ((hold_id,),) = engine.db.execute("select hold_id from payout.holds where released_at is null")
    engine.operator.execute(
        "select payout_api.release_hold(%s, 'verified: ' || %s)", [hold_id, transfer]
    )
    engine.look_up()
    engine.sweep()
    pay(engine, engine.claim_one())
    assert states(engine) == {"paid": 1}


def register(engine: Engine, account: str, payee: str = "seller_1") -> None:
    engine.app.execute("select payout_api.register_payee(%s, %s)", [payee, account])


@mutant(
    "another account that changes nothing",
    "register_payee",
    "perform payout.change_of_account(p_payee_id);",
    "null;",
)
def test_another_account_is_tried_at_once(engine: Engine) -> None:
    engine.settle("seller_1", settlement_id="set_1")
    engine.report(incapable(engine.claim_one()))
    engine.settle("seller_1", settlement_id="set_2")
    engine.sweep()
    assert engine.claim() == []
    register(engine, "acct_new")
    engine.sweep()
    claim = engine.claim_one()
    assert claim.request["destination"] == "acct_new"
    pay(engine, claim)
    engine.sweep()
    engine.look_up()
    engine.sweep()
    claim = engine.claim_one()
    assert (claim.generation, claim.request["destination"]) == (2, "acct_new")


def test_the_same_account_again_changes_nothing(engine: Engine) -> None:
    engine.settle()
    engine.report(incapable(engine.claim_one()))
    account = engine.db.execute("select stripe_account_id from payout.payee_accounts").fetchall()
    register(engine, account[0][0])
    engine.sweep()
    assert engine.claim_lookups() == []


@mutant(
    "a changed account that is paid at once",
    "change_of_account",
    "if v_waits_for > '0' then",
    "if false then",
)
@mutant(
    "a claim that pays a changed account at once",
    edits=(
        Edit(
            "lock_due_transfers",
            "payout.held('payee', 'account_change')",
            "payout.held('payee', 'nothing')",
        ),
        UNCHANGED,
    ),
)
def test_a_changed_account_waits_and_the_first_one_does_not(engine: Engine) -> None:
    """The attack: one login of the application redirects a payee's account, and is paid."""
    engine.set(account_change_waits_for="2 days")
    engine.settle("seller_1", settlement_id="set_1")
    sent = engine.claim_one()
    register(engine, "acct_other")
    engine.settle("seller_1", "seller_2", settlement_id="set_2")
    other = engine.claim_one()
    assert other.request["metadata"]["payee_id"] == "seller_2"
    pay(engine, other)
    assert waits(engine) == [("payee", "seller_1", "account_change", 0)]

    engine.report(no_answer(sent))
    engine.db.execute(
        "update payout.transfer_states set next_attempt_at = now() where state = 'unknown'"
    )
    again = engine.claim_one()
    assert again.request == sent.request
    pay(engine, again)

    engine.let_pass("47 hours")
    register(engine, "acct_third")
    engine.let_pass("2 hours")
    engine.sweep()
    assert engine.claim() == []
    (found,) = engine.db.execute(
        "select whose_turn, advice, next_attempt_at > now() + '1 day' from payout_api.unpaid "
        "where settlement_id = 'set_2' and payee_id = 'seller_1'"
    ).fetchall()
    assert found[0] == "engine"
    assert found[1].startswith("The payee's account was changed:")
    assert found[2] is True
    engine.let_pass("47 hours")
    engine.sweep()
    engine.look_up()
    assert engine.claim_one().request["destination"] == "acct_third"


def tried_again(engine: Engine) -> list[int]:
    """Return those that are claimed within hours, with looks that find nothing."""
    for _ in range(3):
        engine.sweep()
        engine.show_nothing()
        engine.let_pass("1 hour")
    engine.sweep()
    compare_newest(engine.db)
    return [claim.payout_transfer_id for claim in engine.claim()]


@mutant(
    "a wait that ends beside a decline which joins it",
    "begin_wait",
    "for share skip locked",
    "",
)
@pytest.mark.parametrize("end", ENDS)
def test_a_wait_does_not_end_before_a_decline_that_joins_it(
    shared_engine: Engine,
    connect: Callable[..., Connection],
    background: ThreadPoolExecutor,
    end: str,
) -> None:
    """The attack: funds were added meanwhile; the transfer bore an ended wait, and was forgotten.

    The engine said that it would be tried again, and no sweep or retry did.
    """
    engine, operator = shared_engine, connect("payout_operator")
    transfers = engine.settle("seller_1", "seller_2")
    one, other = engine.claim(2)
    engine.report(unfunded(one))
    with engine.worker.transaction():
        engine.report(unfunded(other))
        ending = background.submit(operator.execute, ENDS[end].encode())
        wait_until_blocked(engine.db, operator, by=ending)
    ending.result()

    assert waits(engine) == []
    assert tried_again(engine) == transfers


@mutant(
    "a decline that waits for nothing, and is not looked for",
    "slow_down",
    "continue when v_hold_id is null;",
    "",
)
def test_a_decline_joins_no_wait_that_another_session_is_about_to_end(
    shared_engine: Engine,
) -> None:
    engine = shared_engine
    transfers = engine.settle("seller_1", "seller_2")
    one, other = engine.claim(2)
    engine.report(unfunded(one))
    with engine.db.transaction():
        engine.db.execute("select from payout.holds for update")
        assert engine.report_one(unfunded(other)) == ("ok", "failed")
        engine.db.execute("select payout.end_holds(array[1], 'a test', 'funds were added')")

    engine.let_pass("1 hour")
    engine.sweep()
    assert {look.payout_transfer_id for look in engine.claim_lookups()} == set(transfers)


@mutant(
    "a change of account that takes a wait which just ends for its own",
    "change_of_account",
    "exit when found;",
    "exit;",
)
def test_a_change_of_account_beside_the_end_of_the_wait_of_the_former_one_waits(
    shared_engine: Engine, connect: Callable[..., Connection], background: ThreadPoolExecutor
) -> None:
    """The attack: the account is changed once more as the sweep has the ended wait in its hands."""
    engine, app = shared_engine, connect("payout_app")
    engine.set(account_change_waits_for="2 days")
    engine.settle()
    app.execute("select payout_api.register_payee('seller_1', 'acct_b')")
    engine.let_pass("3 days")
    with engine.db.transaction():
        engine.db.execute("select from payout.holds where awaits = 'account_change' for update")
        change = background.submit(
            app.execute, "select payout_api.register_payee('seller_1', 'acct_c')"
        )
        wait_until_blocked(engine.db, app, by=change)
        engine.db.execute("select payout.end_due_holds(payout.clock())")
    change.result()

    assert waits(engine) == [("payee", "seller_1", "account_change", 0)]
    assert engine.claim() == []


def test_a_transfer_that_was_let_through_waits_when_the_account_changes(engine: Engine) -> None:
    engine.set(account_change_waits_for="2 days")
    engine.settle("seller_1", settlement_id="set_1")
    engine.report(incapable(engine.claim_one()))
    engine.settle("seller_1", settlement_id="set_2")
    engine.sweep()
    go_on(engine)
    register(engine, "acct_other")
    assert engine.claim() == []


def refused_403(claim: Claim) -> Outcome:
    return outcome(claim, "response", http_status=403, is_tied=False)


@mutant(
    "a 403 about one payee stops everybody",
    sql="update payout.stripe_error_rules set payees_to_pause = null, reaction = 'pause', "
    "awaits = null where reason = 'stripe_permission_refused'",
)
def test_a_403_without_a_code_about_one_payee_stops_nobody_else(engine: Engine) -> None:
    """The attack: the whole engine stopped until a person released it."""
    engine.settle("seller_1", "seller_2")
    refused_, other = engine.claim()
    engine.report(refused_403(refused_))
    assert engine.open_holds() == []
    assert engine.progress(refused_.payout_transfer_id)[:4] == ("retry_wait", 1, 1, 0)
    pay(engine, other)
    for _ in range(2):
        engine.make_due()
        engine.report(refused_403(engine.claim_one()))
    assert engine.progress(refused_.payout_transfer_id).state == "failed"
    assert waits(engine) == [("payee", "seller_1", "account", 0)]


@mutant(
    "a key that is refused for all payees goes on",
    "judge_failure",
    "else v_rule.payees_to_pause <= payout.refused_payees(v_rule.error_rule_id, p_outcome)",
    "else false",
    at="three payees",
)
@mutant(
    "one payee counted for each of its transfers",
    edits=(
        Edit(
            "refused_payees", "group by w.payee_id\n", "group by w.payee_id, w.payout_transfer_id\n"
        ),
        Edit("refused_payees", "and t.payee_id not in (", "and '' not in ("),
    ),
    at="one payee",
)
@pytest.mark.parametrize(
    ("payees", "held"),
    [(("seller_1", "seller_2", "seller_3"), [("engine", None)]), (("seller_1",), [])],
    ids=["three payees", "one payee"],
)
def test_a_403_that_several_payees_meet_is_one_of_the_stripe_key(
    engine: Engine, payees: tuple[str, ...], held: list[tuple[str, str | None]]
) -> None:
    for number in range(3):
        engine.settle(payees[number % len(payees)], settlement_id=f"set_{number}")
    for claim in engine.claim():
        engine.report(refused_403(claim))
    assert [(scope, subject) for scope, subject, _ in engine.open_holds()] == held
    assert states(engine) == {"retry_wait": 3}


@mutant(
    "a key that makes transfers held for a few payees",
    "refused_payees",
    "and w.moved_to = 'paid'",
    "and false",
    at="same worker",
)
@mutant(
    "what another worker pays shows that a key is good",
    "refused_payees",
    "            and a.worker = present.worker\n",
    "",
    at="another worker",
)
@pytest.mark.parametrize(
    ("who_pays", "held"),
    [("worker_1", []), ("worker_2", [("worker", "worker_1")])],
    ids=["same worker", "another worker"],
)
def test_a_few_payees_with_a_403_do_not_stop_a_worker_that_pays_others(
    engine: Engine, who_pays: str, held: list[tuple[str, str]]
) -> None:
    """The attack: three odd accounts among forty good ones stopped the only worker."""
    for number in range(3):
        engine.settle(f"seller_{number}", settlement_id=f"set_{number}")
        (refused_,) = engine.claim(1, worker="worker_1")
        engine.report(refused_403(refused_))
        engine.settle(f"seller_good_{number}", settlement_id=f"good_{number}")
        if engine.open_holds() == []:
            (paid,) = engine.claim(1, worker=who_pays)
            pay(engine, paid)
    assert [(scope, subject) for scope, subject, _ in engine.open_holds()] == held


@mutant(
    "refusals counted again when they are repeated in a quiet hour",
    "refused_payees",
    "min(w.observation_id)",
    "max(w.observation_id)",
)
@mutant(
    "payees counted that wait for their accounts",
    "refused_payees",
    "and r.payee_id::text not in (select h from payout.held('payee', 'account') as h)",
    "",
)
def test_the_same_payees_stop_nothing_later_when_no_other_is_paid(engine: Engine) -> None:
    sellers = [f"seller_{number}" for number in range(3)]
    for seller in sellers:
        engine.settle(seller, settlement_id=f"set_{seller}")
        engine.report(refused_403(engine.claim_one()))
        engine.settle("seller_good", settlement_id=f"good_{seller}")
        pay(engine, engine.claim_one())
    for _ in range(2):
        engine.make_due()
        engine.report(*map(refused_403, engine.claim()))
        assert engine.open_holds() == []
    assert waits(engine) == [("payee", seller, "account", 0) for seller in sellers]

    engine.let_pass("11 minutes")
    for seller in sellers:
        engine.settle(seller, settlement_id=f"later_{seller}")
    go_on(engine)
    for claim in engine.claim():
        engine.report(refused_403(claim))
    assert states(engine) == {"paid": 3, "failed": 3, "retry_wait": 3}
    assert engine.open_holds() == []


@pytest.mark.parametrize(
    ("declined", "reason", "situation"),
    [
        (unfunded, "balance_insufficient", "waits_for_funds"),
        (incapable, "payee_cannot_receive", "waits_for_account"),
    ],
)
def test_those_that_wait_say_why_and_until_when(
    engine: Engine, declined: Callable[[Claim], Outcome], reason: str, situation: str
) -> None:
    engine.settle("seller_1", settlement_id="set_1")
    engine.report(declined(engine.claim_one()))
    engine.settle("seller_1", settlement_id="set_2")
    rows = engine.db.execute(
        "select u.state, u.reason, u.whose_turn, u.next_attempt_at = h.goes_on_at, "
        "u.situation from payout_api.unpaid as u "
        "join payout.holds as h on h.released_at is null order by u.settlement_id"
    ).fetchall()
    assert rows == [
        ("failed", reason, "engine", True, situation),
        ("scheduled", reason, "engine", True, situation),
    ]


@mutant(
    "one that is let through is marked by another wait",
    "mark_held_transfers",
    "or not d.is_let_through)",
    "or h.probe_transfer_id is distinct from d.payout_transfer_id)",
)
def test_a_sweep_before_the_claim_does_not_stop_one_that_is_let_through(engine: Engine) -> None:
    for number in range(4):
        engine.settle("seller_1", settlement_id=f"set_{number}")
    first, second = engine.claim(2)
    engine.report(incapable(first), unfunded(second))
    engine.sweep()
    go_on(engine)
    engine.sweep()
    told = (
        "select situation from payout_api.explained where payout_transfer_id in "
        "(select payout.let_through_ids()) order by situation"
    )
    assert engine.db.execute(told).fetchall() == [("due",), ("tried_again_later",)]
    words = engine.db.execute("select status, count(*) from payout_api.payout_status group by 1")
    assert dict(words.fetchall()) == {"failed": 2, "scheduled": 1, "on_hold": 1}
    assert len(engine.claim()) == 1


@mutant(
    "one that tries the funds passes the wait of a changed account",
    edits=(
        Edit(
            "lock_due_transfers",
            """or t.payee_id::text in (
                        select h from payout.held('payee', 'account_change') as h)""",
            "",
        ),
        UNCHANGED,
    ),
)
def test_one_that_tries_the_funds_waits_when_its_account_changes(engine: Engine) -> None:
    """The attack: the payee of the transfer that was let through gets another account."""
    engine.set(account_change_waits_for="2 days")
    engine.settle("seller_2", settlement_id="set_1")
    engine.report(unfunded(engine.claim_one()))
    engine.settle("seller_1", settlement_id="set_2")
    engine.sweep()
    go_on(engine)
    register(engine, "acct_other")
    assert engine.claim() == []


@mutant(
    "waits for funds and for an account wait for each other",
    "let_through",
    "coalesce(h.awaits not in ('funds', 'account'), true)",
    "h.hold_id <> p_hold.hold_id",
)
def test_a_currency_and_its_one_payee_do_not_wait_for_each_other(engine: Engine) -> None:
    for number in range(4):
        engine.settle("seller_1", settlement_id=f"set_{number}")
    first, second = engine.claim(2)
    engine.report(incapable(first), unfunded(second))
    assert len(waits(engine)) == 2
    for _ in range(6):
        go_on(engine)
        for lookup in engine.claim_lookups():
            for number in range(len(lookup.queries)):
                engine.report_page(lookup, number, [])
        engine.sweep()
        pay(engine, *engine.claim())
    assert states(engine) == {"paid": 4}
