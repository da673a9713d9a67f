"""The sweep takes up the transfers that no worker holds, each once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from unittest.mock import ANY

import psycopg
import pytest

from tests.conftest import Connection
from tests.engine import (
    Engine,
    Outcome,
    Sweep,
    alarms,
    no_answer,
    rate_limited,
    success,
    unfunded,
    unguarded,
)
from tests.mutants import mutant
from tests.reconcile.listing import ours, reconcile, with_account
from tests.schema.refusals import Refusal, refusal

NOTHING = Sweep(0, 0, 0)


def test_a_lease_that_has_not_run_out_is_left_alone(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.claim_one()
    engine.let_pass("29 seconds")
    assert engine.sweep() == NOTHING
    assert engine.progress(transfer).state == "in_flight"


@mutant(
    "unknown not remembered of a vanished worker",
    "judge_expiry",
    "v_judgement.leaves_unknown := v_is_lease",
    "v_judgement.leaves_unknown := false",
)
@mutant(
    "a vanished worker's claim that counts as no try",
    "judge_expiry",
    "v_judgement.counts_as_try := v_is_lease",
    "v_judgement.counts_as_try := false",
)
@mutant("leases that never end", "expire_leases", "(s.lease_until < p_now\n", "(false\n")
def test_a_lease_that_ran_out_leaves_the_outcome_unknown_and_the_transfer_due(
    engine: Engine,
) -> None:
    (transfer,) = engine.settle()
    first = engine.claim_one()
    engine.let_pass("31 seconds")
    assert engine.sweep() == Sweep(1, 0, 0)
    progress = engine.progress(transfer)
    assert (progress.state, progress.reason) == ("unknown", "worker_did_not_report")
    assert (progress.has_unknown_send, progress.tries) == (True, 1)
    assert engine.observations(transfer) == [
        (1, "lease_expired", "ok", "unknown", "worker_did_not_report")
    ]
    assert len(engine.entries(transfer)) == 2
    assert engine.claim_one() == first._replace(attempt=2, claim_token=ANY, due_for_seconds=ANY)


def test_workers_that_vanish_again_and_again_end_with_operators(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.set(max_tries=2)
    for _ in range(2):
        engine.claim_one()
        engine.let_pass("31 seconds")
        engine.sweep()
    progress = engine.progress(transfer)
    assert (progress.state, progress.tries) == ("parked", 2)
    assert progress.reason == "tries_used_up_worker_did_not_report"
    assert len(engine.entries(transfer)) == 2


@mutant(
    "keys that are never parked",
    "park_expired_keys",
    "s.window_begins_at <= p_now - e.send_window_for",
    "false",
    at="unknown",
)
@mutant(
    "unknown becomes failed because time passed",
    "judge_expiry",
    "v_judgement.to_state := 'parked'",
    "v_judgement.to_state := 'failed'",
    at="unknown",
)
@pytest.mark.parametrize("outcome", [rate_limited, no_answer], ids=["retry_wait", "unknown"])
def test_a_key_that_is_too_old_to_be_sent_is_parked_with_its_money(
    engine: Engine, outcome: Callable[..., Outcome]
) -> None:
    (transfer,) = engine.settle()
    engine.report(outcome(engine.claim_one()))
    engine.let_pass("20 hours")
    assert engine.sweep() == Sweep(0, 1, 0)
    progress = engine.progress(transfer)
    assert (progress.state, progress.reason) == ("parked", "key_too_old_to_send")
    assert progress.next_attempt_in is None
    assert engine.observations(transfer)[-1][1:4] == ("key_expired", "ok", "parked")
    assert len(engine.entries(transfer)) == 2


def test_a_key_that_may_still_be_sent_is_not_parked(engine: Engine) -> None:
    engine.settle()
    engine.report(no_answer(engine.claim_one()))
    engine.let_pass("19 hours 59 minutes")
    assert engine.sweep() == NOTHING


def test_no_transfer_falls_between_what_is_claimed_and_what_is_parked(engine: Engine) -> None:
    """At every age a due transfer is either handed out or parked, never neither."""
    engine.settle(*(f"seller_{n}" for n in range(21)))
    engine.report(*(no_answer(claim) for claim in engine.claim()))
    engine.let_pass("19 hours 59 minutes 59.9 seconds")
    with unguarded(engine.db, "payout.transfer_states", "payout.transfer_attempts"):
        engine.db.execute(
            "update payout.transfer_states "
            "set window_begins_at = window_begins_at "
            "- payout_transfer_id % 21 * '10 ms'::interval, "
            "next_attempt_at = payout.clock() - '1 hour'::interval"
        )
        engine.db.execute(
            "update payout.transfer_attempts "
            "set window_begins_at = window_begins_at "
            "- payout_transfer_id % 21 * '10 ms'::interval"
        )
    parked = engine.sweep().transfers_parked
    claimed = len(engine.claim())
    parked += engine.sweep().transfers_parked
    assert parked + claimed == 21


def test_a_lease_that_ran_out_long_ago_is_closed_and_its_key_parked_in_one_sweep(
    engine: Engine,
) -> None:
    """All workers were away over the weekend."""
    (transfer,) = engine.settle()
    engine.claim_one()
    engine.let_pass("2 days")
    assert engine.sweep() == Sweep(1, 1, 0)
    assert [seen.moved_to for seen in engine.observations(transfer)] == ["unknown", "parked"]


@mutant(
    "a sweep that parks in silence",
    "record_expiries",
    "if v_parked_ids is not null then",
    "if false then",
)
def test_operators_are_notified_once_of_all_that_a_step_parks(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    engine = shared_engine
    engine.settle("seller_1", "seller_2")
    engine.report(*(no_answer(claim) for claim in engine.claim()))
    engine.let_pass("20 hours")
    listener = connect()
    listener.execute("listen payout_alarms")
    assert engine.sweep() == Sweep(0, 2, 0)
    heard = alarms(listener, seconds=5, stop_after=1)
    assert heard + alarms(listener) == ["transfers_parked"]
    assert engine.discrepancies() == []


def test_a_late_success_pays_what_the_sweep_has_parked(engine: Engine) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.let_pass("2 days")
    engine.sweep()
    assert engine.report_one(success(claim)) == ("ok", "paid")
    assert engine.progress(transfer).reason is None


def test_a_lease_from_a_clock_that_was_set_back_is_parked(engine: Engine) -> None:
    """The true age of its key is unknown."""
    (transfer,) = engine.settle()
    engine.claim_one()
    engine.let_pass("-2 days")
    assert engine.sweep() == Sweep(1, 0, 0)
    progress = engine.progress(transfer)
    assert (progress.state, progress.reason) == ("parked", "clock_was_set_back")


@mutant(
    "a clock that was set back goes unnoticed",
    "lock_due_transfers",
    " and s.window_begins_at <= p_now",
    "",
)
def test_a_key_from_a_clock_that_was_set_back_is_not_sent_but_parked(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.report(no_answer(engine.claim_one()))
    engine.let_pass("-2 days")
    engine.make_due()
    assert engine.claim() == []
    assert engine.sweep() == Sweep(0, 1, 0)
    assert engine.progress(transfer).reason == "clock_was_set_back"


@mutant(
    "looks that a clock put years ahead",
    "pull_back_dates",
    "and f.next_lookup_at - p_now > p_now - f.changed_at",
    "and false",
)
def test_a_look_that_a_clock_put_too_far_ahead_is_made_once_the_clock_is_right(
    engine: Engine,
) -> None:
    """The attack: a sweep under a clock that is a year ahead parks whatever waits."""
    (transfer,) = engine.settle()
    engine.report(no_answer(engine.claim_one()))
    engine.let_pass("1 year")
    assert engine.sweep() == Sweep(0, 1, 0)
    engine.let_pass("-1 year")
    assert engine.claim_lookups() == []
    engine.sweep()
    assert [lookup.payout_transfer_id for lookup in engine.claim_lookups()] == [transfer]


def test_a_look_that_became_rare_is_not_pulled_back(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.report(no_answer(engine.claim_one()))
    engine.let_pass("21 hours")
    engine.sweep()
    engine.let_pass("100 days")
    engine.db.execute(
        "update payout.transfer_states set next_lookup_at = payout.clock() + interval '25 days'"
    )
    engine.sweep()
    next_lookup_in = engine.progress(transfer).next_lookup_in
    assert next_lookup_in is not None
    assert next_lookup_in.days == 24


@mutant(
    "an answer that a clock dated years ahead",
    "park_expired_keys",
    "s.window_begins_at <= p_now - e.send_window_for\n",
    "(s.next_attempt_at <= p_now and s.window_begins_at <= p_now - e.send_window_for)\n",
)
def test_a_key_whose_next_send_a_clock_put_too_far_ahead_is_parked_when_it_is_too_old(
    engine: Engine,
) -> None:
    (transfer,) = engine.settle()
    engine.report(no_answer(engine.claim_one()))
    engine.db.execute(
        "update payout.transfer_states set next_attempt_at = payout.clock() + interval '1 year'"
    )
    engine.let_pass("20 hours")
    assert engine.sweep() == Sweep(0, 1, 0)
    assert engine.progress(transfer).reason == "key_too_old_to_send"


def test_a_sweep_that_follows_a_sweep_finds_nothing(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2", "seller_3")
    vanished, too_old, declined = engine.claim()
    engine.report(no_answer(too_old), unfunded(declined))
    engine.let_pass("20 hours")
    engine.show_nothing()
    assert engine.sweep() == Sweep(1, 2, 1)
    assert engine.sweep() == NOTHING
    assert engine.progress(vanished.payout_transfer_id).state == "parked"


def test_a_sweep_takes_no_more_of_each_than_it_was_told_to(engine: Engine) -> None:
    engine.settle(*(f"seller_{n}" for n in range(5)))
    engine.claim()
    engine.let_pass("1 minute")
    assert [engine.sweep(2).leases_expired for _ in range(4)] == [2, 2, 1, 0]


def test_a_hold_stops_neither_leases_nor_keys_from_ending(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    vanished, too_old = engine.claim()
    engine.report(no_answer(too_old))
    engine.hold("engine")
    engine.let_pass("20 hours")
    assert engine.sweep() == Sweep(1, 2, 0)
    assert engine.progress(vanished.payout_transfer_id).state == "parked"


@pytest.mark.parametrize(("limit", "told"), [("null", "null"), ("0", "0"), ("-1", "-1")])
def test_a_sweep_of_no_number_is_refused(engine: Engine, limit: str, told: str) -> None:
    assert refusal(engine.db, f"select * from payout_api.sweep(p_limit => {limit})") == Refusal(
        "SP311", f"sweep of {told} transfers"
    )


def test_a_sweep_reads_nothing_of_what_is_paid_or_not_yet_due(engine: Engine) -> None:
    payees = [f"seller_{n}" for n in range(300)]
    engine.settle(*payees, settlement_id="set_1")
    for claims in iter(lambda: engine.claim(300), []):
        engine.report(
            *(
                success(claim, stripe_transfer_id=f"tr_{claim.payout_transfer_id}")
                for claim in claims
            )
        )
    engine.settle(*payees, settlement_id="set_2", pay_after="2100-01-01")
    engine.plan_as_for_many_rows()
    before = engine.rows_read()
    assert engine.sweep() == NOTHING
    assert engine.rows_read() - before < 100


def test_a_sweep_with_a_listed_transfer_reads_nothing_of_the_history(engine: Engine) -> None:
    with_account(engine)
    reconcile(engine.db, ours(engine.db, settlement_id="set_9"))
    payees = [f"seller_{n}" for n in range(300)]
    engine.settle(*payees, settlement_id="set_1", pay_after="2100-01-01")
    engine.settle(*payees, settlement_id="set_2", pay_after="2100-01-01")
    (listed,) = engine.settle(settlement_id="set_9")
    engine.plan_as_for_many_rows()
    before = engine.rows_read()
    assert engine.sweep() == NOTHING
    assert engine.progress(listed).state == "paid"
    assert engine.rows_read() - before < 200


def test_sweeps_at_once_take_each_transfer_once(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    payees = [f"seller_{n}" for n in range(60)]
    transfers = shared_engine.settle(*payees)
    claims = shared_engine.claim()
    shared_engine.report(*(no_answer(claim) for claim in claims[20:40]))
    shared_engine.report(*(unfunded(claim) for claim in claims[40:]))
    shared_engine.let_pass("20 hours")
    shared_engine.end_waits()
    shared_engine.show_nothing()
    workers = [connect("payout_worker") for _ in range(6)]
    barrier = Barrier(len(workers))

    def sweep(connection: Connection) -> list[Sweep]:
        barrier.wait()
        return [shared_engine.sweep(9, connection=connection) for _ in range(8)]

    with ThreadPoolExecutor(len(workers)) as pool:
        sweeps = [sweep for share in pool.map(sweep, workers) for sweep in share]
    # A sweep passes over what another one holds; whatever it left, the next one takes.
    sweeps.append(shared_engine.sweep())
    assert Sweep(*(sum(column) for column in zip(*sweeps, strict=True))) == Sweep(20, 40, 20)
    states = [shared_engine.progress(transfer).state for transfer in sorted(transfers)]
    assert states == ["parked"] * 40 + ["scheduled"] * 20


@pytest.mark.parametrize("role", ["payout_app", "payout_auditor"])
def test_only_workers_and_operators_may_sweep(visit: Callable[..., Connection], role: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        visit(role).execute("select payout_api.sweep()")
    assert caught.value.diag.message_primary == "permission denied for function sweep"
    visit("payout_operator").execute("select payout_api.sweep()")
