"""When a failure is final, when it is not, and how long the engine goes on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.engine import (
    Claim,
    Engine,
    LookupReport,
    Outcome,
    Progress,
    no_answer,
    no_such_account,
    outcome,
    rate_limited,
    refusal_by_stripe,
    success,
    unfunded,
)
from tests.mutants import mutant


def refused_key(claim: Claim) -> Outcome:
    return outcome(claim, "response", http_status=401)


def not_sent(claim: Claim) -> Outcome:
    return outcome(claim, "not_sent", detail="ConnectionRefusedError")


def lock_timeout(claim: Claim) -> Outcome:
    return outcome(claim, "response", http_status=429, error_code="lock_timeout")


def key_in_use(claim: Claim) -> Outcome:
    return outcome(claim, "response", http_status=409, error_code="idempotency_key_in_use")


def answer_again(engine: Engine, failure: Callable[[Claim], Outcome]) -> Progress:
    """Let the wait be over, claim, and report a failure."""
    engine.make_due()
    claim = engine.claim_one()
    engine.report(failure(claim))
    return engine.progress(claim.payout_transfer_id)


@mutant(
    "unknown forgotten at the next answer",
    "judge_failure",
    " or p_state.has_unknown_send",
    "",
    at="rate_limited",
)
@mutant(
    "unknown not remembered",
    "record_outcomes",
    "or coalesce(j.leaves_unknown, false)",
    "",
    at="rate_limited",
)
@pytest.mark.parametrize("failure", [rate_limited, not_sent, key_in_use, refused_key])
def test_unknown_stays_unknown_whatever_is_said_of_later_sends(
    engine: Engine, failure: Callable[[Claim], Outcome]
) -> None:
    engine.settle()
    answer_again(engine, no_answer)
    for _ in range(3):
        progress = answer_again(engine, failure)
        assert (progress.state, progress.has_unknown_send) == ("unknown", True)
        engine.release_holds()


def test_unknown_stays_unknown_when_a_worker_vanished(engine: Engine) -> None:
    engine.settle()
    engine.claim_one()
    engine.let_pass("31 seconds")
    engine.sweep()
    assert answer_again(engine, rate_limited).state == "unknown"


@mutant(
    "no ledger entry for a release",
    "record_outcomes",
    "join payout.states as m on m.entry_kind is not null",
    "join payout.states as m on m.entry_kind <> 'release'",
)
def test_a_decline_that_stripe_saves_settles_what_was_unknown(engine: Engine) -> None:
    (transfer,) = engine.settle()
    answer_again(engine, no_answer)
    assert answer_again(engine, unfunded).state == "failed"
    assert engine.entries(transfer)[2:] == [("release", 1, "in_flight", "payable:seller_1", 1500)]


def test_a_success_settles_what_was_unknown(engine: Engine) -> None:
    engine.settle()
    answer_again(engine, no_answer)
    engine.make_due()
    assert engine.report_one(success(engine.claim_one())) == ("ok", "paid")


@mutant(
    "a 4xx that is not saved is final",
    "judge_decline",
    "if not p_is_saved and not payout.is_only_send(p_state) then",
    "if false then",
)
def test_a_refusal_that_stripe_does_not_save_leaves_the_unknown_to_operators(
    engine: Engine,
) -> None:
    """The account may have been closed after the first send had paid."""
    (transfer,) = engine.settle()
    answer_again(engine, no_answer)
    progress = answer_again(engine, no_such_account)
    assert (progress.state, progress.reason) == ("parked", "no_such_account_or_charge")
    assert progress.next_attempt_in is None
    assert len(engine.entries(transfer)) == 2


@mutant(
    "a conflict taken for no other send",
    "is_only_send",
    "o.http_status <> 409",
    "true",
)
def test_a_refusal_is_left_to_operators_when_another_send_was_being_executed(
    engine: Engine,
) -> None:
    """A request that was doubled on its way: one is answered 409, the other one may pay."""
    (transfer,) = engine.settle()
    assert answer_again(engine, key_in_use).state == "retry_wait"
    assert answer_again(engine, no_such_account).state == "parked"
    assert len(engine.entries(transfer)) == 2


@pytest.mark.parametrize("failure", [rate_limited, not_sent, refused_key])
def test_a_refusal_is_believed_when_no_other_send_can_have_had_an_effect(
    engine: Engine, failure: Callable[[Claim], Outcome]
) -> None:
    (transfer,) = engine.settle()
    answer_again(engine, failure)
    engine.release_holds()
    assert answer_again(engine, no_such_account).state == "failed"
    assert engine.entries(transfer)[2].kind == "release"


@mutant(
    "a decline believed while another attempt is open",
    "judge_decline",
    "if v_others_drain_at > payout.clock() then",
    "if false then",
    at="unfunded",
)
@mutant(
    "a lease that ran out taken for a report",
    "other_attempts_drain_at",
    "and o.signal in ('response', 'unreadable', 'no_response', 'not_sent')",
    "",
    at="unfunded",
)
@pytest.mark.parametrize("failure", [unfunded, no_such_account])
def test_a_decline_while_another_attempt_is_open_is_not_believed_yet(
    engine: Engine, failure: Callable[[Claim], Outcome]
) -> None:
    """The first worker never reported: its request may be on its way for a while."""
    (transfer,) = engine.settle()
    engine.claim_one()
    engine.let_pass("31 seconds")
    engine.sweep()
    progress = answer_again(engine, failure)
    assert (progress.state, progress.reason) == (
        "unknown",
        "declined_while_another_attempt_is_open",
    )
    assert len(engine.entries(transfer)) == 2
    assert progress.next_attempt_in is not None
    # The lease ended a second ago, and an attempt drains for 15 minutes after it.
    assert timedelta(minutes=14) < progress.next_attempt_in < timedelta(minutes=15)


def test_a_decline_is_believed_when_the_other_attempts_have_drained(engine: Engine) -> None:
    engine.settle()
    engine.claim_one()
    engine.let_pass("31 seconds")
    engine.sweep()
    answer_again(engine, unfunded)
    engine.let_pass("15 minutes")
    engine.report(unfunded(claim := engine.claim_one()))
    assert engine.progress(claim.payout_transfer_id).state == "failed"


def test_a_decline_is_believed_when_the_other_attempts_have_been_reported(
    engine: Engine,
) -> None:
    """A late report changes nothing, but says that its attempt is over."""
    engine.settle()
    late = engine.claim_one()
    engine.let_pass("31 seconds")
    engine.sweep()
    assert engine.report_one(no_answer(late))[0] == "stale"
    assert answer_again(engine, unfunded).state == "failed"


def test_an_attempt_of_a_former_key_does_not_keep_the_present_one_open(engine: Engine) -> None:
    engine.settle()
    engine.claim_one()
    engine.let_pass("31 seconds")
    engine.sweep()
    engine.let_pass("16 minutes")
    answer_again(engine, unfunded)
    engine.make_due()
    engine.sweep()
    assert answer_again(engine, unfunded)[:2] == ("failed", 2)


@mutant(
    "tries without bound",
    "judge_failure",
    "p_state.tries + 1 >= p_settings.max_tries",
    "false",
    at="no_answer",
)
@pytest.mark.parametrize("failure", [key_in_use, no_answer])
def test_tries_are_bounded_and_end_with_operators(
    engine: Engine, failure: Callable[[Claim], Outcome]
) -> None:
    (transfer,) = engine.settle()
    engine.set(max_tries=3)
    states = [answer_again(engine, failure).state for _ in range(3)]
    assert states == [states[0], states[0], "parked"]
    progress = engine.progress(transfer)
    assert str(progress.reason).startswith("tries_used_up_")
    assert (progress.tries, progress.next_attempt_in) == (3, None)
    assert [found for _, found, _ in engine.discrepancies()] == [transfer]
    assert len(engine.entries(transfer)) == 2


def test_a_decline_is_believed_even_on_the_last_try(engine: Engine) -> None:
    engine.settle()
    engine.set(max_tries=2)
    answer_again(engine, no_answer)
    assert answer_again(engine, unfunded).state == "failed"


@mutant(
    "a refused key that stops nothing",
    "judge_failure",
    "then v_rule.reaction = 'pause'",
    "then false",
)
@mutant(
    "a refused key that costs tries",
    sql="update payout.stripe_error_rules set is_counted_try = true where reaction = 'pause'",
)
def test_a_refused_key_holds_its_worker_and_costs_no_try(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.set(max_tries=2)
    for _ in range(5):
        progress = answer_again(engine, refused_key)
        assert (progress.state, progress.tries) == ("retry_wait", 0)
        assert engine.open_holds() == [("worker", "worker_1", "stripe_key_refused")]
        engine.make_due()
        assert engine.claim() == []
        engine.release_holds()
    assert engine.progress(transfer).attempt == 5


@mutant("a wait without jitter", "backoff", "random() * ", "1.0 * ")
@mutant("a wait without cap", "backoff", "least(p_rule.wait_cap, ", "greatest(p_rule.wait_cap, ")
def test_the_wait_grows_is_capped_and_is_not_the_same_for_all(engine: Engine) -> None:
    """Exponential with full jitter: what failed together does not come back together."""
    payees = [f"seller_{n}" for n in range(40)]
    transfers = engine.settle(*payees)
    engine.set(max_tries=100)
    longest, shortest = [], []
    for _ in range(14):
        engine.make_due()
        engine.report(*(no_answer(claim) for claim in engine.claim()))
        waits = [engine.progress(transfer).next_attempt_in for transfer in transfers]
        seconds = [wait.total_seconds() for wait in waits if wait is not None]
        assert len(seconds) == len(transfers)
        longest.append(max(seconds))
        shortest.append(min(seconds))
    bounds = [min(2.0 * 2**tries, 900.0) for tries in range(14)]
    assert all(wait <= bound for wait, bound in zip(longest, bounds, strict=True))
    # Of 40 waits spread evenly, the longest lies in the upper half of the bound, the shortest
    # in the lower one.
    assert all(wait > bound / 2 for wait, bound in zip(longest, bounds, strict=True))
    assert all(wait < bound / 2 for wait, bound in zip(shortest, bounds, strict=True))


@pytest.mark.parametrize(
    ("retry_after", "at_least", "at_most"),
    [(120, 119, 121), (7200, 3599, 3601), (None, 0, 2), (-5, 0, 2)],
)
def test_stripes_own_wait_is_kept_within_an_hour(
    engine: Engine, retry_after: int | None, at_least: int, at_most: int
) -> None:
    (transfer,) = engine.settle()
    engine.report(rate_limited(engine.claim_one()) | {"retry_after_seconds": retry_after})
    waits_for = engine.progress(transfer).next_attempt_in
    assert waits_for is not None
    assert timedelta(seconds=at_least - 1) <= waits_for <= timedelta(seconds=at_most)


@mutant(
    "tries of what was surely not processed",
    sql="update payout.stripe_error_rules set is_counted_try = true",
    at="rate_limited",
)
@mutant(
    "a wait that does not grow where no try is counted",
    "judge_failure",
    "case when v_rule.is_counted_try then 0 else v_earlier end",
    "0",
    at="rate_limited",
)
@pytest.mark.parametrize("failure", [not_sent, rate_limited, lock_timeout, refused_key])
def test_what_was_surely_not_processed_costs_no_try_and_waits_longer_each_time(
    engine: Engine, failure: Callable[[Claim], Outcome]
) -> None:
    """The attack: 96 minutes without a way to Stripe, or a limit of its rate, parked everything."""
    (transfer,) = engine.settle(amount_minor=5_000_000)
    engine.set(max_tries=2)
    waits = []
    for _ in range(60):
        progress = answer_again(engine, failure)
        assert (progress.state, progress.tries) == ("retry_wait", 0)
        assert progress.next_attempt_in is not None
        waits.append(progress.next_attempt_in)
        engine.release_holds()
    assert max(waits) <= timedelta(minutes=5)
    assert max(waits[10:]) > timedelta(seconds=20)
    assert engine.discrepancies() == []
    assert answer_again(engine, no_answer)[:2] == ("unknown", 1)
    assert engine.progress(transfer).tries == 1


@mutant(
    "an answer without a rule taken for not executed",
    "judge_failure",
    "coalesce(v_rule.reaction in ('unknown', 'park'), true)",
    "coalesce(v_rule.reaction in ('unknown', 'park'), false)",
    sql=("delete from payout.stripe_error_rules where reason = 'unmapped_answer'"),
    at="rate_limited",
)
@pytest.mark.parametrize("failure", [rate_limited, not_sent, no_such_account])
def test_without_any_rule_nothing_looks_unexecuted(
    engine: Engine, failure: Callable[[Claim], Outcome]
) -> None:
    """The rules are rows: should somebody remove them, the safe reading is what remains."""
    engine.settle()
    engine.db.execute("delete from payout.stripe_error_rules")
    progress = answer_again(engine, failure)
    assert (progress.state, progress.has_unknown_send) == ("unknown", True)
    assert progress.next_attempt_in is not None


@mutant(
    "a decline that is not tied to its request",
    "judge_failure",
    "if not coalesce(p_outcome.is_tied, false) and (",
    "if false and (",
)
@pytest.mark.parametrize("is_tied", [False, None])
@pytest.mark.parametrize("code", ["balance_insufficient", "resource_missing"])
def test_a_decline_without_the_key_of_its_request_may_be_a_copy_of_another_answer(
    engine: Engine, code: str, is_tied: bool | None
) -> None:
    """Stripe names the key in each answer that got as far as the key (FACTS, section 7)."""
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    copied = refusal_by_stripe(claim, 400, code) | {"is_tied": is_tied}

    assert engine.report_one(copied) == ("ok", "unknown")
    assert engine.progress(transfer).reason == "unreadable_answer"
    engine.make_due()
    assert engine.report_one(success(engine.claim_one())) == ("ok", "paid")


@mutant(
    "a success that names another key and another transfer",
    "judge_outcome",
    "and (p_outcome.is_tied or p_outcome.payout_ref = p_transfer.payout_ref) then",
    "then",
    at="another transfer",
)
@pytest.mark.parametrize(
    "copied",
    [{"payout_ref": "payout_" + "0" * 40}, {"object": "balance", "payout_ref": None}],
    ids=["another transfer", "another object"],
)
def test_a_copy_of_another_success_stops_nobody_and_is_no_trace_of_this_transfer(
    engine: Engine, copied: dict[str, Any]
) -> None:
    """The attack: a hop that answers with the success of somebody else's transfer."""
    (transfer,) = engine.settle()
    engine.set(max_tries=1)
    foreign = success(engine.claim_one(), **copied) | {"is_tied": False}
    assert engine.report_one(foreign) == ("ok", "parked")
    assert engine.progress(transfer).reason == "tries_used_up_unreadable_answer"
    assert engine.open_holds() == []
    engine.let_pass("2 days")
    assert engine.look_up() == LookupReport(True, "ok", "parked")
    engine.let_pass("61 minutes")
    assert engine.look_up() == LookupReport(True, "ok", "failed")


def test_a_copy_of_another_success_is_asked_for_again_and_paid(engine: Engine) -> None:
    engine.settle()
    copied = success(engine.claim_one(), payout_ref="payout_" + "0" * 40) | {"is_tied": False}
    assert engine.report_one(copied) == ("ok", "unknown")
    engine.make_due()
    assert engine.report_one(success(engine.claim_one())) == ("ok", "paid")


def test_a_success_without_the_key_counts_when_it_names_the_transfer(engine: Engine) -> None:
    engine.settle()
    assert engine.report_one(success(engine.claim_one()) | {"is_tied": False}) == ("ok", "paid")


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_that_names_no_key_is_asked_for_again(engine: Engine, status: int) -> None:
    engine.settle()
    refused = refusal_by_stripe(engine.claim_one(), status, "account_invalid")
    assert engine.report_one(refused | {"is_tied": False}) == ("ok", "retry_wait")
