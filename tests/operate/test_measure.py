"""The gauges say what the views say, are read by one worker at a time, and cost no history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import psycopg
import pytest

from tests.conftest import Connection
from tests.engine import (
    Engine,
    no_answer,
    no_such_account,
    rate_limited,
    success,
    unfunded,
    unguarded,
)
from tests.mutants import mutant
from tests.operate.test_check_workers import BEAT
from tests.schema.refusals import Refusal, refusal
from tests.settle.marketplace import complete, line

MEASURE: Final = "select metric, labels, value from payout_api.measure(%s)"
OPEN: Final = """
select o.state::text, o.currency::text, o.transfers, o.amount
from payout_api.overview as o
where o.state not in ('paid', 'cancelled', 'settled_outside')
"""

LOUD: Final = """
select payout.notify_operators('a_test', repeat('x', 9000),
    jsonb_build_object('ids', to_jsonb(array(select generate_series(1, %s)))))
"""

Gauges = dict[str, dict[tuple[str, ...], float]]


def measure(session: Any, worker: str = "worker_1") -> Gauges:
    """Return each gauge with its values, by the values of its labels."""
    gauges: Gauges = {}
    for metric, labels, value in session.execute(MEASURE, [worker]):
        values = tuple(labels[name] for name in sorted(labels))
        assert values not in gauges.setdefault(metric, {})
        gauges[metric][values] = value
    return gauges


def beat(engine: Engine, *workers: str) -> None:
    for worker in workers:
        engine.worker.execute(BEAT, [worker, "1.0.0"])


@pytest.fixture
def busy(engine: Engine) -> Engine:
    """An engine with transfers in every open state, on hold and waiting for an account."""
    sellers = [f"seller_{number}" for number in range(1, 8)]
    engine.settle(*sellers)
    paid, poor, gone, limited, lost, parked, _ = engine.claim()
    engine.report(
        success(paid), unfunded(poor), no_such_account(gone), rate_limited(limited),
        no_answer(lost), success(parked, amount_minor=1),
    )  # fmt: skip
    engine.settle("seller_1", settlement_id="set_jpy", currency="jpy", amount_minor=70)
    engine.settle("seller_2", settlement_id="set_held", amount_minor=300)
    engine.hold("settlement", "set_held")
    engine.app.execute("select payout_api.register_payee('newcomer')")
    complete(engine.app, "set_new", [line("1", "newcomer", 500)])
    engine.sweep()
    beat(engine, "worker_1")
    return engine


@mutant("transfers on hold are not counted", "gauges", "s.hold_id is not null", "false")
@mutant("failed transfers are not counted", "gauges", "'parked', 'failed'", "'parked'")
@mutant("transfers being sent are not counted", "gauges", "s.lease_until is not null", "false")
@mutant("waits for accounts are not counted", "gauges", "w.next_look_at is not null", "false")
@mutant(
    "transfers that are due are not counted",
    "gauges",
    "s.next_attempt_at is not null and s.hold_id is null",
    "false",
)
def test_transfers_and_money_are_those_of_the_view(busy: Engine) -> None:
    gauges = measure(busy.worker)
    rows = busy.db.execute(OPEN).fetchall()
    states = {state for state, *_ in rows}
    assert states == {"scheduled", "in_flight", "retry_wait", "unknown", "parked", "failed"}
    shown = {(currency, state): transfers for state, currency, transfers, _ in rows}
    assert gauges["payout_open_transfers"] == shown
    amounts = {(currency, state): amount for state, currency, _, amount in rows}
    assert gauges["payout_open_amount"] == pytest.approx(amounts)
    assert gauges["payout_open_oldest_seconds"].keys() == {(state,) for state in states}


def test_reasons_holds_and_discrepancies_are_counted(busy: Engine) -> None:
    gauges = measure(busy.worker)
    reasons = gauges["payout_open_reasons"]
    assert reasons["balance_insufficient", "failed"] == 1
    assert reasons["awaiting_account", "scheduled"] == 1
    assert reasons["answer_contradicts_request", "parked"] == 1
    assert gauges["payout_holds"] == {
        ("engine",): 0, ("worker",): 0, ("currency",): 0, ("payee",): 0, ("settlement",): 1,
        ("transfer",): 1,
    }  # fmt: skip
    assert gauges["payout_waits"] == {
        ("funds",): 1, ("account",): 0, ("cap",): 0, ("account_change",): 0,
    }  # fmt: skip
    assert gauges["payout_failed_for_operators"] == {(): 1}
    assert gauges["payout_open_discrepancies"] == {("answer_contradicts_request",): 1}
    assert gauges["payout_workers"] == {("1.0.0",): 1}
    assert gauges["payout_proposals"] == gauges["payout_is_stopped"] == {(): 0}


@mutant(
    "a transfer that waits for a look is called late",
    "gauges",
    " and s.next_lookup_at is null",
    "",
)
def test_the_oldest_due_transfer_is_told_without_those_that_wait_for_another_thing(
    engine: Engine,
) -> None:
    beat(engine, "worker_1")
    assert measure(engine.worker)["payout_due_transfers"] == {(): 0}
    assert measure(engine.worker)["payout_due_oldest_seconds"] == {(): 0}
    engine.settle("seller_1", settlement_id="late")
    engine.let_pass("30 hours")
    engine.sweep()  # plans a look
    engine.settle("seller_2", settlement_id="held")
    engine.let_pass("3 hours")
    engine.hold("settlement", "held")
    engine.sweep()
    engine.settle("seller_3", settlement_id="due")
    engine.let_pass("10 minutes")
    gauges = measure(engine.worker)
    assert gauges["payout_due_transfers"] == {(): 1}
    assert gauges["payout_due_oldest_seconds"][()] == pytest.approx(600, abs=60)


def test_upkeep_that_is_late_is_told(engine: Engine) -> None:
    beat(engine, "worker_1", "worker_2")
    gauges = measure(engine.worker)
    assert gauges["payout_compared_seconds"][("comparison",)] < 60
    assert gauges["payout_expired_leases"] == {(): 0}
    engine.settle()
    engine.claim()
    with unguarded(engine.db, "payout.ledger_entries"):
        engine.db.execute(
            "update payout.ledger_entries set created_at = created_at - interval '3 hours'"
        )
    engine.let_pass("2 hours")
    engine.db.execute("update payout.workers set last_seen_at = now() - interval '1 hour'")
    gauges = measure(engine.worker)
    assert gauges["payout_compared_seconds"][("comparison",)] == pytest.approx(10800, abs=60)
    assert gauges["payout_seal_lag_seconds"][()] >= 10800
    assert gauges["payout_expired_leases"] == {(): 1}
    assert "payout_workers" not in gauges
    engine.db.execute("insert into payout.adoptions (reason) values ('a test')")
    assert measure(engine.worker)["payout_is_stopped"] == {(): 1}


@mutant("every worker measures", "measure", "o.worker <> p_worker", "false")
@mutant("a worker that ended measures for ever", "measure", "'45 seconds'", "'1 day'")
def test_one_worker_measures_until_it_ends(engine: Engine) -> None:
    assert measure(engine.worker, "worker_1") == {}  # it has not been heard of
    beat(engine, "worker_1", "worker_2")
    assert measure(engine.worker, "worker_1")
    assert measure(engine.worker, "worker_2") == {}
    assert measure(engine.worker, "worker_1")
    engine.db.execute("update payout.workers set measured_at = measured_at - interval '46 seconds'")
    assert measure(engine.worker, "worker_2")
    assert measure(engine.worker, "worker_1") == {}


@mutant(
    "two workers that begin together measure both",
    "measure",
    "    if not found then\n        return;\n    end if;\n    update",
    "    update",
)
def test_of_two_workers_that_begin_together_one_measures(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    beat(shared_engine, "worker_1", "worker_2")
    other = connect("payout_worker", member=2)
    with shared_engine.worker.transaction():
        assert measure(shared_engine.worker, "worker_1")
        assert measure(other, "worker_2") == {}


def test_no_text_that_a_person_wrote_becomes_a_label(engine: Engine) -> None:
    (transfer,) = engine.settle()
    with unguarded(engine.db, "payout.transfer_states"):
        engine.db.execute(
            "update payout.transfer_states set reason = 'Ask seller_1 (sk_test_x)!', "
            "state = 'failed', next_attempt_at = null where payout_transfer_id = %s",
            [transfer],
        )
    engine.db.execute(
        "insert into payout.discrepancies (kind, advice) values ('Of seller_1', 'none')"
    )
    beat(engine, "worker_1")
    gauges = measure(engine.worker)
    assert gauges["payout_open_reasons"] == {("other", "failed"): 1}
    assert gauges["payout_open_discrepancies"] == {("other",): 1}
    with unguarded(engine.db, "payout.transfer_states"):
        engine.db.execute(
            "update payout.transfer_states set state = 'scheduled', reason = null, "
            "next_attempt_at = now()"
        )


@mutant("each reason or kind is a series", "gauges", ") as place", ") * 0 as place")
@pytest.mark.parametrize("of", ["reasons", "discrepancies"], ids=["r", "d"])
def test_labels_stay_few(engine: Engine, of: str) -> None:
    transfers = engine.settle(*(f"seller_{number}" for number in range(40)))
    with unguarded(engine.db, "payout.transfer_states"):
        engine.db.execute(
            "update payout.transfer_states set reason = 'code_' || payout_transfer_id::text"
        )
    engine.db.execute(
        "insert into payout.discrepancies (kind, advice) "
        "select 'kind_' || n, 'none' from generate_series(1, 40) as n"
    )
    beat(engine, "worker_1")
    series = measure(engine.worker)[f"payout_open_{of}"]
    assert len(series) == 31
    assert sum(series.values()) == len(transfers)
    with unguarded(engine.db, "payout.transfer_states"):
        engine.db.execute("update payout.transfer_states set reason = null")


@mutant(
    "measuring looks through all transfers",
    "gauges",
    "s.lease_until is not null",
    "(s.lease_until is not null or s.reason = 'none')",
)
def test_measuring_reads_no_more_however_long_the_history_is(engine: Engine) -> None:
    """The sum of what a measure reads of transfers is that of the open ones."""
    beat(engine, "worker_1")
    read = []
    for round_ in range(2):
        for number in range(4):
            sellers = [f"seller_{seller}" for seller in range(50)]
            engine.settle(*sellers, settlement_id=f"set_{round_}_{number}")
            claims = engine.claim()
            engine.report(
                *(success(c, stripe_transfer_id=f"tr_{c.payout_transfer_id}") for c in claims)
            )
        engine.plan_as_for_many_rows()
        before = engine.rows_read()
        assert measure(engine.worker)["payout_due_transfers"] == {(): 0}
        read.append(engine.rows_read() - before)
    assert read[1] <= read[0] + 5, read


@mutant(
    "an alarm that is too long fails",
    "notify_operators",
    "octet_length(p_ids::text) < 4000",
    "true",
)
def test_an_alarm_with_many_ids_is_told_without_them(engine: Engine) -> None:
    """NOTIFY refuses more than 8,000 bytes, and the alarm's transaction with it."""
    for ids in (10, 5000):
        try:
            engine.db.execute(LOUD, [ids])
        except psycopg.DataError as error:
            pytest.fail(str(error))


@pytest.mark.parametrize("role", ["payout_app", "payout_operator", "payout_auditor"])
def test_nobody_but_a_worker_measures(visit: Callable[..., Connection], role: str) -> None:
    assert refusal(visit(role), MEASURE, ["worker_1"]) == Refusal(
        "42501", "permission denied for function measure"
    )
