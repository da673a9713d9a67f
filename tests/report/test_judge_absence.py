"""Proof of absence: the list without the transfer proves that Stripe will never have made it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.engine import (
    Claim,
    Engine,
    LookupReport,
    Outcome,
    Sweep,
    listed,
    no_answer,
    outcome,
    rate_limited,
    refusal_by_stripe,
    success,
    unguarded,
)
from tests.mutants import Edit, mutant

ABSENT = LookupReport(True, "ok", "parked")
GIVEN_UP = LookupReport(True, "ok", "failed")


PARKED = "select from payout.transfer_states where state = 'parked'"


def restore(engine: Engine) -> None:
    """Let a backup of now be restored, and adopted at once."""
    engine.db.execute("insert into payout.adoptions (reason) values ('restored')")
    engine.adopt()


def mismatch(claim: Claim) -> Outcome:
    """Return the answer that the key was used with another request: parked at once."""
    return outcome(
        claim, "response", http_status=400, error_type="idempotency_error", error_message="Keys …"
    )


def failed_500(claim: Claim) -> Outcome:
    """Return the replayed 500: parked at once."""
    return outcome(claim, "response", http_status=500, is_replayed=True)


def vanished(engine: Engine) -> Claim:
    """Claim; let the worker vanish, and the key become too old to send."""
    claim = engine.claim_one()
    engine.let_pass("21 hours")
    engine.sweep()
    engine.sweep()
    return claim


def parked_by(failure: Callable[[Claim], Outcome]) -> Callable[[Engine], Claim]:
    def park(engine: Engine) -> Claim:
        claim = engine.claim_one()
        engine.report(failure(claim))
        engine.let_pass("21 hours")
        engine.sweep()
        return claim

    return park


def forbidden(claim: Claim) -> Outcome:
    """Return a 403 that names no key: it may be a copy of the answer to another request."""
    return outcome(claim, "response", http_status=403, error_code="account_invalid", is_tied=False)


INDEFINITE = {
    "nobody reported": vanished,
    "no answer": parked_by(no_answer),
    "a replayed 500": parked_by(failed_500),
    "a mismatch": parked_by(mismatch),
    "a 403": parked_by(forbidden),
}


def prove(engine: Engine) -> None:
    """Let everything that was sent be over, and look twice, an hour apart."""
    engine.let_pass("2 days")
    assert engine.look_up() == ABSENT
    engine.let_pass("61 minutes")
    assert engine.look_up() == GIVEN_UP


@pytest.mark.parametrize("park", INDEFINITE.values(), ids=list(INDEFINITE))
def test_two_scans_an_hour_apart_a_day_after_the_last_send_prove_absence(
    engine: Engine, park: Callable[[Engine], Claim]
) -> None:
    (transfer,) = engine.settle()
    first = park(engine)
    prove(engine)
    assert engine.progress(transfer).state == "failed"
    assert engine.entries(transfer)[-1][:4] == ("release", 1, "in_flight", "payable:seller_1")
    assert engine.differences_in_the_books() == []
    # A new key, on the evidence of both scans.
    assert engine.sweep() == Sweep(0, 0, 1)
    second = engine.claim_one()
    assert (second.generation, second.request) == (2, first.request)
    assert second.idempotency_key != first.idempotency_key
    evidence = engine.db.execute(
        "select k.reason, array_agg((o.signal, o.reason, l.read_id is not null) "
        "order by o.observation_id)::text "
        "from payout.transfer_requests as k join payout.transfer_observations as o "
        "on o.observation_id in (k.evidence_observation_id, k.second_evidence_observation_id) "
        "left join payout.stripe_reads as l on l.read_id::text = o.facts ->> 'read_id' "
        "group by k.reason"
    ).fetchall()
    scan = "(looked_up,absent_at_stripe,t)"
    assert evidence == [("absent_at_stripe", f'{{"{scan}","{scan}"}}')]
    assert engine.report_one(success(second)) == ("ok", "paid")
    assert engine.differences_in_the_books() == []


@mutant(
    "absence proved 15 minutes after what may have been a 500",
    "sends_over_at",
    "else e.indeterminate_for end",
    "else interval '0' end",
    at="no answer",
)
@mutant(
    "any attempt taken for definite",
    "is_definite",
    "select exists (",
    "select true or exists (",
    at="no answer",
)
@mutant(
    "an answer without a decision taken for definite",
    "is_definite",
    "'retry', 'pause'",
    "'retry', 'unknown', 'park', 'pause'",
    at="a replayed 500",
)
@mutant(
    "an answer that names no key taken for definite",
    "is_definite",
    "(o.facts ->> 'is_tied')::boolean",
    "true",
    at="a 403",
)
@pytest.mark.parametrize("park", INDEFINITE.values(), ids=list(INDEFINITE))
def test_scans_within_a_day_of_a_send_without_definite_answer_prove_nothing(
    engine: Engine, park: Callable[[Engine], Claim]
) -> None:
    (transfer,) = engine.settle()
    park(engine)
    # Parked 21 hours after the claim: for more than three hours nothing counts.
    for _ in range(3):
        engine.make_lookups_due()
        assert engine.look_up() == ABSENT
        engine.let_pass("61 minutes")
    assert engine.progress(transfer).state == "parked"


def test_an_answer_that_was_definite_needs_no_day(engine: Engine) -> None:
    """A refusal that Stripe does not save, after a send that never left."""
    engine.settle()
    engine.report(outcome(engine.claim_one(), "response", http_status=409))
    engine.make_due()
    engine.report(refusal_by_stripe(engine.claim_one(), 404, "resource_missing"))
    engine.let_pass("16 minutes")
    assert engine.look_up() == ABSENT
    engine.let_pass("61 minutes")
    # The 409 was a conflict that no rule takes for definite: still nothing counts.
    assert engine.look_up() == ABSENT
    engine.let_pass("1 day")
    assert engine.look_up() == ABSENT
    engine.let_pass("61 minutes")
    assert engine.look_up() == GIVEN_UP


@mutant(
    "absence proved before the attempts have drained",
    "sends_over_at",
    "select a.lease_until + e.attempt_drain_for",
    "select a.claimed_at",
)
def test_after_definite_answers_only_scans_count_once_every_attempt_has_drained(
    engine: Engine,
) -> None:
    engine.settle()
    engine.report(refusal_by_stripe(engine.claim_one(), 409, "idempotency_key_in_use"))
    engine.make_due()
    engine.report(refusal_by_stripe(engine.claim_one(), 404, "resource_missing"))
    assert engine.look_up() == ABSENT
    engine.let_pass("61 minutes")
    # The first scan came before the attempts had drained.
    assert engine.look_up() == ABSENT
    engine.let_pass("61 minutes")
    assert engine.look_up() == GIVEN_UP


@mutant(
    "one scan is enough",
    "judge_absence",
    "p_outcome.first_absence_id is null and",
    "payout.absence_counts_from(p_state.payout_transfer_id) > payout.clock() and",
)
@mutant(
    "no hour between the scans",
    "first_absence",
    "p_read.begun_at - e.scans_apart_for",
    "'infinity'",
)
def test_a_second_scan_within_the_hour_proves_nothing(engine: Engine) -> None:
    engine.settle()
    vanished(engine)
    engine.let_pass("2 days")
    assert engine.look_up() == ABSENT
    engine.let_pass("50 minutes")
    engine.make_lookups_due()
    assert engine.look_up() == ABSENT
    engine.let_pass("11 minutes")
    engine.make_lookups_due()
    assert engine.look_up() == GIVEN_UP


def test_a_second_scan_that_began_before_the_hour_and_ends_after_it_proves_nothing(
    engine: Engine,
) -> None:
    engine.settle()
    vanished(engine)
    engine.let_pass("2 days")
    assert engine.look_up() == ABSENT
    engine.make_lookups_due()
    (lookup,) = engine.claim_lookups()
    engine.let_pass("61 minutes")
    for number in range(2):
        report = engine.report_page(lookup, number, [])
    assert report == ABSENT


@mutant(
    "two scans at once, of which one ended under a clock that was behind",
    "first_absence",
    "greatest(o.observed_at, r.begun_at)",
    "o.observed_at",
)
def test_a_scan_that_ended_under_a_clock_that_was_behind_is_no_hour_older(engine: Engine) -> None:
    """Both scans come within the time by which a list may lag."""
    engine.settle()
    vanished(engine)
    engine.let_pass("2 days")
    assert engine.look_up() == ABSENT
    with unguarded(engine.db, "payout.transfer_observations"):
        engine.db.execute(
            "update payout.transfer_observations set observed_at = observed_at - interval '1 day' "
            "where signal = 'looked_up'"
        )
    engine.let_pass("10 minutes")
    engine.make_lookups_due()
    assert engine.look_up() == ABSENT
    engine.let_pass("51 minutes")
    engine.make_lookups_due()
    assert engine.look_up() == GIVEN_UP


@mutant(
    "a scan under a clock that is not Stripe's",
    "claim_reads",
    "payout.clock_differs(p_stripe_now)",
    "false",
)
@pytest.mark.parametrize("ahead", [timedelta(hours=-50), timedelta(hours=50)], ids=str)
def test_no_look_up_is_begun_while_the_clock_is_not_stripes(
    engine: Engine, ahead: timedelta
) -> None:
    """The attack: a clock that is days ahead makes two scans count that come at once.

    Stripe still makes the transfer, and the next key pays it again once its date has come.
    """
    engine.settle()
    vanished(engine)
    engine.let_pass("2 days")
    now = datetime.now(UTC)
    assert engine.claim_lookups(stripe_now=now - ahead) == []
    assert len(engine.claim_lookups(stripe_now=now)) == 1


@mutant(
    "absent although Stripe may execute it later",
    "absence_counts_from",
    "r.reason = 'stripe_may_execute_later'",
    "false",
    at="approval_required",
)
@pytest.mark.parametrize(
    "code",
    ["approval_required", "action_blocked", "request_blocked", "anomalous_money_movement_request"],
)
def test_what_stripe_may_execute_later_is_never_proved_absent(engine: Engine, code: str) -> None:
    (transfer,) = engine.settle()
    engine.report(refusal_by_stripe(engine.claim_one(), 400, code))
    for _ in range(4):
        engine.let_pass("10 days")
        assert engine.look_up() == ABSENT
    assert engine.progress(transfer).state == "parked"


def test_what_stripe_may_execute_later_is_not_forgotten_when_it_was_told_too_late(
    engine: Engine,
) -> None:
    """The answer of a worker whose lease was over is stored, though it counts for nothing else."""
    (transfer,) = engine.settle()
    claim = vanished(engine)
    assert engine.report_one(refusal_by_stripe(claim, 400, "approval_required"))[0] == "stale"
    for _ in range(3):
        engine.let_pass("10 days")
        assert engine.look_up() == ABSENT
    assert engine.progress(transfer).state == "parked"


@mutant(
    "absent although Stripe has shown it",
    "absence_counts_from",
    "not payout.was_seen_at_stripe(p_payout_transfer_id)",
    "true",
)
def test_what_stripe_once_showed_is_never_proved_absent(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.report(success(engine.claim_one(), amount_minor=1))
    for _ in range(3):
        engine.let_pass("10 days")
        assert engine.look_up() == ABSENT
    assert engine.progress(transfer).state == "parked"


def test_what_is_found_after_the_first_scan_is_paid(engine: Engine) -> None:
    (transfer,) = engine.settle()
    claim = vanished(engine)
    engine.let_pass("2 days")
    assert engine.look_up() == ABSENT
    engine.let_pass("61 minutes")
    assert engine.look_up(listed(claim)) == LookupReport(True, "ok", "paid")
    assert engine.progress(transfer).generation == 1


@mutant(
    "a first scan from any time",
    "first_absence",
    "r.begun_at >= (select payout.absence_counts_from(p_read.payout_transfer_id))",
    "true",
)
def test_scans_of_a_former_key_do_not_count_for_the_present_one(engine: Engine) -> None:
    engine.settle()
    vanished(engine)
    prove(engine)
    engine.sweep()
    vanished(engine)
    engine.let_pass("2 days")
    assert engine.look_up() == ABSENT
    engine.let_pass("61 minutes")
    assert engine.look_up() == GIVEN_UP


def test_keys_are_bounded_and_the_last_absence_notifies_operators(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.set(max_generations=1)
    vanished(engine)
    prove(engine)
    progress = engine.progress(transfer)
    assert (progress.state, progress.reason) == ("failed", "keys_used_up_absent_at_stripe")
    engine.let_pass("10 days")
    assert engine.sweep() == Sweep(0, 0, 0)


def test_the_transfer_of_a_given_up_key_that_appears_after_all_is_an_alarm(engine: Engine) -> None:
    """Stripe broke its word; the next key must not be opened on top of it."""
    (transfer,) = engine.settle()
    claim = vanished(engine)
    prove(engine)
    assert engine.report_one(success(claim)) == ("alarm", "failed")
    engine.let_pass("1 day")
    assert engine.sweep().transfers_reopened == 0
    assert engine.progress(transfer).state == "failed"
    assert engine.open_holds() == [("transfer", str(transfer), "success_under_closed_key")]


# A transfer that never left needs no proof.


def not_sent(claim: Claim) -> Outcome:
    """Return the outcome of a request of which not a byte was sent."""
    return outcome(claim, "not_sent", detail="ClientConnectorError")


def park_after(engine: Engine, *answers: Callable[[Claim], Outcome], amount: int = 1500) -> int:
    """Claim and report so many times, the last one just before the key is too old to be sent."""
    (transfer,) = engine.settle(amount_minor=amount)
    for number, answer in enumerate(answers):
        if number > 0:
            engine.let_pass(f"{1199 // (len(answers) - 1)} minutes")
        engine.make_due()
        engine.report(answer(engine.claim_one()))
    engine.let_pass("2 minutes" if len(answers) > 1 else "21 hours")
    engine.sweep()
    assert engine.progress(transfer).state == "parked"
    return transfer


@mutant(
    "a transfer that never left needs an approval",
    "judge_absence",
    "if v_never_left or p_transfer.amount_minor",
    "if p_transfer.amount_minor",
)
def test_a_transfer_that_never_left_gets_a_new_key_after_one_look(engine: Engine) -> None:
    """A day without a way to Stripe would else park every large amount for good."""
    transfer = park_after(engine, not_sent, not_sent, amount=500_000)
    assert engine.look_up() == GIVEN_UP
    assert engine.sweep() == Sweep(0, 0, 1)
    claim = engine.claim_one()
    evidence = engine.db.execute(
        "select k.reason, o.reason, k.second_evidence_observation_id "
        "from payout.transfer_requests as k join payout.transfer_observations as o "
        "on o.observation_id = k.evidence_observation_id"
    )
    assert evidence.fetchall() == [("absent_at_stripe", "absent_at_stripe", None)]
    assert claim.generation == 2
    assert engine.report_one(success(claim)) == ("ok", "paid")
    assert engine.progress(transfer).state == "paid"


@mutant(
    "a proof of absence at once for what was never sent",
    "sends_over_at",
    "select o.observed_at + e.lease_for + e.attempt_drain_for + e.indeterminate_for",
    "select o.observed_at - interval '1 day'",
)
@mutant(
    "no way out for what was parked before its first send",
    "sends_over_at",
    "and o.moved_to = 'parked'",
    "and false",
)
def test_what_was_parked_before_its_first_send_has_a_way_out(shared_engine: Engine) -> None:
    """A database that went back in time may have forgotten the send: a day passes first."""
    engine = shared_engine
    (transfer,) = engine.settle()
    engine.db.execute(
        "insert into payout.transfer_observations (payout_transfer_id, generation, attempt, "
        "signal, verdict) values (%s, 1, 1, 'lease_expired', 'ok')",
        [transfer],
    )
    engine.db.execute("select payout.set_aside(%s, 'it contradicts its facts')", [transfer])
    assert engine.progress(transfer).state == "parked"
    looks = []
    for wait in ("0", "61 minutes", "1 day", "61 minutes"):
        engine.let_pass(wait)
        engine.make_lookups_due()
        if engine.progress(transfer).state == "parked":
            looks.append(engine.look_up())
    assert looks == [ABSENT, ABSENT, ABSENT, GIVEN_UP]


@mutant(
    "a 429 that counts before its attempt is over",
    "never_left",
    "then a.lease_until + e.attempt_drain_for <= p_looked_at",
    "then true",
)
def test_a_429_counts_once_its_attempt_would_be_over(engine: Engine) -> None:
    """It names no key, so it may be a copy of another answer while the request is under way."""
    park_after(engine, not_sent, rate_limited)
    assert engine.look_up() == ABSENT
    engine.let_pass("61 minutes")
    assert engine.look_up() == GIVEN_UP


@mutant(
    "one attempt that never left stands for all",
    "never_left",
    "select coalesce(bool_and(o.is_without_effect), false)",
    "select coalesce(bool_or(o.is_without_effect), false)",
    at="no_answer",
)
@pytest.mark.parametrize("left", [no_answer, failed_500], ids=["no_answer", "failed_500"])
def test_one_attempt_that_may_have_left_needs_the_proof(
    engine: Engine, left: Callable[[Claim], Outcome]
) -> None:
    (transfer,) = engine.settle()
    engine.set(max_tries=1)
    engine.report(not_sent(engine.claim_one()))
    engine.make_due()
    engine.report(left(engine.claim_one()))
    engine.let_pass("61 minutes")
    assert engine.look_up() == ABSENT
    assert engine.progress(transfer).state == "parked"


@mutant(
    "a lease that ran out never left",
    edits=(
        Edit("never_left", "o.verdict = 'ok' and case", "case"),
        Edit("never_left", "o.signal = 'not_sent'", "o.signal in ('not_sent', 'lease_expired')"),
    ),
)
def test_a_report_of_not_sent_after_the_lease_ran_out_does_not_count(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.set(max_tries=1)
    claim = engine.claim_one()
    engine.let_pass("1 minute")
    engine.sweep()
    assert engine.progress(transfer).state == "parked"
    assert engine.report_one(not_sent(claim))[0] == "stale"
    assert engine.look_up() == ABSENT


@mutant(
    "a refused report that tells of a transfer never sent",
    "record_outcomes",
    "from judged as j where j.reason is distinct from 'report_of_another_claim'",
    "from judged as j",
)
def test_a_refused_report_does_not_hide_that_nothing_left(engine: Engine) -> None:
    park_after(engine, not_sent)
    (claim_id,) = engine.db.execute(
        "select payout_transfer_id, generation, attempt from payout.transfer_attempts"
    ).fetchall()
    forged = {
        "payout_transfer_id": claim_id[0],
        "generation": claim_id[1],
        "attempt": claim_id[2],
        "idempotency_key": "another:1",
        "claim_token": "ct_00000000",
        "signal": "no_response",
    }
    assert engine.report_one(forged) == ("alarm", "parked")
    assert engine.look_up() == GIVEN_UP


# A refused report is no evidence.


@mutant(
    "a first scan that a report tells of",
    edits=(
        Edit("first_absence", "and o.signal = 'looked_up'", ""),
        Edit("first_absence", "and o.verdict = 'ok'", ""),
        Edit(
            "read_outcome",
            "if v_outcome.signal <> 'response' then",
            "v_outcome.read_id := p_outcome ->> 'read_id';\n"
            "v_outcome.found := p_outcome ->> 'found';\n"
            "if v_outcome.signal <> 'response' then",
        ),
    ),
)
def test_a_report_that_tells_of_a_look_up_is_no_first_scan(engine: Engine) -> None:
    """Only a look-up is evidence, never a report of a worker."""
    (transfer,) = engine.settle()
    claim = vanished(engine)
    engine.let_pass("2 days")
    (lookup,) = engine.claim_lookups()
    told = no_answer(claim) | {"read_id": lookup.read_id, "found": 0}
    assert engine.report_one(told)[0] == "stale"
    assert engine.report_one(told | {"claim_token": "ct_00000000"})[0] == "alarm"
    engine.let_pass("61 minutes")
    assert engine.look_up() == ABSENT
    assert engine.progress(transfer).state == "parked"


def test_a_forged_no_answer_prolongs_no_proof(engine: Engine) -> None:
    """Nor does it shorten one: a refused report says nothing of the attempt that it names."""
    engine.settle()
    claim = vanished(engine)
    engine.let_pass("2 days")
    forged = refusal_by_stripe(claim, 400, "approval_required") | {"claim_token": "ct_00000000"}
    assert engine.report_one(forged)[0] == "alarm"
    assert engine.look_up() == ABSENT
    engine.let_pass("61 minutes")
    assert engine.look_up() == GIVEN_UP


@mutant(
    "a look at once after a restore that forgot a send",
    "never_left",
    "and coalesce(p_looked_at >= payout.forgotten_sends_over_at(p_payout_transfer_id), true)",
    "",
    at="not_sent",
)
@mutant(
    "absent a day after the sends that a restored database knows",
    "sends_over_at",
    "        union all\n        select payout.forgotten_sends_over_at(p_payout_transfer_id)\n",
    "",
    at="no_answer",
)
@pytest.mark.parametrize("known", [not_sent, no_answer], ids=["not_sent", "no_answer"])
def test_what_a_restored_database_knows_of_is_proved_absent_once_what_it_forgot_is_over(
    engine: Engine, known: Callable[[Claim], Outcome]
) -> None:
    """The attack: it forgot the second send, whose 500 Stripe carries out after the new key."""
    (transfer,) = engine.settle()
    engine.report(known(engine.claim_one()))
    engine.let_pass("19 hours")
    restore(engine)
    engine.let_pass("2 hours")
    engine.sweep()
    for wait in ("0 hours", "5 hours", "17 hours"):
        engine.let_pass(wait)
        engine.make_lookups_due()
        assert engine.look_up() == ABSENT, wait
    engine.let_pass("1 hour")
    engine.make_lookups_due()
    engine.look_up()
    engine.let_pass("1 hour 1 minute")
    engine.make_lookups_due()
    for _ in range(len(engine.db.execute(PARKED).fetchall())):
        assert engine.look_up() == GIVEN_UP
    assert engine.progress(transfer).state == "failed"


def test_a_transfer_that_was_first_sent_since_the_restore_waits_for_nothing_forgotten(
    engine: Engine,
) -> None:
    restore(engine)
    engine.let_pass("1 minute")
    engine.settle()
    engine.report(not_sent(engine.claim_one()))
    engine.let_pass("21 hours")
    engine.sweep()
    assert engine.look_up() == GIVEN_UP
