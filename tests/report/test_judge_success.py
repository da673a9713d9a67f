"""A 2xx answer pays, is known already, or notifies operators."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine import (
    STRIPE_TRANSFER,
    Claim,
    Engine,
    no_answer,
    rate_limited,
    success,
    unfunded,
)
from tests.mutants import mutant

CONTRADICTIONS: dict[str, dict[str, Any]] = {
    "another amount": {"amount_minor": 1499},
    "a larger amount": {"amount_minor": 150000},
    "no amount": {"amount_minor": None},
    "another currency": {"currency": "eur"},
    "a currency in capitals": {"currency": "USD"},
    "no currency": {"currency": None},
    "another destination": {"destination": "acct_2"},
    "no destination": {"destination": None},
    "another payout_ref": {"payout_ref": "payout_" + "0" * 40},
    "no payout_ref": {"payout_ref": None},
    "the group of another transfer": {"transfer_group": "payout_" + "0" * 40},
    "the charge of another transfer": {"source_transaction": "ch_2"},
    "another installation": {"payout_engine": "another"},
    "no installation": {"payout_engine": None},
    "another object": {"object": "transfer_reversal"},
    "no object": {"object": None},
    "an id of another kind": {"stripe_transfer_id": "trr_1"},
    "an id without end": {"stripe_transfer_id": "tr_" + "1" * 300},
    "an empty id": {"stripe_transfer_id": ""},
    "no id": {"stripe_transfer_id": None},
    "a nested id": {"stripe_transfer_id": {"id": STRIPE_TRANSFER}},
    "an id with a character that was no text": {"stripe_transfer_id": "tr_\ufffd"},
    "a number without end for an amount": {"amount_minor": 10**400},
    "an amount with decimals": {"amount_minor": 1500.5},
    "an amount in quotes": {"amount_minor": "1500"},
    "a list for a destination": {"destination": ["acct_1"]},
    "a mode in words": {"is_livemode": "false"},
    "neither live nor test": {"is_livemode": None},
}


def reopen(engine: Engine, claim: Claim) -> None:
    """Close the key of a claim by a saved decline, and open the next one."""
    engine.report(unfunded(claim))
    engine.make_due()
    assert engine.sweep().transfers_reopened == 1


@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_any_2xx_that_answers_the_request_pays(engine: Engine, status: int) -> None:
    engine.settle()
    assert engine.report_one(success(engine.claim_one(), http_status=status)) == ("ok", "paid")


@mutant(
    "no check of the amount",
    "judge_success",
    "p_outcome.amount_minor = p_transfer.amount_minor",
    "true",
    at="another amount",
)
@mutant(
    "no check of the currency",
    "judge_success",
    "p_outcome.currency = p_transfer.currency",
    "true",
    at="another currency",
)
@mutant(
    "no check of the destination",
    "judge_success",
    "p_outcome.destination = any (p_destinations)",
    "true",
    at="another destination",
)
@mutant(
    "no check of the payout_ref",
    "judge_success",
    "p_outcome.payout_ref = p_transfer.payout_ref",
    "true",
    at="no payout_ref",
)
@mutant(
    "no check of the installation",
    "judge_success",
    "p_outcome.payout_engine = p_settings.installation_id",
    "true",
    at="another installation",
)
@mutant(
    "no check of the object",
    "judge_success",
    "p_outcome.object = 'transfer'",
    "true",
    at="another object",
)
@mutant(
    "no check of the id",
    "judge_success",
    "p_outcome.stripe_transfer_id is not null",
    "true",
    at="an id of another kind",
)
@mutant(
    "no check of the presence of the mode",
    "judge_success",
    "p_outcome.is_livemode is not null",
    "true",
    at="neither live nor test",
)
@pytest.mark.parametrize("contradiction", CONTRADICTIONS.values(), ids=list(CONTRADICTIONS))
def test_an_answer_that_contradicts_the_request_is_parked_and_notifies_operators(
    engine: Engine, contradiction: dict[str, Any]
) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    assert engine.report_one(success(claim, **contradiction)) == ("alarm", "parked")
    progress = engine.progress(transfer)
    assert (progress.reason, progress.has_unknown_send) == ("answer_contradicts_request", True)
    assert (progress.lease_for, progress.next_attempt_in) == (None, None)
    assert len(engine.entries(transfer)) == 2
    ((kind, found, _),) = engine.discrepancies()
    assert (kind, found) == ("answer_contradicts_request", transfer)
    assert engine.open_holds() == [("transfer", str(transfer), "answer_contradicts_request")]


def test_what_a_worker_says_beside_the_body_pays_nothing(engine: Engine) -> None:
    """The body is the one place that tells of a transfer."""
    engine.settle()
    told = success(engine.claim_one())
    beside = {"object": "transfer", "stripe_transfer_id": "tr_9", "amount_minor": 1500}
    assert engine.report_one(told | beside | {"body": {}}) == ("alarm", "parked")
    assert [found for *_, found in engine.discrepancies()] == [None]


@pytest.mark.parametrize("body", [None, 7, "text", [], [{"id": "tr_1"}], {"metadata": 7}, {}])
def test_a_body_that_is_no_transfer_is_kept_for_operators(engine: Engine, body: object) -> None:
    engine.settle()
    told = success(engine.claim_one()) | {"body": body}
    assert engine.report_one(told) == ("alarm", "parked")
    [(kept,)] = engine.db.execute("select theirs -> 'body' from payout.discrepancies").fetchall()
    assert kept == body


def test_a_discrepancy_says_what_each_side_says(engine: Engine) -> None:
    engine.settle()
    claim = engine.claim_one()
    engine.report(success(claim, amount_minor=1))
    ((ours, theirs, advice),) = engine.db.execute(
        "select ours, theirs ->> 'amount_minor', advice from payout.discrepancies"
    ).fetchall()
    assert (ours["amount_minor"], ours["destination"], theirs) == (1500, "acct_1", "1")
    assert "payout_ref" in advice


@mutant(
    "no check of the mode",
    "judge_success",
    "coalesce(p_outcome.is_livemode = p_settings.is_livemode, true)",
    "true",
    at="False-True",
)
@pytest.mark.parametrize(("ours", "theirs"), [(True, False), (False, True)])
def test_an_answer_of_the_other_mode_is_parked_once_the_mode_is_fixed(
    engine: Engine, ours: bool, theirs: bool
) -> None:
    engine.settle("seller_1", "seller_2")
    engine.set(is_livemode=ours)
    first, second = engine.claim()
    assert engine.report_one(success(first, is_livemode=theirs)) == ("alarm", "parked")
    right = success(second, is_livemode=ours, stripe_transfer_id="tr_2")
    assert engine.report_one(right) == ("ok", "paid")


def test_a_right_answer_after_a_wrong_one_still_pays(engine: Engine) -> None:
    """A hop in between had cut the first one; the money moved once."""
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.report(success(claim, amount_minor=1))
    assert engine.report_one(success(claim)) == ("ok", "paid")
    assert engine.progress(transfer).stripe_transfer_id == STRIPE_TRANSFER


@mutant(
    "a late success dropped as stale",
    "judge_outcome",
    "p_outcome.http_status between 200 and 299\n        and",
    "p_outcome.http_status between 200 and 299\n        and "
    "p_state.attempt = p_outcome.attempt and",
    at="in_flight",
)
@pytest.mark.parametrize("state", ["in_flight", "retry_wait", "unknown", "parked"])
def test_a_success_of_an_earlier_attempt_under_the_current_key_pays(
    engine: Engine, state: str
) -> None:
    """One key makes one transfer, whichever of its sends is answered."""
    (transfer,) = engine.settle()
    first = engine.claim_one()
    engine.report(rate_limited(first))
    engine.make_due()
    second = engine.claim_one()
    if state == "retry_wait":
        engine.report(rate_limited(second))
    elif state == "unknown":
        engine.report(no_answer(second))
    elif state == "parked":
        engine.set(max_tries=1)
        engine.report(no_answer(second))
    assert engine.progress(transfer).state == state
    assert engine.report_one(success(first)) == ("ok", "paid")
    assert engine.entries(transfer)[2:] == [("paid", 1, "in_flight", "stripe_balance", 1500)]
    assert engine.open_holds() == []


@mutant(
    "an open key that goes on behind an alarm",
    "judge_success",
    "if p_state.state in ('scheduled', ",
    "if p_outcome.generation = p_state.generation and p_state.state in ('scheduled', ",
    at="scheduled",
)
@pytest.mark.parametrize("state", ["scheduled", "in_flight", "retry_wait", "unknown"])
def test_a_success_under_a_closed_key_stops_whatever_the_open_key_was_about_to_do(
    engine: Engine, state: str
) -> None:
    (transfer,) = engine.settle()
    closed = engine.claim_one()
    reopen(engine, closed)
    if state != "scheduled":
        open_claim = engine.claim_one()
        if state == "retry_wait":
            engine.report(rate_limited(open_claim))
        elif state == "unknown":
            engine.report(no_answer(open_claim))
    assert engine.progress(transfer).state == state
    assert engine.report_one(success(closed)) == ("alarm", "parked")
    assert engine.progress(transfer).reason == "success_under_closed_key"
    assert engine.discrepancies() == [("success_under_closed_key", transfer, STRIPE_TRANSFER)]
    assert engine.open_holds() == [("transfer", str(transfer), "success_under_closed_key")]
    # Not even after somebody let the settlement go on is the second key sent.
    engine.release_holds()
    engine.let_pass("1 day")
    engine.sweep()
    assert engine.claim() == []


@mutant(
    "a declined transfer that goes on behind an alarm",
    "record_outcomes",
    "and j.former_state = 'failed'",
    "and false",
)
def test_a_success_after_a_decline_is_an_alarm_and_no_new_key_is_opened(engine: Engine) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.report(unfunded(claim))
    assert engine.report_one(success(claim)) == ("alarm", "failed")
    assert engine.progress(transfer).next_attempt_in is None
    engine.release_holds()
    engine.let_pass("1 day")
    assert engine.sweep().transfers_reopened == 0
    assert engine.progress(transfer).generation == 1


def test_a_success_of_what_was_never_claimed_here_stops_its_first_send(engine: Engine) -> None:
    """A restored database has forgotten the claim, and the token with it."""
    (transfer,) = engine.settle()
    request, payout_ref = engine.db.execute(
        "select payout.transfer_request(t, 'acct_1', '{}', installation_id), t.payout_ref "
        "from payout.payout_transfers as t cross join payout.engine_settings"
    ).fetchall()[0]
    forgotten = Claim(transfer, 1, 1, f"{payout_ref}:1", "token", request, 30, 20, 0, 0)
    assert engine.report_one(success(forgotten)) == ("alarm", "scheduled")
    assert engine.claim() == []


def test_a_success_under_a_closed_key_is_an_alarm(engine: Engine) -> None:
    (transfer,) = engine.settle()
    first = engine.claim_one()
    engine.report(unfunded(first))
    engine.make_due()
    engine.sweep()
    engine.claim_one()
    assert engine.report_one(success(first)) == ("alarm", "parked")
    assert engine.progress(transfer).reason == "success_under_closed_key"


@mutant(
    "a second transfer without an alarm",
    "judge_success",
    "v_judgement.is_alarm := true;",
    "v_judgement.is_alarm := false;",
)
def test_a_second_transfer_at_stripe_is_an_alarm(engine: Engine) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.report(success(claim))
    assert engine.report_one(success(claim, stripe_transfer_id="tr_2")) == ("alarm", "paid")
    assert engine.progress(transfer).stripe_transfer_id == STRIPE_TRANSFER
    assert engine.discrepancies() == [("second_transfer_at_stripe", transfer, "tr_2")]
    assert engine.open_holds() == [("transfer", str(transfer), "second_transfer_at_stripe")]
    assert [entry.kind for entry in engine.entries(transfer)] == ["obligation", "reserve", "paid"]


def test_one_stripe_transfer_never_pays_two(engine: Engine) -> None:
    first, second = engine.settle("seller_1", "seller_2")
    paid, other = engine.claim()
    engine.report(success(paid))
    assert engine.report_one(success(other)) == ("alarm", "parked")
    assert engine.progress(second).reason == "stripe_id_of_another_transfer"
    assert engine.progress(first).state == "paid"


ALARMS: dict[str, dict[str, Any]] = {
    "contradiction": {"amount_minor": 1},
    "contradiction without id": {"stripe_transfer_id": None},
    "second transfer": {"stripe_transfer_id": "tr_2"},
}


@mutant(
    "an alarm that may not be repeated",
    "judge_success",
    "and o.verdict = 'alarm'",
    "and false",
    at="second transfer",
)
@pytest.mark.parametrize("changes", ALARMS.values(), ids=list(ALARMS))
def test_an_alarm_that_is_told_again_calls_nobody_again(
    engine: Engine, changes: dict[str, Any]
) -> None:
    engine.settle()
    claim = engine.claim_one()
    if changes == ALARMS["second transfer"]:
        engine.report(success(claim))
    assert engine.report_one(success(claim, **changes))[0] == "alarm"
    found = engine.discrepancies()
    engine.release_holds()
    for _ in range(3):
        assert engine.report_one(success(claim, **changes))[0] == "already"
    assert engine.discrepancies() == found
    assert engine.open_holds() == []


@mutant(
    "an alarm that a forged report has taken the place of",
    "record_outcomes",
    "from judged as j where j.reason is distinct from 'report_of_another_claim'",
    "from judged as j",
)
def test_a_forged_report_does_not_silence_the_true_alarm(engine: Engine) -> None:
    """The attack: a login that claimed nothing names Stripe's id before the true report does."""
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.report(unfunded(claim))
    engine.make_due()
    engine.sweep()
    engine.report(success(claim._replace(claim_token="ct_x"), stripe_transfer_id="tr_9"))
    engine.release_holds()
    assert engine.report_one(success(claim, stripe_transfer_id="tr_9")) == ("alarm", "parked")
    assert engine.claim() == []
    assert engine.progress(transfer).reason == "success_under_closed_key"
