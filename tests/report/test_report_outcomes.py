"""A report is taken once, judged by the rows of now, and refused only if it is unreadable."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import psycopg
import pytest

from tests.conftest import Connection
from tests.engine import (
    STRIPE_TRANSFER,
    Claim,
    Engine,
    Observation,
    Outcome,
    Sweep,
    no_answer,
    no_such_account,
    outcome,
    rate_limited,
    success,
    unfunded,
)
from tests.mutants import mutant
from tests.schema.refusals import Refusal, refusal_of, wait_until_blocked

# One outcome for each way in which an attempt can fail.
FAILURES = {
    "surely not executed": rate_limited,
    "not sent": lambda claim: outcome(claim, "not_sent"),
    "unknown": no_answer,
    "unreadable": lambda claim: outcome(claim, "unreadable", http_status=200),
    "declined": unfunded,
    "refused": no_such_account,
    "key refused": lambda claim: outcome(claim, "response", http_status=401),
    "key used for another request": lambda claim: outcome(
        claim, "response", http_status=400, error_type="idempotency_error"
    ),
}
every_failure = pytest.mark.parametrize("failure", FAILURES.values(), ids=list(FAILURES))


@mutant(
    "no ledger entry for paid",
    "record_outcomes",
    "join payout.states as m on m.entry_kind is not null",
    "join payout.states as m on m.entry_kind <> 'paid'",
)
def test_a_success_pays_and_books_and_is_stored(engine: Engine) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    facts = {"stripe_request_id": "req_1", "is_replayed": True}
    assert engine.report(success(claim, **facts)) == [(transfer, 1, 1, "ok", "paid")]
    progress = engine.progress(transfer)
    assert (progress.state, progress.stripe_transfer_id) == ("paid", STRIPE_TRANSFER)
    assert (progress.lease_for, progress.next_attempt_in) == (None, None)
    assert engine.entries(transfer)[2:] == [("paid", 1, "in_flight", "stripe_balance", 1500)]
    stored = engine.db.execute(
        "select generation, attempt, signal, verdict, moved_to, http_status, stripe_transfer_id, "
        "stripe_request_id, is_replayed, (facts ->> 'amount_minor')::bigint "
        "from payout.transfer_observations"
    ).fetchall()
    assert stored == [(1, 1, "response", "ok", "paid", 200, STRIPE_TRANSFER, "req_1", True, 1500)]


@mutant(
    "a report that may not be repeated",
    "judge_success",
    "when p_state.stripe_transfer_id = p_outcome.stripe_transfer_id then 'known'",
    "",
)
def test_a_success_that_is_told_again_is_already_known_and_booked_once(engine: Engine) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.report(success(claim))
    before = engine.progress(transfer), engine.entries(transfer)
    for _ in range(3):
        assert engine.report_one(success(claim)) == ("already", "paid")
    assert (engine.progress(transfer), engine.entries(transfer)) == before


def test_a_success_that_is_replayed_after_a_restore_pays_without_another_transfer(
    engine: Engine,
) -> None:
    """The restored database forgot the first answer; the same key gives it again."""
    (transfer,) = engine.settle()
    engine.report(no_answer(engine.claim_one()))
    engine.make_due()
    assert engine.report_one(success(engine.claim_one(), is_replayed=True)) == ("ok", "paid")
    assert engine.progress(transfer).stripe_transfer_id == STRIPE_TRANSFER


@every_failure
def test_a_failure_that_is_told_again_is_already_known(
    engine: Engine, failure: Callable[..., Outcome]
) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.report(failure(claim))
    before = engine.progress(transfer), engine.entries(transfer)
    verdict, state = engine.report_one(failure(claim))
    assert (verdict, state) == ("already", before[0].state)
    after = engine.progress(transfer)
    assert after.tries == before[0].tries
    assert engine.entries(transfer) == before[1]


@mutant(
    "no fence by attempt",
    "judge_outcome",
    "and p_state.attempt = p_outcome.attempt then",
    "and p_state.generation = p_outcome.generation then",
    at="declined",
)
@every_failure
def test_a_failure_of_an_attempt_that_is_not_the_newest_changes_nothing(
    engine: Engine, failure: Callable[..., Outcome]
) -> None:
    """A zombie wakes up after its lease; another worker holds the transfer now."""
    (transfer,) = engine.settle()
    zombie = engine.claim_one()
    engine.let_pass("31 seconds")
    engine.sweep()
    engine.claim_one()
    before = engine.progress(transfer), engine.entries(transfer)
    assert engine.report_one(failure(zombie)) == ("stale", "in_flight")
    after = engine.progress(transfer)
    assert (after.state, after.attempt, after.tries) == ("in_flight", 2, before[0].tries)
    assert after.has_unknown_send
    assert engine.entries(transfer) == before[1]
    assert engine.open_holds() == []
    assert engine.observations(transfer)[-1].verdict == "stale"


@mutant(
    "no fence by lease",
    "judge_outcome",
    "elsif p_state.state = 'in_flight' and",
    "elsif",
    at="not sent",
)
@every_failure
def test_a_failure_that_comes_after_the_lease_was_closed_changes_nothing(
    engine: Engine, failure: Callable[..., Outcome]
) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.let_pass("31 seconds")
    engine.sweep()
    assert engine.report_one(failure(claim)) == ("stale", "unknown")
    assert engine.progress(transfer).state == "unknown"


@mutant(
    "no fence",
    "judge_outcome",
    "and p_state.attempt = p_outcome.attempt then",
    "then",
    at="declined",
)
@every_failure
def test_a_failure_of_a_closed_key_never_touches_the_next_one(
    engine: Engine, failure: Callable[..., Outcome]
) -> None:
    """A zombie of the first key wakes up while the second is in flight."""
    (transfer,) = engine.settle()
    zombie = engine.claim_one()
    engine.let_pass("31 seconds")
    engine.sweep()
    engine.let_pass("20 minutes")
    engine.report(unfunded(engine.claim_one()))
    engine.make_due()
    engine.sweep()
    claim = engine.claim_one()
    assert (claim.generation, claim.attempt) == (2, 3)
    before = engine.progress(transfer), engine.entries(transfer)
    assert engine.report_one(failure(zombie)) == ("stale", "in_flight")
    after = engine.progress(transfer)
    assert after._replace(lease_for=None) == before[0]._replace(lease_for=None)
    assert engine.entries(transfer) == before[1]
    assert engine.report_one(success(claim)) == ("ok", "paid")


@every_failure
def test_a_failure_never_undoes_a_payment(engine: Engine, failure: Callable[..., Outcome]) -> None:
    (transfer,) = engine.settle()
    zombie = engine.claim_one()
    engine.let_pass("31 seconds")
    engine.sweep()
    claim = engine.claim_one()
    engine.report(success(claim))
    assert engine.report_one(failure(zombie)) == ("stale", "paid")
    assert engine.report_one(failure(claim))[1] == "paid"
    assert engine.progress(transfer).state == "paid"
    assert engine.report_one(success(zombie)) == ("already", "paid")


@mutant(
    "outcomes of one transfer judged at once",
    "report_outcomes",
    "partition by o.payout_transfer_id order by",
    "partition by o.ordinality order by",
)
def test_two_outcomes_of_one_transfer_in_one_call_are_judged_one_after_the_other(
    engine: Engine,
) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    rows = engine.report(no_answer(claim), success(claim), success(claim), no_answer(claim))
    assert [(row.verdict, row.state) for row in rows] == [
        ("ok", "unknown"),
        ("ok", "paid"),
        ("already", "paid"),
        ("already", "paid"),
    ]
    assert [entry.kind for entry in engine.entries(transfer)] == ["obligation", "reserve", "paid"]
    engine.settle(settlement_id="set_2")
    claim = engine.claim_one()
    rows = engine.report(success(claim, stripe_transfer_id="tr_2"), no_answer(claim))
    assert [(row.verdict, row.state) for row in rows] == [("ok", "paid"), ("stale", "paid")]


def test_a_call_serves_many_transfers_each_with_its_own_outcome(engine: Engine) -> None:
    engine.settle(*(f"seller_{n}" for n in range(9)))
    claims = engine.claim()
    outcomes = [success(c, stripe_transfer_id=f"tr_{c.payout_transfer_id}") for c in claims[:3]]
    outcomes += [unfunded(c) for c in claims[3:6]] + [no_answer(c) for c in claims[6:]]
    rows = engine.report(*reversed(outcomes))
    assert [row.state for row in sorted(rows)] == ["paid"] * 3 + ["failed"] * 3 + ["unknown"] * 3
    assert {row.verdict for row in rows} == {"ok"}


def test_a_report_of_large_answers_is_taken_whole(engine: Engine) -> None:
    engine.settle(*(f"seller_{n}" for n in range(100)))
    outcomes = [success(c, stripe_transfer_id=f"tr_{n}") for n, c in enumerate(engine.claim())]
    for told in outcomes:
        told["body"]["description"] = 10_000 * "x"
    outcomes[0]["body"] |= {"amount": 1, "description": 400_000 * "x"}
    reports = engine.report(*outcomes)
    assert [report.state for report in reports] == ["parked"] + 99 * ["paid"]
    ((longest,),) = engine.db.execute(
        "select max(length(facts::text)) from payout.transfer_observations"
    ).fetchall()
    assert longest < 1000


def test_a_report_reads_no_more_than_what_it_is_about(engine: Engine) -> None:
    engine.settle(*(f"seller_{n}" for n in range(300)))
    claims = engine.claim(20)
    engine.plan_as_for_many_rows()
    before = engine.rows_read()
    engine.report(*(no_answer(claim) for claim in claims))
    assert engine.rows_read() - before < 200


@mutant(
    "a token that counts under every key",
    "judge_outcome",
    "and a.generation = p_outcome.generation\n",
    "\n",
)
@pytest.mark.parametrize("told", [unfunded, success], ids=["declined", "made"])
def test_a_claim_tells_nothing_of_another_key(
    engine: Engine, told: Callable[[Claim], Outcome]
) -> None:
    engine.settle()
    first = engine.claim_one()
    engine.report(unfunded(first))
    engine.make_due()
    engine.sweep()
    second = engine.claim_one()
    of_the_second = {"generation": 2, "idempotency_key": second.idempotency_key}
    of_the_first = {"generation": 1, "idempotency_key": first.idempotency_key}
    assert engine.report_one(told(first._replace(**of_the_second))) == ("alarm", "in_flight")
    assert engine.report_one(told(second._replace(**of_the_first))) == ("alarm", "in_flight")


@mutant(
    "two outcomes that name one transfer at Stripe set aside",
    "record_outcomes_apart",
    "elsif v_half > 0 then",
    "elsif false then",
)
def test_one_stripe_transfer_reported_twice_in_one_call_pays_one_transfer(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    first, second = engine.claim()
    reports = engine.report(success(first), success(second))
    assert [report.verdict for report in reports] == ["ok", "alarm"]


def test_nothing_reported_is_nothing_done(engine: Engine) -> None:
    assert engine.report() == []


MALFORMED: dict[str, tuple[object, str]] = {
    "no object": (7, "is not an object"),
    "null": (None, "is not an object"),
    "no transfer": ({"payout_transfer_id": None}, "has no whole number payout_transfer_id"),
    "a text": ({"payout_transfer_id": "abc"}, "has no whole number payout_transfer_id"),
    "beyond bigint": ({"payout_transfer_id": 10**30}, "has no whole number payout_transfer_id"),
    "no generation": ({"generation": None}, "has no whole number generation"),
    "a fraction": ({"generation": 1.5}, "has no whole number generation"),
    "no attempt": ({"attempt": None}, "has no whole number attempt"),
    "beyond integer": ({"attempt": 2**40}, "has no whole number attempt"),
    "no signal": (
        {"signal": None},
        "has no signal out of response, unreadable, no_response, not_sent",
    ),
    "another signal": (
        {"signal": "lease_expired"},
        "has no signal out of response, unreadable, no_response, not_sent",
    ),
}


@pytest.mark.parametrize(("wrong", "message"), MALFORMED.values(), ids=list(MALFORMED))
def test_a_malformed_outcome_is_named_and_nothing_of_its_call_is_taken(
    engine: Engine, wrong: object, message: str
) -> None:
    transfers = engine.settle("seller_1", "seller_2")
    good, bad = engine.claim()
    outcomes = [success(good), success(bad) | wrong if isinstance(wrong, dict) else wrong]
    assert refusal_of(engine.db, lambda: engine.report(*outcomes)) == Refusal(
        "SP312", f"outcome 2 {message}"
    )
    assert [engine.progress(transfer).state for transfer in transfers] == ["in_flight"] * 2


@pytest.mark.parametrize("outcomes", ["{}", "7", "null", None])
def test_a_report_that_is_no_array_is_refused(engine: Engine, outcomes: str | None) -> None:
    def report() -> object:
        return engine.db.execute("select payout_api.report_outcomes(%s::jsonb)", [outcomes])

    assert refusal_of(engine.db, report) == Refusal("SP312", "p_outcomes is not an array")


ODD: dict[str, dict[str, Any]] = {
    "status 100": {"http_status": 100},
    "status 599": {"http_status": 599},
    "status 0": {"http_status": 0},
    "status 700": {"http_status": 700},
    "status of ten digits": {"http_status": 10**9},
    "status in words": {"http_status": "teapot"},
    "no status": {"http_status": None},
    "endless wait": {"http_status": 429, "retry_after_seconds": 1e30},
    "wait that is over": {"http_status": 429, "retry_after_seconds": -1e30},
    "wait that is no number": {"http_status": 429, "retry_after_seconds": "NaN"},
    "infinite wait": {"http_status": 429, "retry_after_seconds": "Infinity"},
    "neither true nor false": {"http_status": 429, "is_replayed": "perhaps", "is_livemode": 7},
    "long texts": {"http_status": 400, "error_code": "x" * 500, "error_message": "'; drop"},
    "texts that are none": {"http_status": 400, "error_code": {"an": "object"}, "detail": ["a"]},
    "more than is known": {"http_status": 400, "nobody_knows_this": True},
}


@pytest.mark.parametrize("facts", ODD.values(), ids=list(ODD))
def test_odd_values_do_not_keep_an_outcome_from_being_taken(
    engine: Engine, facts: dict[str, Any]
) -> None:
    (transfer,) = engine.settle()
    verdict, state = engine.report_one(outcome(engine.claim_one(), "response", **facts))
    assert verdict == "ok"
    assert state in {"retry_wait", "unknown"}
    awaits = engine.progress(transfer).next_attempt_in
    assert awaits is not None
    assert timedelta(seconds=-10) <= awaits <= timedelta(hours=1)


@pytest.mark.parametrize(
    "facts",
    [{"amount_minor": 10**30}, {"amount_minor": "1500.5"}, {"is_livemode": "perhaps"}],
    ids=str,
)
def test_a_success_that_cannot_be_read_in_full_is_left_to_operators(
    engine: Engine, facts: dict[str, Any]
) -> None:
    engine.settle()
    assert engine.report_one(success(engine.claim_one(), **facts)) == ("alarm", "parked")


def test_a_report_of_a_transfer_that_is_not_known_is_kept_and_notifies_operators(
    engine: Engine,
) -> None:
    """This database was restored or promoted, and forgot the claim."""
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    forgotten = success(claim._replace(payout_transfer_id=10**9), stripe_transfer_id="tr_9")
    rows = engine.report(success(claim), forgotten)
    assert sorted(rows) == [
        (transfer, 1, 1, "ok", "paid"),
        (10**9, 1, 1, "alarm", None),
    ]
    assert engine.discrepancies() == [("report_of_unknown_transfer", None, "tr_9")]


@mutant(
    "no fence by key",
    "judge_outcome",
    "p_transfer.payout_ref || ':'",
    "split_part(p_outcome.idempotency_key, ':', 1) || ':'",
    at="declined",
)
@every_failure
def test_a_report_about_another_transfer_of_the_same_number_changes_nothing(
    engine: Engine, failure: Callable[..., Outcome]
) -> None:
    """Serials are handed out again by a promoted standby, keys are not."""
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    before = engine.progress(transfer)
    foreign = failure(claim._replace(idempotency_key="payout_of_somebody_else:1"))
    assert engine.report_one(foreign) == ("alarm", "in_flight")
    assert engine.progress(transfer)._replace(lease_for=None) == before._replace(lease_for=None)
    assert engine.discrepancies() == [("report_of_another_claim", transfer, None)]
    assert engine.report_one(success(claim)) == ("ok", "paid")


@mutant(
    "no fence by token",
    "judge_outcome",
    "and a.claim_token_sha256 = sha256(convert_to(p_outcome.claim_token, 'UTF8'))",
    "",
)
def test_a_decline_of_a_login_that_claimed_nothing_releases_no_money(engine: Engine) -> None:
    """The attack: Stripe executes the transfer while a forged decline would open the next key."""
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    forged = unfunded(claim._replace(claim_token="00000000-0000-4000-8000-000000000000"))

    assert engine.report_one(forged) == ("alarm", "in_flight")
    assert engine.discrepancies() == [("report_of_another_claim", transfer, None)]
    engine.make_due()
    engine.sweep()
    assert engine.progress(transfer).generation == 1
    assert engine.report_one(success(claim)) == ("ok", "paid")


@mutant(
    "a success without the token of its claim",
    "judge_outcome",
    "and a.claim_token_sha256 = sha256(convert_to(p_outcome.claim_token, 'UTF8'))",
    "",
)
def test_a_success_of_a_login_that_claimed_nothing_pays_nothing(engine: Engine) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    invented = success(claim._replace(claim_token="invented"), stripe_transfer_id="tr_invented")

    assert engine.report_one(invented) == ("alarm", "in_flight")
    assert engine.discrepancies() == [("report_of_another_claim", transfer, "tr_invented")]
    assert [entry.kind for entry in engine.entries(transfer)] == ["obligation", "reserve"]


def test_the_token_of_an_earlier_claim_still_tells_of_its_success(engine: Engine) -> None:
    engine.settle()
    zombie = engine.claim_one()
    engine.report(no_answer(zombie))
    engine.make_due()
    assert engine.claim_one().claim_token != zombie.claim_token
    assert engine.report_one(success(zombie)) == ("ok", "paid")


@pytest.mark.parametrize("name", ["idempotency_key", "claim_token"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_report_without_key_or_token_is_refused(
    engine: Engine, name: str, value: str | None
) -> None:
    engine.settle()
    told = unfunded(engine.claim_one()) | {name: value}

    with pytest.raises(psycopg.Error) as caught:
        engine.report(told)
    assert caught.value.sqlstate == "SP312"
    assert caught.value.diag.message_primary == f"outcome 1 has no {name}"


@mutant(
    "a forged report that closes an open attempt",
    "record_outcomes",
    "from judged as j where j.reason is distinct from 'report_of_another_claim'",
    "from judged as j",
)
def test_a_forged_report_closes_no_attempt_that_is_open(engine: Engine) -> None:
    engine.settle()
    first = engine.claim_one()
    engine.let_pass("31 seconds")
    engine.sweep()
    second = engine.claim_one()
    engine.report(no_answer(first._replace(claim_token="forged")))
    assert engine.report_one(unfunded(second)) == ("ok", "unknown")


def test_a_report_cannot_tell_of_a_look_up(engine: Engine) -> None:
    engine.settle()
    told = no_answer(engine.claim_one()) | {"read_id": "x", "found": 1, "first_absence_id": 1}
    assert engine.report_one(told) == ("ok", "unknown")
    [(facts,)] = engine.db.execute("select facts from payout.transfer_observations").fetchall()
    assert not {"read_id", "found", "first_absence_id"} & set(facts)


def test_no_token_is_kept_in_a_row(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    first, second = engine.claim()
    engine.report(success(first, amount_minor=1), no_answer(second))
    engine.report(success(second._replace(payout_transfer_id=10**9)))
    rows = engine.db.execute(
        "select to_jsonb(o)::text from payout.transfer_observations as o "
        "union all select to_jsonb(d)::text from payout.discrepancies as d "
        "union all select to_jsonb(a)::text from payout.transfer_attempts as a"
    ).fetchall()
    assert len(rows) >= 5
    for claim in (first, second):
        assert not [row for (row,) in rows if claim.claim_token in row]


def test_of_two_reports_at_once_one_counts_and_the_other_is_already_known(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    (transfer,) = shared_engine.settle()
    claim = shared_engine.claim_one()
    workers = [connect("payout_worker") for _ in range(8)]
    barrier = Barrier(len(workers))

    def report(connection: Connection) -> str:
        barrier.wait()
        (row,) = shared_engine.report(success(claim), connection=connection)
        return row.verdict

    with ThreadPoolExecutor(len(workers)) as pool:
        verdicts = sorted(pool.map(report, workers))
    assert verdicts == ["already"] * 7 + ["ok"]
    assert [entry.kind for entry in shared_engine.entries(transfer)] == [
        "obligation",
        "reserve",
        "paid",
    ]


def test_reports_of_the_same_transfers_in_opposite_order_wait_and_do_not_deadlock(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    shared_engine.settle(*(f"seller_{n}" for n in range(40)))
    outcomes = [
        success(claim, stripe_transfer_id=f"tr_{claim.payout_transfer_id}")
        for claim in shared_engine.claim()
    ]
    orders = [outcomes, outcomes[::-1]] * 2
    workers = [connect("payout_worker") for _ in orders]
    barrier = Barrier(len(orders))

    def report(order: list[Outcome], connection: Connection) -> list[str]:
        barrier.wait()
        return [row.verdict for row in shared_engine.report(*order, connection=connection)]

    with ThreadPoolExecutor(len(orders)) as pool:
        shares = pool.map(report, orders, workers)
        verdicts = [verdict for share in shares for verdict in share]
    assert (verdicts.count("ok"), verdicts.count("already")) == (40, 120)


@mutant(
    "a report that does not lock",
    "report_outcomes",
    "order by s.payout_transfer_id\n        for update);",
    "order by s.payout_transfer_id);",
)
def test_a_report_waits_for_a_claim_and_is_then_judged_by_what_the_claim_left(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    (transfer,) = shared_engine.settle()
    zombie = shared_engine.claim_one()
    shared_engine.let_pass("31 seconds")
    shared_engine.sweep()
    other = connect("payout_worker")
    with ThreadPoolExecutor(1) as pool:
        with shared_engine.worker.transaction():
            shared_engine.claim_one()
            report = pool.submit(shared_engine.report, unfunded(zombie), connection=other)
            wait_until_blocked(shared_engine.db, other, by=report)
        (row,) = report.result()
    assert (row.verdict, row.state) == ("stale", "in_flight")
    assert shared_engine.progress(transfer).attempt == 2


def test_a_failure_that_waited_for_a_success_finds_the_transfer_paid(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    (transfer,) = shared_engine.settle()
    claim = shared_engine.claim_one()
    other = connect("payout_worker")
    with ThreadPoolExecutor(1) as pool:
        with shared_engine.worker.transaction():
            shared_engine.report(success(claim))
            report = pool.submit(shared_engine.report, unfunded(claim), connection=other)
            wait_until_blocked(shared_engine.db, other)
        (row,) = report.result()
    assert (row.verdict, row.state) == ("already", "paid")
    assert [entry.kind for entry in shared_engine.entries(transfer)][2:] == ["paid"]


def test_a_sweep_leaves_alone_what_a_report_is_about_to_settle(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    (transfer,) = shared_engine.settle()
    claim = shared_engine.claim_one()
    shared_engine.let_pass("31 seconds")
    with shared_engine.worker.transaction():
        shared_engine.report(success(claim))
        assert shared_engine.sweep(connection=connect("payout_worker")) == Sweep(0, 0, 0)
    assert shared_engine.sweep() == Sweep(0, 0, 0)
    assert shared_engine.observations(transfer) == [Observation(1, "response", "ok", "paid", None)]


@pytest.mark.parametrize("role", ["payout_app", "payout_operator", "payout_auditor"])
def test_only_a_worker_may_report(visit: Callable[..., Connection], role: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        visit(role).execute("select payout_api.report_outcomes('[]')")
    assert caught.value.diag.message_primary == "permission denied for function report_outcomes"
