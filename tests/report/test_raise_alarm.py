"""Operators are notified, and sending stops, when Stripe says the unexpected."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.conftest import Connection
from tests.engine import (
    Claim,
    Engine,
    Outcome,
    alarms,
    listed,
    no_answer,
    no_such_account,
    outcome,
    rate_limited,
    success,
    unfunded,
    unguarded,
)
from tests.mutants import mutant
from tests.reconcile.listing import ours, reconcile

ALARMS: dict[str, Callable[[Claim], list[Outcome]]] = {
    "answer_contradicts_request": lambda claim: [success(claim, amount_minor=1)],
    "second_transfer_at_stripe": lambda claim: [
        success(claim),
        success(claim, stripe_transfer_id="tr_2"),
    ],
    "success_under_closed_key": lambda claim: [
        no_such_account(claim),
        success(claim),
    ],
    "stripe_key_refused": lambda claim: [outcome(claim, "response", http_status=401)],
    "balance_insufficient": lambda claim: [unfunded(claim)],
    "key_used_with_other_request": lambda claim: [
        outcome(claim, "response", http_status=400, error_type="idempotency_error")
    ],
    "report_of_unknown_transfer": lambda claim: [success(claim._replace(payout_transfer_id=10**9))],
}


@pytest.fixture
def warnings(shared_engine: Engine) -> list[str]:
    """The warnings that a worker gets."""
    found: list[str] = []
    shared_engine.worker.add_notice_handler(
        lambda notice: found.append(notice.message_primary or "")
    )
    return found


@pytest.mark.parametrize(("reason", "outcomes"), ALARMS.items(), ids=list(ALARMS))
def test_an_alarm_is_heard_by_whoever_listens(
    shared_engine: Engine,
    connect: Callable[..., Connection],
    warnings: list[str],
    reason: str,
    outcomes: Callable[[Claim], list[Outcome]],
) -> None:
    listener = connect("payout_operator")
    listener.execute("listen payout_alarms")
    shared_engine.settle()
    claim = shared_engine.claim_one()
    assert alarms(listener) == []
    assert warnings == []
    shared_engine.report(*outcomes(claim))
    assert alarms(listener) == [reason]
    [warning] = warnings
    assert warning.startswith(f"payout alarm: {reason}, ")


@mutant(
    "an alarm without its transfer",
    "raise_alarm",
    "'payout_transfer_id', t.payout_transfer_id, ",
    "",
    at="reported",
)
@mutant(
    "parked transfers without their numbers",
    "record_expiries",
    "v_parked_ids[1:20]",
    "'{}'::bigint[]",
    at="parked",
)
@mutant(
    "discrepancies without their numbers",
    "record_discrepancies",
    "v_new.discrepancy_ids[1:20]",
    "'{}'::bigint[]",
    at="compared",
)
@pytest.mark.parametrize("how", ["reported", "parked", "compared"])
def test_an_alarm_names_the_rows_that_it_is_about(
    shared_engine: Engine, connect: Callable[..., Connection], how: str
) -> None:
    """On the channel, and in the DETAIL of the warning, which a worker hands on."""
    engine, listener = shared_engine, connect("payout_operator")
    listener.execute("listen payout_alarms")
    details: list[str | None] = []
    for connection in (engine.worker, engine.db):
        connection.add_notice_handler(lambda notice: details.append(notice.message_detail))
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    if how == "reported":
        engine.report(success(claim, amount_minor=1))
        about = {"payout_transfer_id": transfer, "settlement_id": "set_1"}
    elif how == "parked":
        engine.report(no_answer(claim))
        engine.let_pass("21 hours")
        engine.sweep()
        about = {"payout_transfer_ids": [transfer]}
    else:
        reconcile(engine.db, listed(claim, id="tr_9", metadata={}, transfer_group=None))
        ((discrepancy, read_id),) = engine.db.execute(
            "select discrepancy_id, found_by_read_id from payout.discrepancies"
        ).fetchall()
        about = {"discrepancy_ids": [discrepancy], "read_id": read_id}
    listener.execute("select")
    [notice] = listener.notifies(timeout=5, stop_after=1)
    told = json.loads(notice.payload)
    assert about.items() <= told.items()
    assert told.keys() - about.keys() == {"alarm", "subject"}
    assert [json.loads(detail or "") for detail in details] == [told]


def test_a_transfer_that_the_sweep_parks_is_heard_of(
    shared_engine: Engine, connect: Callable[..., Connection], warnings: list[str]
) -> None:
    listener = connect("payout_operator")
    listener.execute("listen payout_alarms")
    shared_engine.settle()
    shared_engine.report(no_answer(shared_engine.claim_one()))
    shared_engine.let_pass("21 hours")
    shared_engine.sweep()
    assert alarms(listener) == ["transfers_parked"]
    assert warnings == ["payout alarm: transfers_parked, 1 by the sweep"]


@mutant(
    "an alarm that holds another transfer",
    "stop_transfer",
    "'transfer', p_payout_transfer_id::text",
    "'transfer', (p_payout_transfer_id + 1000000)::text",
)
def test_an_alarm_stops_its_transfer_and_not_the_other_payees_of_the_settlement(
    engine: Engine,
) -> None:
    alarmed, other = engine.settle("seller_1", "seller_2")
    first, second = engine.claim()
    engine.report(success(first, amount_minor=1), rate_limited(second))
    assert engine.open_holds() == [("transfer", str(alarmed), "answer_contradicts_request")]
    engine.make_due()
    assert [claim.payout_transfer_id for claim in engine.claim()] == [other]


def place_earlier(engine: Engine, interval: str) -> None:
    """Let every hold have been placed so much earlier."""
    with unguarded(engine.db, "payout.holds"):
        engine.db.execute(
            "update payout.holds set placed_at = placed_at - %s::interval", [interval]
        )


@mutant("alarms are not counted", "stop_transfer", "v_alarms >=", "null::integer >", at="at once")
@mutant(
    "an old alarm counts",
    "stop_transfer",
    "payout.clock() - v_settings.alarm_window_for",
    "timestamptz '-infinity'",
    at="long after",
)
@mutant(
    "alarms count again after a release",
    "stop_transfer",
    "select max(e.released_at)",
    "select null::timestamptz",
    at="after a release",
)
@pytest.mark.parametrize(
    ("third", "stops"),
    [("at once", True), ("long after", False), ("after a release", False)],
    ids=["at once", "long after", "after a release"],
)
def test_alarms_about_many_transfers_in_a_short_time_stop_the_engine(
    engine: Engine, third: str, stops: bool
) -> None:
    """Alarms about one transfer count once."""
    engine.set(max_alarms=3)
    engine.settle(*(f"seller_{number}" for number in range(1, 5)))
    claims = engine.claim(3)
    for number, claim in enumerate((claims[0], claims[0], claims[1])):
        engine.report(success(claim, amount_minor=1, stripe_transfer_id=f"tr_{number}"))
    if third == "long after":
        place_earlier(engine, "11 minutes")
    elif third == "after a release":
        place_earlier(engine, "1 minute")
        (alarm,) = engine.db.execute(
            "insert into payout.holds (scope, reason, discrepancy_id) "
            "select 'engine', 'alarms', min(discrepancy_id) from payout.discrepancies "
            "returning hold_id"
        ).fetchall()
        engine.db.execute("select payout_api.release_hold(%s, 'looked')", alarm)
        engine.approve()
    assert len(engine.open_holds()) == 2
    engine.report(success(claims[2], amount_minor=1, stripe_transfer_id="tr_9"))
    reason = "3 alarms within 00:10:00: find their common cause in payout_api.discrepancies first"
    assert (("engine", None, reason) in engine.open_holds()) is stops
    assert (engine.claim() == []) is stops


@mutant(
    "the hold of a person stands for that of many alarms",
    "stop_transfer",
    "v_settings.alarm_window_for), p_discrepancy_id);",
    "v_settings.alarm_window_for));",
)
def test_a_hold_of_an_operator_takes_no_place_of_the_one_that_many_alarms_place(
    engine: Engine,
) -> None:
    """The attack: who released their own hold let the engine go on in the middle of alarms."""
    engine.set(max_alarms=2)
    engine.settle("seller_1", "seller_2", "seller_3")
    claims = engine.claim(2)
    hold_id = engine.hold("engine")
    for number, claim in enumerate(claims):
        engine.report(success(claim, amount_minor=1, stripe_transfer_id=f"tr_{number}"))
    engine.db.execute("select payout_api.release_hold(%s, 'done')", [hold_id])
    assert [scope for scope, _, _ in engine.open_holds()] == ["transfer", "transfer", "engine"]
    assert engine.claim() == []


@mutant(
    "a forged report about a paid transfer stops something",
    "raise_alarm",
    "p_judgement.reason = 'report_of_another_claim' and exists (",
    "false and exists (",
)
def test_reports_of_another_claim_about_paid_transfers_stop_nothing(engine: Engine) -> None:
    """The attack: any login of a worker stopped the engine with ten reports."""
    engine.set(max_alarms=2)
    engine.settle("seller_1", "seller_2", "seller_3")
    claims = engine.claim(2)
    for number, claim in enumerate(claims):
        engine.report(success(claim, stripe_transfer_id=f"tr_{number}"))
    for claim in claims:
        forged = success(claim._replace(claim_token="invented"), stripe_transfer_id="tr_9")
        assert engine.report_one(forged) == ("alarm", "paid")
    assert engine.open_holds() == []
    assert len(engine.discrepancies()) == 2
    assert len(engine.claim()) == 1


def test_an_alarm_that_a_comparison_resolves_leaves_no_hold(engine: Engine) -> None:
    """A hop gave a false answer; Stripe's own list shows the transfer as it was asked for."""
    (transfer,) = engine.settle()
    engine.report(success(engine.claim_one(), amount_minor=1))
    engine.hold("transfer", str(transfer))
    reconcile(engine.db, ours(engine.db, "tr_1"))
    assert engine.progress(transfer).state == "paid"
    assert engine.open_holds() == [("transfer", str(transfer), "to look")]


@mutant(
    "a hold of an alarm ends beside another alarm",
    "resolve_paid",
    "d.resolved_at is null",
    "false",
)
def test_a_hold_stays_while_one_of_its_alarms_is_open(engine: Engine) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.report(success(claim, amount_minor=1))
    engine.report(success(claim, amount_minor=1, stripe_transfer_id="tr_2"))
    reconcile(engine.db, ours(engine.db, "tr_1"))
    assert engine.progress(transfer).state == "paid"
    assert engine.open_holds() == [("transfer", str(transfer), "answer_contradicts_request")]


def not_live(claim: Claim) -> Outcome:
    """Return the refusal of a platform whose account is not active."""
    return outcome(claim, "response", http_status=400, error_code="testmode_charges_only")


@mutant(
    "a refused key of one worker stops the engine",
    "stop_refused_worker",
    "a.worker <> v_worker",
    "false",
    at="another_worker",
)
@mutant(
    "a worker's own success shows that another one works",
    "stop_refused_worker",
    "a.worker <> v_worker",
    "true",
    at="same_worker",
)
@mutant(
    "a worker on hold shows that another one works",
    "stop_refused_worker",
    "h.subject = a.worker",
    "false",
    at="held_worker",
)
@mutant(
    "an old success shows that another one works",
    "stop_refused_worker",
    "o.observed_at > payout.clock() - (",
    "'infinity' > payout.clock() - (",
    at="long_ago",
)
@pytest.mark.parametrize("who", ["another_worker", "same_worker", "held_worker", "long_ago"])
def test_a_refused_right_stops_its_worker_and_the_engine_if_no_other_succeeds(
    engine: Engine, who: str
) -> None:
    engine.settle("seller_1", "seller_2", "seller_3")
    (paid,) = engine.claim(1, worker="worker_1" if who == "same_worker" else "worker_2")
    engine.report(success(paid))
    if who == "held_worker":
        engine.db.execute("select payout.place_hold('worker', 'worker_2', 'a test')")
    if who == "long_ago":
        engine.let_pass("11 minutes")
    (claim,) = engine.claim(1, worker="worker_1")
    engine.report(not_live(claim))
    held = ("worker", "worker_1") if who == "another_worker" else ("engine", None)
    assert engine.open_holds()[-1] == (*held, "stripe_account_not_live")
    engine.make_due()
    assert engine.claim(1, worker="worker_1") == []
    assert len(engine.claim(1, worker="worker_2")) == (who == "another_worker")
    engine.release_holds()
    assert len(engine.claim(1, worker="worker_1")) == 1


@mutant(
    "a refused key stops the engine where nothing was paid lately",
    "stop_refused_worker",
    "p_reason = 'stripe_key_refused' or exists (",
    "exists (",
)
def test_a_refused_key_stops_its_worker_alone(engine: Engine) -> None:
    """The attack: a worker with an old key stopped the fleet in a quiet hour (FIELD B12)."""
    engine.settle("seller_1", "seller_2")
    (claim,) = engine.claim(1, worker="worker_1")
    engine.report(outcome(claim, "response", http_status=401))
    assert engine.open_holds() == [("worker", "worker_1", "stripe_key_refused")]
    engine.make_due()
    assert engine.claim(worker="worker_1") == []
    assert len(engine.claim(worker="worker_2")) == 2


def test_a_hold_that_the_engine_places_is_noted_among_the_actions_once(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    engine.report(*(not_live(claim) for claim in engine.claim()))
    actions = engine.db.execute(
        "select action, subject, reason from payout.operator_actions where action = 'hold'"
    ).fetchall()
    assert actions == [("hold", "engine", "stripe_account_not_live")]
