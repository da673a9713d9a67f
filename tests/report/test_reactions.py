"""The reaction to each answer of Stripe, restated here and not read from `stripe_error_rules`.

The table is that of Stripe's documentation: was the request executed, may its key be used again.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import psycopg
import pytest

from tests.engine import Engine, Outcome, no_answer, outcome, success
from tests.mutants import mutant


class Reaction(NamedTuple):
    """The reaction to an answer to the first send under a key."""

    state: str
    # Whether the engine acts again by itself.
    goes_on: bool
    # Whether a later `surely not executed` still leaves the transfer unknown.
    is_sticky: bool = False
    notifies: bool = False
    # Whether it counts against max_tries.
    costs_a_try: bool = True
    # The scope of the hold that it places: the engine's, or that of a wait.
    holds: str | None = None


SURELY_NOT_EXECUTED = Reaction("retry_wait", goes_on=True)
NOT_PROCESSED = SURELY_NOT_EXECUTED._replace(costs_a_try=False)
UNKNOWN = Reaction("unknown", goes_on=True, is_sticky=True)
UNKNOWN_TO_US = UNKNOWN._replace(notifies=True)
DECLINED = Reaction("failed", goes_on=False)
DECLINED_FOR_A_REASON_OF_OURS = DECLINED._replace(notifies=True)
DECLINED_UNTIL_FUNDED = Reaction("failed", goes_on=True, notifies=True, holds="currency")
DECLINED_FOR_NOW = Reaction("failed", goes_on=True, holds="payee")
A_PERSON_MUST_LOOK = Reaction("parked", goes_on=False, is_sticky=True, notifies=True)
KEY_REFUSED = NOT_PROCESSED._replace(notifies=True, holds="worker")
RIGHT_REFUSED = KEY_REFUSED._replace(holds="engine")


def error(status: int, code: str | None = None, kind: str = "invalid_request_error") -> Outcome:
    return {
        "signal": "response",
        "http_status": status,
        "error_code": code,
        "error_type": kind,
        "error_message": "Stripe says why.",
    }


WITH_REASON: Final = {"rate_limited_reason": "endpoint-rate"}
REPLAYED: Final = {"is_replayed": True}
SAVED: Final = {"should_retry": "false"}

REACTIONS: Final[list[tuple[str, dict[str, Any], Reaction]]] = [
    # No whole answer.
    ("not sent", {"signal": "not_sent", "detail": "ConnectionRefused"}, NOT_PROCESSED),
    ("no answer", {"signal": "no_response", "detail": "TimeoutError"}, UNKNOWN),
    ("2xx cut short", {"signal": "unreadable", "http_status": 200}, UNKNOWN),
    ("4xx cut short", {"signal": "unreadable", "http_status": 400}, UNKNOWN),
    ("redirect", {"signal": "unreadable", "http_status": 302}, UNKNOWN),
    ("no status", {"signal": "unreadable", "http_status": None}, UNKNOWN),
    # Another send, or too many of them.
    ("409 key in use", error(409, "idempotency_key_in_use"), SURELY_NOT_EXECUTED),
    (
        "409 key in use, typed",
        error(409, "idempotency_key_in_use", "idempotency_error"),
        SURELY_NOT_EXECUTED,
    ),
    ("409", error(409), UNKNOWN),
    ("429 rate", error(429, "rate_limit", "rate_limit_error") | WITH_REASON, NOT_PROCESSED),
    ("429 rate, without the reason", error(429, "rate_limit"), NOT_PROCESSED),
    ("429 without code", error(429) | WITH_REASON, NOT_PROCESSED),
    ("429 lock timeout", error(429, "lock_timeout"), NOT_PROCESSED),
    ("400 rate limit", error(400, "rate_limit"), NOT_PROCESSED),
    # Stripe's own failures.
    ("500", error(500, None, "api_error"), UNKNOWN),
    ("500 should retry", error(500) | {"should_retry": "true"}, UNKNOWN),
    ("500 replayed", error(500) | REPLAYED, A_PERSON_MUST_LOOK),
    ("500 should not retry", error(500) | {"should_retry": "false"}, A_PERSON_MUST_LOOK),
    ("502", error(502), UNKNOWN),
    ("503", error(503), UNKNOWN),
    ("504", error(504), UNKNOWN),
    ("524", error(524), UNKNOWN),
    ("424", error(424), UNKNOWN),
    # The code of a refused key beside a failure of Stripe's says nothing of the send.
    ("500 api key expired", error(500, "api_key_expired"), UNKNOWN),
    ("502 platform key expired", error(502, "platform_api_key_expired"), UNKNOWN),
    ("503 test mode only", error(503, "testmode_charges_only"), UNKNOWN),
    ("504 no platform", error(504, "platform_account_required"), UNKNOWN),
    # Our own bug: this key was sent with another request.
    ("idempotency error", error(400, None, "idempotency_error"), A_PERSON_MUST_LOOK),
    # No money on the platform.
    ("no funds", error(400, "balance_insufficient") | SAVED, DECLINED_UNTIL_FUNDED),
    ("no funds, not saved", error(400, "balance_insufficient"), SURELY_NOT_EXECUTED),
    ("no funds, replayed", error(400, "balance_insufficient") | REPLAYED, DECLINED_UNTIL_FUNDED),
    # The payee cannot be paid.
    ("no capability", error(400, "insufficient_capabilities_for_transfer"), DECLINED_FOR_NOW),
    (
        "no capability, saved",
        error(400, "insufficient_capabilities_for_transfer") | SAVED,
        DECLINED_FOR_NOW,
    ),
    ("no transfers", error(400, "transfers_not_allowed"), DECLINED_FOR_NOW),
    ("standard account", error(400, "not_allowed_on_standard_account"), DECLINED_FOR_NOW),
    ("account invalid", error(400, "account_invalid"), DECLINED_FOR_NOW),
    ("account closed", error(400, "account_closed"), DECLINED_FOR_NOW),
    ("no such account", error(400, "resource_missing"), DECLINED),
    ("no such account, 404", error(404, "resource_missing"), DECLINED),
    (
        "no such destination",
        error(400, "resource_missing") | {"error_param": "destination"},
        DECLINED_FOR_NOW,
    ),
    (
        "no such charge",
        error(400, "resource_missing") | {"error_param": "source_transaction"},
        DECLINED,
    ),
    # The payee cannot be paid, said with the status of a key that may not: the engine asks again.
    ("403 account invalid", error(403, "account_invalid"), NOT_PROCESSED),
    ("403 no capability", error(403, "insufficient_capabilities_for_transfer"), NOT_PROCESSED),
    # The request is wrong.
    ("parameter missing", error(400, "parameter_missing"), DECLINED_FOR_A_REASON_OF_OURS),
    ("parameter unknown", error(400, "parameter_unknown"), DECLINED_FOR_A_REASON_OF_OURS),
    ("no integer", error(400, "parameter_invalid_integer"), DECLINED_FOR_A_REASON_OF_OURS),
    ("parameter empty", error(400, "parameter_invalid_empty"), DECLINED_FOR_A_REASON_OF_OURS),
    ("blank", error(400, "parameter_invalid_string_blank"), DECLINED_FOR_A_REASON_OF_OURS),
    ("empty", error(400, "parameter_invalid_string_empty"), DECLINED_FOR_A_REASON_OF_OURS),
    ("exclusive", error(400, "parameters_exclusive"), DECLINED_FOR_A_REASON_OF_OURS),
    ("too small", error(400, "amount_too_small"), DECLINED),
    ("too large", error(400, "amount_too_large"), DECLINED),
    ("live and test", error(400, "livemode_mismatch"), DECLINED_FOR_A_REASON_OF_OURS),
    ("402", error(402, None, "card_error"), DECLINED_FOR_A_REASON_OF_OURS),
    # The key may not; of a 403 only several payees tell.
    ("401", error(401), KEY_REFUSED),
    ("401 expired", error(401, "api_key_expired"), KEY_REFUSED),
    ("401 platform key", error(401, "platform_api_key_expired"), KEY_REFUSED),
    ("401 secret key", error(401, "secret_key_required"), KEY_REFUSED),
    ("403", error(403), NOT_PROCESSED),
    ("test mode only", error(400, "testmode_charges_only"), RIGHT_REFUSED),
    ("no platform", error(400, "platform_account_required"), RIGHT_REFUSED),
    # Stripe may yet do it.
    ("approval", error(400, "approval_required"), A_PERSON_MUST_LOOK),
    ("blocked", error(403, "action_blocked"), A_PERSON_MUST_LOOK),
    ("request blocked", error(402, "request_blocked"), A_PERSON_MUST_LOOK),
    ("anomalous", error(400, "anomalous_money_movement_request"), A_PERSON_MUST_LOOK),
    # A refusal that is not known yet is believed when Stripe saves it, or says it again and again.
    ("400 without code", error(400), SURELY_NOT_EXECUTED),
    ("400 without code, saved", error(400) | SAVED, DECLINED_FOR_A_REASON_OF_OURS),
    ("400 with a new code", error(400, "brand_new_code"), SURELY_NOT_EXECUTED),
    (
        "400 with a new code, replayed",
        error(400, "brand_new_code") | REPLAYED,
        DECLINED_FOR_A_REASON_OF_OURS,
    ),
    ("404 with a new code", error(404, "brand_new_code"), SURELY_NOT_EXECUTED),
    ("418", error(418), SURELY_NOT_EXECUTED),
    # Nothing else that is unknown says anything.
    ("100", error(100), UNKNOWN_TO_US),
    ("304", error(304), UNKNOWN_TO_US),
]
every_answer = pytest.mark.parametrize(
    ("answer", "expected"),
    [(answer, expected) for _, answer, expected in REACTIONS],
    ids=[name for name, _, _ in REACTIONS],
)
NAMES: Final = [name for name, _, _ in REACTIONS]


def answer_to(engine: Engine, answer: dict[str, Any]) -> tuple[str, str]:
    """Claim the transfer that is due and report an answer to it."""
    return engine.report_one(outcome(engine.claim_one(), **answer))


def test_the_answers_have_names_of_their_own() -> None:
    assert len(set(NAMES)) == len(NAMES)


@mutant(
    "a cut answer taken for a success",
    "judge_outcome",
    "if p_outcome.signal = 'response' and p_outcome.http_status between 200 and 299\n"
    "        and (p_outcome.is_tied or p_outcome.payout_ref = p_transfer.payout_ref) then",
    "if p_outcome.http_status between 200 and 299 then",
    at="2xx cut short",
)
@mutant(
    "an unmapped answer taken for a refusal",
    sql=(
        "update payout.stripe_error_rules set sends_to_believe = 1 "
        "where reason = 'refused_by_stripe'"
    ),
    at="400 with a new code",
)
@mutant(
    "a new key after a 500",
    sql=(
        "update payout.stripe_error_rules set reaction = 'decline', awaits = 'funds' "
        "where http_status_from = 500"
    ),
    at="500 should not retry",
)
@mutant(
    "a 500 taken for not executed",
    sql=("update payout.stripe_error_rules set reaction = 'retry' where http_status_from = 500"),
    at="500",
)
@mutant(
    "a code that counts beside any status",
    sql=(
        "update payout.stripe_error_rules set http_status_from = null, http_status_to = null "
        "where error_code = 'api_key_expired'"
    ),
    at="500 api key expired",
)
@mutant(
    "an idempotency error tried again",
    sql=(
        "update payout.stripe_error_rules set reaction = 'unknown' where error_type = "
        "'idempotency_error'"
    ),
    at="idempotency error",
)
@every_answer
def test_an_answer_moves_the_transfer_and_its_money_only_when_nothing_was_executed(
    engine: Engine, answer: dict[str, Any], expected: Reaction
) -> None:
    (transfer,) = engine.settle()
    assert answer_to(engine, answer) == ("ok", expected.state)
    progress = engine.progress(transfer)
    assert progress.reason is not None
    assert (progress.next_attempt_in is not None) == expected.goes_on
    assert progress.has_unknown_send == expected.is_sticky
    assert progress.tries == expected.costs_a_try
    assert progress.lease_for is None
    assert progress.stripe_transfer_id is None
    release = ("release", 1, "in_flight", "payable:seller_1", 1500)
    assert engine.entries(transfer)[2:] == [release] * (expected.state == "failed")


@every_answer
def test_an_answer_notifies_operators_and_holds_worker_or_engine_when_it_should(
    engine: Engine, answer: dict[str, Any], expected: Reaction
) -> None:
    (transfer,) = engine.settle()
    warnings: list[psycopg.errors.Diagnostic] = []
    engine.worker.add_notice_handler(warnings.append)
    try:
        answer_to(engine, answer)
    finally:
        engine.worker.remove_notice_handler(warnings.append)
    assert len(warnings) == expected.notifies
    holds = engine.db.execute("select scope from payout.holds where released_at is null").fetchall()
    assert holds == [(expected.holds,)] * bool(expected.holds)
    found = [found for _, found, _ in engine.discrepancies()]
    assert found == [transfer] * (expected.state == "parked")


@every_answer
def test_after_an_unknown_send_nothing_but_a_saved_decline_is_final(
    engine: Engine, answer: dict[str, Any], expected: Reaction
) -> None:
    """An answer to the second send says nothing of the first, unless it is saved under the key."""
    (transfer,) = engine.settle()
    engine.report(no_answer(engine.claim_one()))
    engine.make_due()
    _, state = answer_to(engine, answer)
    is_saved = answer.get("should_retry") == "false" or answer.get("is_replayed")
    after_an_unknown_send = {
        "retry_wait": "unknown",
        "unknown": "unknown",
        "parked": "parked",
        "failed": "failed" if is_saved else "parked",
    }
    assert state == after_an_unknown_send[expected.state]
    assert engine.progress(transfer).has_unknown_send


@every_answer
def test_whatever_was_answered_a_success_that_comes_late_is_not_lost(
    engine: Engine, answer: dict[str, Any], expected: Reaction
) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.report(outcome(claim, **answer))
    if expected.state == "failed":
        assert engine.report_one(success(claim)) == ("alarm", "failed")
        assert ("transfer", str(transfer), "success_under_closed_key") in engine.open_holds()
    else:
        assert engine.report_one(success(claim)) == ("ok", "paid")
        assert engine.progress(transfer).stripe_transfer_id == "tr_1"


def test_an_unknown_charge_is_not_laid_at_the_payees_account(engine: Engine) -> None:
    """The operator was told to register another account, and the seller to check theirs."""
    engine.settle()
    no_such_charge = error(400, "resource_missing") | {"error_param": "source_transaction"}
    answer_to(engine, no_such_charge)
    [(reason, advice, for_seller)] = engine.db.execute(
        "select reason, advice, for_seller from payout_api.explained"
    ).fetchall()
    assert reason == "no_such_charge"
    assert advice.startswith("Stripe does not know the charge that the settlement names: cancel")
    assert "register" not in advice
    assert "account" not in for_seller


@mutant(
    "a decline that is believed at once",
    "judge_failure",
    "v_rule.sends_to_believe <= 1 + v_earlier",
    "v_rule.sends_to_believe <= 3 + v_earlier",
)
@pytest.mark.parametrize(
    "answer",
    [error(403, "account_invalid") | {"is_tied": False}, error(400, "brand_new_code")],
    ids=["403", "new code"],
)
def test_a_decline_that_is_not_saved_is_believed_once_three_sends_got_it(
    engine: Engine, answer: dict[str, Any]
) -> None:
    """Had the first send been executed, the second would be answered with its transfer."""
    (transfer,) = engine.settle()
    assert answer_to(engine, answer) == ("ok", "retry_wait")
    engine.make_due()
    assert answer_to(engine, answer) == ("ok", "retry_wait")
    assert engine.discrepancies() == []
    engine.make_due()
    assert answer_to(engine, answer) == ("ok", "failed")
    assert engine.entries(transfer)[2].kind == "release"


def test_a_success_after_a_copy_of_a_foreign_refusal_pays(engine: Engine) -> None:
    (transfer,) = engine.settle()
    answer_to(engine, error(403, "account_invalid") | {"is_tied": False})
    engine.make_due()
    assert engine.report_one(success(engine.claim_one())) == ("ok", "paid")
    assert engine.progress(transfer).attempt == 2


@pytest.mark.parametrize("signal", ["response", "unreadable", "no_response", "not_sent"])
def test_every_signal_has_a_last_rule_that_fits_whatever_comes(engine: Engine, signal: str) -> None:
    rows = engine.db.execute(
        "select reaction from payout.stripe_error_rules where signal = %s "
        "and num_nonnulls(http_status_from, error_type, error_code, error_param, is_replayed, "
        "should_retry, is_rate_limited) = 0 order by error_rule_id desc limit 1",
        [signal],
    ).fetchall()
    assert rows == [("retry" if signal == "not_sent" else "unknown",)]
