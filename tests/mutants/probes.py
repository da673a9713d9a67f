"""Quick checks, one for each rule that keeps money safe: each must fail when its rule is broken.

A probe asserts, or is refused by the database; either tells the rule's absence.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.audit.sealing import (
    forge,
    let_a_minute_pass,
    let_transactions_end,
    seal,
    seal_everything,
    seals,
    verify,
)
from tests.conftest import Connection
from tests.engine import (
    Claim,
    Engine,
    listed,
    no_answer,
    no_such_account,
    outcome,
    rate_limited,
    refusal_by_stripe,
    success,
    unfunded,
    unguarded,
)
from tests.identity.identities import CLAIM, PARTS, adopted_elsewhere
from tests.reconcile.listing import (
    ACCOUNT,
    begin,
    event,
    ours,
    pay,
    reconcile,
    report,
    with_account,
)
from tests.reconcile.listing import (
    listed as on_the_list,
)
from tests.reconcile.test_report_lookup_page import park_of_charge
from tests.schema.refusals import refusal, refusal_of, wait_until_blocked

Probe = Callable[[Engine], None]


def claim_again(engine: Engine) -> Claim:
    """Let the wait be over and claim the one transfer there is."""
    engine.make_due()
    return engine.claim_one()


def vanish(engine: Engine) -> Claim:
    """Claim, let the lease run out, and sweep; return the claim of the worker that vanished."""
    claim = engine.claim_one()
    engine.let_pass("31 seconds")
    engine.sweep()
    return claim


def next_key(engine: Engine) -> Claim:
    """Have the claimed transfer declined for want of funds, and claim it under its next key."""
    engine.make_due()
    engine.sweep()
    return engine.claim_one()


def sqlstate(engine: Engine, statement: str) -> str | None:
    """Return how a statement was refused, or None."""
    refused = refusal(engine.db, statement)
    return refused.sqlstate if refused else None


# The key -----------------------------------------------------------------------------------------


def the_key_is_the_identity_of_the_business(engine: Engine) -> None:
    engine.settle()
    identity = "5:set_1,8:seller_1,"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:40]
    assert engine.claim_one().idempotency_key == f"payout_{digest}:1"


def every_attempt_has_the_same_key_and_request(engine: Engine) -> None:
    engine.settle()
    first = engine.claim_one()
    engine.report(no_answer(first))
    assert claim_again(engine) == first._replace(attempt=2)


def no_two_transfers_share_a_key(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2", settlement_id="set_1")
    engine.settle("seller_1", settlement_id="set_2")
    assert len({claim.idempotency_key for claim in engine.claim()}) == 3


def the_request_names_the_transfer_to_stripe(engine: Engine) -> None:
    engine.settle()
    claim = engine.claim_one()
    payout_ref = claim.idempotency_key.removesuffix(":1")
    assert claim.request == {
        "amount": 1500,
        "currency": "usd",
        "destination": "acct_1",
        "transfer_group": payout_ref,
        "metadata": {
            "payout_ref": payout_ref,
            "settlement_id": "set_1",
            "payee_id": "seller_1",
        },
    }


# The fence ---------------------------------------------------------------------------------------


def a_zombie_of_an_earlier_attempt_changes_nothing(engine: Engine) -> None:
    (transfer,) = engine.settle()
    zombie = vanish(engine)
    engine.claim_one()
    assert engine.report_one(unfunded(zombie)) == ("stale", "in_flight")
    assert engine.report_one(rate_limited(zombie)) == ("stale", "in_flight")
    assert engine.progress(transfer).attempt == 2


def a_zombie_of_a_closed_key_never_touches_the_next_one(engine: Engine) -> None:
    engine.settle()
    zombie = vanish(engine)
    engine.let_pass("16 minutes")
    engine.report(unfunded(engine.claim_one()))
    claim = next_key(engine)
    assert engine.report_one(unfunded(zombie)) == ("stale", "in_flight")
    assert engine.report_one(success(claim)) == ("ok", "paid")


def attempt_and_key_must_both_be_current(engine: Engine) -> None:
    engine.settle()
    engine.report(unfunded(engine.claim_one()))
    claim = next_key(engine)
    mixed = claim._replace(generation=1, idempotency_key=claim.idempotency_key[:-1] + "1")
    assert engine.report_one(unfunded(mixed)) == ("stale", "in_flight")


def a_failure_that_comes_after_its_lease_changes_nothing(engine: Engine) -> None:
    engine.settle()
    assert engine.report_one(rate_limited(vanish(engine))) == ("stale", "unknown")


def a_late_success_is_not_lost(engine: Engine) -> None:
    engine.settle()
    zombie = vanish(engine)
    engine.claim_one()
    assert engine.report_one(success(zombie)) == ("ok", "paid")


def a_report_may_be_repeated(engine: Engine) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.report(success(claim))
    assert engine.report_one(success(claim)) == ("already", "paid")
    assert len(engine.entries(transfer)) == 3
    assert engine.open_holds() == []


def an_alarm_may_be_repeated(engine: Engine) -> None:
    engine.settle()
    claim = engine.claim_one()
    engine.report(success(claim, amount_minor=1))
    assert engine.report_one(success(claim, amount_minor=1))[0] == "already"


def a_report_of_another_claim_changes_nothing(engine: Engine) -> None:
    engine.settle()
    claim = engine.claim_one()._replace(idempotency_key="payout_of_somebody_else:1")
    assert engine.report_one(unfunded(claim)) == ("alarm", "in_flight")


def outcomes_of_one_transfer_are_judged_in_turn(engine: Engine) -> None:
    engine.settle()
    claim = engine.claim_one()
    rows = engine.report(no_answer(claim), success(claim), success(claim))
    assert [row.verdict for row in rows] == ["ok", "ok", "already"]


# What may be sent --------------------------------------------------------------------------------


def an_old_key_is_not_sent(engine: Engine) -> None:
    engine.settle()
    engine.report(no_answer(engine.claim_one()))
    engine.let_pass("20 hours")
    assert engine.claim() == []


def the_age_of_a_key_counts_from_its_first_send(engine: Engine) -> None:
    engine.settle()
    engine.report(no_answer(engine.claim_one()))
    engine.let_pass("12 hours")
    engine.report(no_answer(claim_again(engine)))
    engine.let_pass("12 hours")
    engine.make_due()
    assert engine.claim() == []


def a_key_from_the_future_is_not_sent(engine: Engine) -> None:
    engine.settle()
    engine.report(no_answer(engine.claim_one()))
    engine.let_pass("-2 days")
    engine.make_due()
    assert engine.claim() == []


def what_is_parked_is_not_sent(engine: Engine) -> None:
    engine.settle()
    engine.report(success(engine.claim_one(), amount_minor=1))
    engine.release_holds()
    assert engine.claim() == []


def no_hand_sends_what_is_parked_or_paid(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    paid, parked = engine.claim()
    engine.report(success(paid), success(parked, amount_minor=1))
    for claim in (paid, parked):
        statement = (
            "update payout.transfer_states set state = 'in_flight', attempt = attempt + 1, "
            "stripe_transfer_id = null, lease_until = payout.clock() + interval '30 s' "
            f"where payout_transfer_id = {claim.payout_transfer_id}"
        )
        assert sqlstate(engine, statement) in {"SP103", "SP201"}


def nothing_is_sent_before_its_time(engine: Engine) -> None:
    engine.settle(pay_after="2100-01-01")
    assert engine.claim() == []


def nothing_on_hold_is_sent(engine: Engine) -> None:
    engine.settle()
    for scope, subject in {
        "engine": None,
        "currency": "usd",
        "payee": "seller_1",
        "settlement": "set_1",
    }.items():
        engine.hold(scope, subject)
        assert engine.claim() == [], scope
        engine.release_holds()


def nothing_is_sent_that_a_crash_could_undo(engine: Engine) -> None:
    engine.settle()
    for level in ("off", "local"):
        engine.db.execute(f"set local synchronous_commit = {level}")
        statement = "select * from payout_api.claim_transfers('worker_1', 1)"
        assert sqlstate(engine, statement) == "SP401"


def a_claim_is_written_down(engine: Engine) -> None:
    engine.settle()
    engine.claim_one()
    rows = engine.db.execute("select generation, attempt, worker from payout.transfer_attempts")
    assert rows.fetchall() == [(1, 1, "worker_1")]


def the_order_leaves_the_worker_less_time_than_its_lease(engine: Engine) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    assert claim.deadline_seconds < claim.lease_seconds
    lease_for = engine.progress(transfer).lease_for
    assert lease_for is not None
    assert abs(lease_for - timedelta(seconds=claim.lease_seconds)) < timedelta(seconds=1)


def no_setting_makes_the_lease_shorter_than_the_deadline(engine: Engine) -> None:
    for statement in (
        "update payout.engine_settings set lease_for = '20 seconds'",
        "update payout.engine_settings set http_deadline_for = '30 seconds'",
    ):
        assert sqlstate(engine, statement) == "23514"


def no_setting_lets_a_key_be_sent_after_23_hours(engine: Engine) -> None:
    statement = "update payout.engine_settings set send_window_for = '23 hours 1 second'"
    assert sqlstate(engine, statement) == "23514"


def no_session_moves_the_clock(engine: Engine) -> None:
    engine.settle()
    engine.report(no_answer(engine.claim_one()))
    engine.let_pass("21 hours")
    two_hours_ago = "(now() - interval '2 hours')::text"
    engine.db.execute(f"select set_config('payout.now', {two_hours_ago}, true)")
    engine.make_due()
    assert engine.claim() == []


# Where, and for whom -----------------------------------------------------------------------------

OURS = ("acct_1", False)
OPEN_GATE = "select payout_api.adopt_database('the true one')"
MOVE = "select payout_api.change_stripe_account('acct_2', true, 'moved')"


def claim_is_refused(engine: Engine) -> bool:
    """Tell whether a claim of a worker that names no account is refused for the closed gate."""
    return sqlstate(engine, CLAIM) == "SP403"


def nothing_is_sent_where_the_database_was_not_adopted(engine: Engine) -> None:
    engine.settle()
    for part in PARTS:
        adopted_elsewhere(engine.db, part)
        assert claim_is_refused(engine), part
        engine.db.execute("select payout_api.adopt_database('adopted', true)")
        assert not claim_is_refused(engine)


def nothing_is_sent_once_the_stripe_account_was_changed(engine: Engine) -> None:
    engine.settle()
    engine.set(is_livemode=False, stripe_account_id="acct_1")
    engine.db.execute("select payout_api.change_stripe_account('acct_2', false, 'moved')")
    assert claim_is_refused(engine)


def what_the_old_account_may_have_executed_is_not_left_behind(engine: Engine) -> None:
    engine.settle()
    engine.report(no_answer(*engine.claim(account=("acct_1", True))))
    assert sqlstate(engine, MOVE) == "SP411"


def what_was_used_in_test_mode_stays_there(engine: Engine) -> None:
    engine.settle()
    engine.set(is_livemode=True, stripe_account_id="acct_1")
    engine.db.execute("select payout_api.change_stripe_account('acct_2', false, 'staging')")
    engine.db.execute("select payout_api.adopt_database('for staging', true)")
    engine.report(success(*engine.claim(account=("acct_2", False))))
    assert sqlstate(engine, MOVE) == "SP411"


def nothing_is_sent_that_was_loaded_into_a_new_installation(engine: Engine) -> None:
    engine.settle()
    engine.db.execute(
        "insert into payout.adoptions (system_identifier, timeline_id, database_oid, table_oid, "
        "is_installation, reason, recorded_at) select w.*, true, 'installed', "
        "now() + interval '1 hour' from payout.database_identity() as w"
    )
    assert claim_is_refused(engine)


def nothing_is_sent_that_was_loaded_into_an_older_installation(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    engine.claim(1)
    engine.db.execute(
        "insert into payout.adoptions (system_identifier, timeline_id, database_oid, table_oid, "
        "is_installation, reason, recorded_at) select w.*, true, 'installed', "
        "now() - interval '1 hour' from payout.database_identity() as w"
    )
    assert claim_is_refused(engine)


def nothing_is_sent_where_nobody_ever_adopted_the_database(engine: Engine) -> None:
    engine.settle()
    engine.db.execute("alter table payout.adoptions disable trigger user")
    engine.db.execute("delete from payout.adoptions")
    assert claim_is_refused(engine)


def the_gate_is_opened_for_a_reason_and_after_a_run_in_this_place(engine: Engine) -> None:
    adopted_elsewhere(engine.db, "timeline_id")
    assert sqlstate(engine, "select payout_api.adopt_database(' ', true)") == "SP320"
    assert sqlstate(engine, OPEN_GATE) == "SP410"
    engine.db.execute(
        "insert into payout.reconcile_runs (created_from, created_until, adoption_id) "
        "select now() - interval '1 day', now(), max(e.adoption_id) from payout.adoptions as e"
    )
    assert sqlstate(engine, OPEN_GATE) == "SP410"
    engine.db.execute(
        "update payout.reconcile_runs set finished_at = now(), adoption_id = adoption_id - 1, "
        "started_at = now() + interval '1 day'"
    )
    assert sqlstate(engine, OPEN_GATE) == "SP410"
    engine.db.execute(
        "update payout.reconcile_runs set adoption_id = adoption_id + 1, table_oid = 1"
    )
    assert sqlstate(engine, OPEN_GATE) == "SP410"
    engine.db.execute(
        "update payout.reconcile_runs set table_oid = (payout.database_identity()).table_oid, "
        "created_until = now() - interval '2 hours'"
    )
    assert sqlstate(engine, OPEN_GATE) == "SP410"
    engine.db.execute("update payout.reconcile_runs set created_until = now() + interval '1 hour'")
    assert sqlstate(engine, OPEN_GATE) == "SP410"
    engine.db.execute("update payout.reconcile_runs set created_until = now()")
    assert sqlstate(engine, OPEN_GATE) is None


def nothing_is_sent_with_a_key_of_another_account_or_mode(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    assert len(engine.claim(limit=1, account=OURS)) == 1
    for other in (("acct_2", False), ("acct_1", True), ("acct_1", None), (None, None)):
        refused = refusal_of(engine.db, partial(engine.claim, account=other))
        assert refused is not None, other
        assert refused.sqlstate == "SP404", other
    assert len(engine.claim(account=OURS)) == 1


# What an answer means ----------------------------------------------------------------------------


CONTRADICTIONS: tuple[dict[str, object], ...] = (
    {"amount_minor": 1},
    {"currency": "eur"},
    {"destination": "acct_2"},
    {"payout_ref": "payout_0"},
    {"object": "charge"},
    {"stripe_transfer_id": "ch_1"},
    {"is_livemode": True},
    {"is_livemode": None},
)


def a_success_must_be_the_transfer_that_was_asked_for(engine: Engine) -> None:
    engine.set(is_livemode=False)
    for place, wrong in enumerate(CONTRADICTIONS):
        engine.settle(settlement_id=f"set_{place}")
        assert engine.report_one(success(engine.claim_one(), **wrong)) == ("alarm", "parked"), wrong


def an_answer_that_is_not_whole_is_no_success(engine: Engine) -> None:
    engine.settle()
    cut = success(engine.claim_one()) | {"signal": "unreadable"}
    assert engine.report_one(cut) == ("ok", "unknown")


def unknown_stays_unknown(engine: Engine) -> None:
    engine.settle()
    engine.report(no_answer(engine.claim_one()))
    for _ in range(2):
        assert engine.report_one(rate_limited(claim_again(engine))) == ("ok", "unknown")


def a_vanished_worker_leaves_an_unknown_send(engine: Engine) -> None:
    engine.settle()
    vanish(engine)
    assert engine.report_one(rate_limited(engine.claim_one())) == ("ok", "unknown")


def a_refusal_that_is_not_saved_settles_nothing_unknown(engine: Engine) -> None:
    engine.settle()
    engine.report(no_answer(engine.claim_one()))
    assert engine.report_one(no_such_account(claim_again(engine))) == ("ok", "parked")


def a_refusal_settles_nothing_while_another_send_was_executing(engine: Engine) -> None:
    engine.settle()
    in_use = {"http_status": 409, "error_code": "idempotency_key_in_use"}
    engine.report(outcome(engine.claim_one(), "response", **in_use))
    assert engine.report_one(no_such_account(claim_again(engine))) == ("ok", "parked")


def a_decline_waits_for_attempts_that_are_still_open(engine: Engine) -> None:
    engine.settle()
    vanish(engine)
    assert engine.report_one(unfunded(engine.claim_one())) == ("ok", "unknown")


def an_answer_that_no_rule_knows_is_no_failure(engine: Engine) -> None:
    engine.settle()
    answer = outcome(engine.claim_one(), "response", http_status=400, error_code="new_code")
    assert engine.report_one(answer) == ("ok", "unknown")


def a_500_is_neither_a_failure_nor_a_ground_for_another_key(engine: Engine) -> None:
    engine.settle()
    first = outcome(engine.claim_one(), "response", http_status=500)
    assert engine.report_one(first) == ("ok", "unknown")
    again = outcome(claim_again(engine), "response", http_status=500, is_replayed=True)
    assert engine.report_one(again) == ("ok", "parked")


def a_request_that_differs_is_left_to_a_person(engine: Engine) -> None:
    engine.settle()
    kind = {"http_status": 400, "error_type": "idempotency_error"}
    answer = outcome(engine.claim_one(), "response", **kind)
    assert engine.report_one(answer) == ("ok", "parked")


def a_refused_key_stops_the_engine_and_costs_no_try(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.report(outcome(engine.claim_one(), "response", http_status=401))
    assert engine.progress(transfer).tries == 0
    engine.make_due()
    assert engine.claim() == []


def tries_are_bounded(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.set(max_tries=2)
    for _ in range(2):
        engine.report(rate_limited(claim_again(engine)))
    assert engine.progress(transfer).state == "parked"


def waits_differ_and_are_capped(engine: Engine) -> None:
    engine.settle(*(f"seller_{n}" for n in range(5)))
    engine.db.execute("update payout.transfer_states set tries = 20")
    engine.report(*(no_answer(claim) for claim in engine.claim()))
    # In one look, so that no time goes by between them.
    found = engine.db.execute(
        "select max(next_attempt_at) - min(next_attempt_at), "
        "max(next_attempt_at) - payout.clock() from payout.transfer_states"
    ).fetchone()
    assert found is not None
    difference, longest = found
    assert difference > timedelta(seconds=1)
    assert longest <= timedelta(minutes=15)


# A new key ---------------------------------------------------------------------------------------


def a_new_key_needs_a_decline_that_is_saved(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.report(no_such_account(engine.claim_one()))
    engine.db.execute("update payout.transfer_states set next_attempt_at = payout.clock()")
    engine.sweep()
    assert engine.progress(transfer).generation == 1


def a_new_key_needs_the_decline_of_the_last_one(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.report(unfunded(engine.claim_one()))
    engine.report(no_such_account(next_key(engine)))
    engine.db.execute("update payout.transfer_states set next_attempt_at = payout.clock()")
    engine.sweep()
    assert engine.progress(transfer).generation == 2


def no_new_key_is_opened_once_a_success_was_seen(engine: Engine) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.report(unfunded(claim))
    engine.report(success(claim))
    assert engine.progress(transfer).next_attempt_in is None
    engine.db.execute("update payout.transfer_states set next_attempt_at = payout.clock()")
    engine.sweep()
    assert engine.progress(transfer).generation == 1


def a_success_under_a_closed_key_stops_the_open_one(engine: Engine) -> None:
    engine.settle()
    closed = engine.claim_one()
    engine.report(unfunded(closed))
    engine.make_due()
    engine.sweep()
    assert engine.report_one(success(closed)) == ("alarm", "parked")
    engine.release_holds()
    assert engine.claim() == []


def a_second_transfer_at_stripe_calls_a_person(engine: Engine) -> None:
    engine.settle()
    claim = engine.claim_one()
    engine.report(success(claim))
    assert engine.report_one(success(claim, stripe_transfer_id="tr_2")) == ("alarm", "paid")
    assert len(engine.discrepancies()) == 1
    assert [scope for scope, _, _ in engine.open_holds()] == ["settlement"]


def keys_are_bounded(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.set(max_generations=1)
    engine.report(unfunded(engine.claim_one()))
    assert engine.progress(transfer).next_attempt_in is None
    engine.db.execute("update payout.transfer_states set next_attempt_at = payout.clock()")
    assert engine.sweep().transfers_reopened == 0


def a_new_key_is_no_hand_made_one(engine: Engine) -> None:
    engine.settle()
    engine.report(unfunded(engine.claim_one()))
    statement = "update payout.transfer_states set state = 'scheduled', generation = 2"
    assert sqlstate(engine, statement) == "SP103"


# Nobody is forgotten -----------------------------------------------------------------------------


def a_worker_that_vanished_is_noticed(engine: Engine) -> None:
    (transfer,) = engine.settle()
    vanish(engine)
    assert engine.progress(transfer).state == "unknown"
    assert len(engine.claim()) == 1


def what_is_too_old_to_send_is_parked_and_never_failed(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.report(no_answer(engine.claim_one()))
    engine.let_pass("20 hours")
    engine.sweep()
    assert engine.progress(transfer).state == "parked"
    assert engine.differences_in_the_books() == []


def what_waits_for_funds_goes_on(engine: Engine) -> None:
    engine.settle()
    engine.report(unfunded(engine.claim_one()))
    assert next_key(engine).generation == 2


# The books and the facts -------------------------------------------------------------------------


def the_books_follow_the_money(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2", "seller_3")
    assert engine.differences_in_the_books() == []
    paid, declined, unknown = engine.claim()
    engine.report(success(paid), unfunded(declined), no_answer(unknown))
    assert engine.differences_in_the_books() == []
    engine.make_due()
    engine.sweep()
    assert engine.differences_in_the_books() == []
    engine.settle("seller_4", settlement_id="set_2")
    assert engine.differences_in_the_books() == []


def a_settlement_is_scheduled_once(engine: Engine) -> None:
    engine.settle()
    (job,) = engine.db.execute("select payout_job_id from payout.payout_jobs").fetchall()
    again = engine.db.execute("select payout.schedule_payout_job('set_1')").fetchall()
    assert again == [job]


def a_settlement_scheduled_before_its_commit_keeps_its_job(engine: Engine) -> None:
    engine.db.execute("select payout_api.register_payee('seller_1', 'acct_1')")
    insert_settlement(engine)
    engine.db.execute(
        "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
        "values ('set_1', '1', 'seller_1', 1500)"
    )
    jobs = engine.db.execute("select payout.schedule_payout_job('set_1')").fetchall()
    engine.db.execute("set constraints all immediate")
    assert engine.db.execute("select payout_job_id from payout.payout_jobs").fetchall() == jobs


def nothing_is_there_twice(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    first, second = engine.claim()
    engine.report(success(first))
    for statement in (
        "insert into payout.payout_jobs (settlement_id) values ('set_1')",
        "insert into payout.payout_transfers (payout_job_id, settlement_id, payee_id, destination, "
        "amount_minor, currency, payout_ref, request) select payout_job_id, settlement_id, "
        "payee_id, destination, amount_minor, currency, payout_ref, request "
        f"from payout.payout_transfers where payout_transfer_id = {first.payout_transfer_id}",
        "insert into payout.ledger_entries (payout_transfer_id, kind, generation, debit_account, "
        "credit_account, amount_minor, currency) select payout_transfer_id, kind, generation, "
        "debit_account, credit_account, amount_minor, currency from payout.ledger_entries "
        f"where kind = 'paid' and payout_transfer_id = {first.payout_transfer_id}",
        "update payout.transfer_states set state = 'paid', stripe_transfer_id = 'tr_1', "
        f"lease_until = null where payout_transfer_id = {second.payout_transfer_id}",
        "insert into payout.transfer_attempts select * from payout.transfer_attempts "
        f"where payout_transfer_id = {first.payout_transfer_id}",
    ):
        assert sqlstate(engine, statement) == "23505", statement


FACTS = (
    "payout_transfers",
    "transfer_attempts",
    "transfer_observations",
    "key_generations",
    "ledger_entries",
)


def facts_stay_even_for_those_who_may_do_everything(engine: Engine) -> None:
    engine.settle()
    engine.report(unfunded(engine.claim_one()))
    engine.report(success(next_key(engine)))
    engine.db.execute("set local session_replication_role = replica")
    for table in FACTS:
        # Each statement touches rows; one that did not would pass every guard.
        assert engine.db.execute(f"select from payout.{table}").rowcount > 0
        assert sqlstate(engine, f"delete from payout.{table}") == "SP101", table
        assert sqlstate(engine, f"truncate payout.{table} cascade") == "SP101", table
    statement = "update payout.ledger_entries set amount_minor = amount_minor + 1"
    assert sqlstate(engine, statement) == "SP101"
    assert sqlstate(engine, "delete from payout.transfer_states") == "SP101"


def progress_only_goes_forward(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    paid, unknown = engine.claim()
    engine.report(success(paid), no_answer(unknown))
    engine.db.execute("set local session_replication_role = replica")
    where = f"where payout_transfer_id = {unknown.payout_transfer_id}"
    for statement in (
        f"update payout.transfer_states set attempt = 0 {where}",
        f"update payout.transfer_states set generation = 2 {where}",
        f"update payout.transfer_states set first_sent_at = now() + interval '1 day' {where}",
        f"update payout.transfer_states set has_unknown_send = false {where}",
        "update payout.transfer_states set stripe_transfer_id = 'tr_9' where state = 'paid'",
    ):
        assert sqlstate(engine, statement) == "SP103", statement
    for state in ("scheduled", "cancelled"):
        statement = f"update payout.transfer_states set state = '{state}' {where}"
        assert sqlstate(engine, statement) == "SP201", statement


def insert_settlement(engine: Engine) -> None:
    engine.db.execute(
        "insert into payout.settlements (settlement_id, currency, total_minor, state) "
        "values ('set_1', 'usd', 1500, 'complete')"
    )


def a_restore_or_a_replica_schedules_nothing(engine: Engine) -> None:
    engine.db.execute("select payout_api.register_payee('seller_1', 'acct_1')")
    engine.db.execute("set local session_replication_role = replica")
    insert_settlement(engine)
    engine.db.execute(
        "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
        "values ('set_1', '1', 'seller_1', 1500)"
    )
    engine.db.execute("set constraints all immediate")
    assert engine.db.execute("select from payout.payout_jobs").rowcount == 0


def one_transfer_at_stripe_pays_one_transfer(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    first, second = engine.claim()
    reports = engine.report(success(first), success(second))
    assert [report.verdict for report in reports] == ["ok", "alarm"]


def a_claim_sends_nothing_of_what_it_has_put_on_hold(engine: Engine) -> None:
    with_account(engine)
    reconcile(engine.db, ours(engine.db, amount=1, payee_id="seller_1"))
    engine.settle("seller_1", "seller_2")
    assert engine.claim() == []
    assert ("settlement", "set_1", "answer_contradicts_request") in engine.open_holds()


def nobody_is_left_out_who_comes_while_the_reason_is_looked_for(engine: Engine) -> None:
    engine.db.execute("select payout_api.register_payee('late')")
    engine.db.execute(
        "create or replace function payout.refuse_bad_header(p_settlement payout.settlements) "
        "returns void language sql set search_path = pg_catalog, pg_temp as "
        "$$ insert into payout.payee_accounts (payee_id, stripe_account_id) "
        "values ('late', 'acct_late') $$"
    )
    assert (
        sqlstate(
            engine,
            "select payout_api.complete_settlement('set_1', 'usd', "
            """'[{"line_id":"1","payee_id":"late","amount_minor":700}]')""",
        )
        == "SP402"
    )


def a_line_that_is_not_the_total_is_refused(engine: Engine) -> None:
    engine.db.execute("select payout_api.register_payee('seller_1', 'acct_1')")
    insert_settlement(engine)
    engine.db.execute(
        "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
        "values ('set_1', '1', 'seller_1', 1400)"
    )
    assert sqlstate(engine, "set constraints all immediate") == "SP303"


def no_line_is_left_out_to_make_the_total_fit(engine: Engine) -> None:
    engine.db.execute("select payout_api.register_payee('seller_1', 'acct_1')")
    insert_settlement(engine)
    engine.db.execute(
        "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
        "values ('set_1', '1', 'seller_1', 1500), ('set_1', '2', 'nobody', 50)"
    )
    assert sqlstate(engine, "set constraints all immediate") == "SP303"


def the_doctor_sees_a_line_that_is_in_no_transfer(engine: Engine) -> None:
    engine.settle(settlement_id="set_1")
    with unguarded(engine.db, "payout.settlement_lines"):
        engine.db.execute("update payout.settlement_lines set payee_id = 'seller_2'")
    found = engine.db.execute(
        "select is_ok from payout.check_settlements() where check_name like '% lines say'"
    ).fetchall()
    assert found == [(False,)]


def the_doctor_sees_a_request_that_pays_another_amount(engine: Engine) -> None:
    engine.settle()
    with unguarded(engine.db, "payout.payout_transfers"):
        engine.db.execute(
            "update payout.payout_transfers set request = request || '{\"amount\": 1}'"
        )
    found = engine.db.execute(
        "select is_ok from payout.check_rules() where check_name like 'every request %'"
    ).fetchall()
    assert found == [(False,)]


def nobody_can_slip_a_name_in_front_of_ours(engine: Engine) -> None:
    rows = engine.db.execute(
        "select p.oid::regprocedure::text from pg_proc as p "
        "where p.pronamespace in ('payout'::regnamespace, 'payout_api'::regnamespace) "
        "and not coalesce(p.proconfig, '{}') && array['search_path=pg_catalog, pg_temp', "
        "'search_path=pg_catalog, procrastinate, pg_temp']"
    ).fetchall()
    assert rows == []


def only_those_who_need_it_may_call(engine: Engine) -> None:
    may_call = {
        "claim_transfers": {"payout_worker"},
        "report_outcomes": {"payout_worker"},
        "sweep": {"payout_worker", "payout_operator"},
        "hold": {"payout_operator"},
        "release_hold": {"payout_operator"},
        "adopt_database": {"payout_operator"},
        "change_stripe_account": {"payout_operator"},
    }
    for function, roles in may_call.items():
        rows = engine.db.execute(
            "select coalesce(r.rolname, 'public') from pg_proc as p "
            "cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a "
            "left join pg_roles as r on r.oid = a.grantee "
            "where p.pronamespace = 'payout_api'::regnamespace and p.proname = %s "
            "and a.grantee <> p.proowner",
            [function],
        ).fetchall()
        assert {role for (role,) in rows} == roles, function
    public = engine.db.execute(
        "select p.oid::regprocedure::text from pg_proc as p "
        "cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a "
        "where p.pronamespace in ('payout'::regnamespace, 'payout_api'::regnamespace) "
        "and a.grantee = 0"
    ).fetchall()
    assert public == []


# With more than one connection -------------------------------------------------------------------


def claims_at_once_neither_wait_nor_share(
    engine: Engine, connect: Callable[..., Connection]
) -> None:
    engine.settle("seller_1", "seller_2")
    other = connect("payout_worker")
    other.execute("set lock_timeout = '200ms'")
    with engine.worker.transaction():
        (first,) = engine.claim(limit=1)
        try:
            (second,) = engine.claim(connection=other)
        except psycopg.errors.LockNotAvailable:
            pytest.fail("the second claim waited for the first one")
    assert first.payout_transfer_id != second.payout_transfer_id


def a_report_is_judged_by_what_stands_when_it_is_written(
    engine: Engine, connect: Callable[..., Connection]
) -> None:
    """A decline comes while a sweep is about to declare its worker lost."""
    engine.settle()
    claim = engine.claim_one()
    engine.let_pass("31 seconds")
    sweeper = connect("payout_worker")
    with ThreadPoolExecutor(1) as pool:
        with sweeper.transaction():
            engine.sweep(connection=sweeper)
            report = pool.submit(engine.report_one, unfunded(claim))
            wait_until_blocked(engine.db, engine.worker, by=report)
        assert report.result() == ("stale", "unknown")


def a_settlement_is_scheduled_once_however_many_ask(
    engine: Engine, connect: Callable[..., Connection]
) -> None:
    """The second event waits for the first one and finds its job; it does not fail."""
    engine.settle("seller_1", settlement_id="set_0")
    engine.db.execute(
        "insert into payout.settlements (settlement_id, currency, total_minor) "
        "values ('set_1', 'usd', 1500)"
    )
    engine.db.execute(
        "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
        "values ('set_1', '1', 'seller_1', 1500)"
    )
    engine.db.execute("alter table payout.settlements disable trigger _900_schedule_payout_job")
    engine.db.execute("update payout.settlements set state = 'complete'")
    schedule = "select payout.schedule_payout_job('set_1')"
    other = connect()
    with ThreadPoolExecutor(1) as pool:
        with engine.db.transaction():
            job = engine.db.execute(schedule).fetchall()
            again = pool.submit(lambda: other.execute(schedule).fetchall())
            wait_until_blocked(connect(), other, by=again)
        assert again.result() == job


# The books ---------------------------------------------------------------------------------------


def in_flight(engine: Engine, moment: str = "infinity") -> int | None:
    """Return what stands in flight, from sub-totals and entries."""
    row = engine.db.execute(
        "select balance_minor from payout_api.balances_as_of(%s) where account = 'in_flight'",
        [moment],
    ).fetchone()
    return row[0] if row else None


def a_row_that_commits_late_is_sealed_and_counted(
    engine: Engine, connect: Callable[..., Connection]
) -> None:
    """It has a lower number than one that was committed before it."""
    slow = Engine(connect())
    with slow.db.transaction():
        slow.settle("seller_1", settlement_id="set_slow")
        engine.settle("seller_2", settlement_id="set_quick")
        for _ in range(2):
            let_a_minute_pass(engine.db)
            seal(engine.db)
    assert in_flight(engine) == 3000
    let_a_minute_pass(engine.db)
    let_transactions_end(engine.db)
    seal(engine.db)
    assert in_flight(engine) == 3000
    assert verify(engine.db) == []


def what_is_marked_is_not_sealed_within_a_minute(
    engine: Engine, connect: Callable[..., Connection]
) -> None:
    engine.settle()
    let_a_minute_pass(engine.db)
    seal(engine.db)
    let_transactions_end(engine.db)
    engine.db.execute(
        "update payout.seal_marks set marked_at = marked_at - interval '1 minute' "
        "where table_name = 'key_generations'"
    )
    assert seal(engine.db) == 0


def a_young_seal_with_an_old_entry_counts_in_the_past(
    engine: Engine, connect: Callable[..., Connection]
) -> None:
    """A transaction that began before everything else writes last."""
    slow = Engine(connect())
    with slow.db.transaction():
        begun = slow.db.execute("select now()").fetchall()[0][0]
        engine.settle("seller_2", settlement_id="set_quick")
        slow.settle("seller_1", settlement_id="set_slow")
    seal_everything(engine.db)
    assert in_flight(engine, begun) == 1500
    assert in_flight(engine) == 3000


def a_sealed_row_that_was_changed_is_found(
    engine: Engine, connect: Callable[..., Connection]
) -> None:
    engine.settle()
    seal_everything(engine.db)
    for change in ("amount_minor = 1", "created_at = created_at - '1 us'::interval"):
        with engine.db.transaction(force_rollback=True):
            with unguarded(engine.db, "payout.ledger_entries"):
                engine.db.execute(f"update payout.ledger_entries set {change}")
            assert [found.table_name for found in verify(engine.db)] == ["ledger_entries"]


def a_sealed_row_that_was_slipped_in_is_found(
    engine: Engine, connect: Callable[..., Connection]
) -> None:
    engine.settle()
    seal_everything(engine.db)
    engine.db.execute(
        "insert into payout.ledger_entries (ledger_entry_id, payout_transfer_id, kind, generation, "
        "debit_account, credit_account, amount_minor, currency) overriding system value "
        "select 0, payout_transfer_id, 'reserve', 9, 'payable:seller_1', 'in_flight', 1, 'usd' "
        "from payout.payout_transfers"
    )
    assert [found.row_id for found in verify(engine.db)] == [0]


def a_forged_seal_breaks_the_chain(engine: Engine, connect: Callable[..., Connection]) -> None:
    engine.settle()
    seal_everything(engine.db)
    assert len(seals(engine.db)) == 2
    with unguarded(engine.db, "payout.ledger_entries", "payout.seals"):
        engine.db.execute("update payout.ledger_entries set created_at = '2020-01-01'")
        forge(engine.db, 1, 1)
    assert verify(engine.db) != []


def the_progress_is_the_fold_of_its_facts(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2", "seller_3", "seller_4")
    vanished, unknown, poor, waiting = engine.claim()
    engine.report(no_answer(unknown), unfunded(poor), rate_limited(waiting))
    engine.let_pass("31 seconds")
    engine.sweep()
    assert engine.differences_in_the_books() == []
    engine.make_due()
    engine.sweep()
    assert engine.differences_in_the_books() == []
    again = {claim.payout_transfer_id: claim for claim in engine.claim()}
    engine.report(
        success(again[unknown.payout_transfer_id]),
        unfunded(again[poor.payout_transfer_id]),
        success(vanished, stripe_transfer_id="tr_2"),
    )
    assert engine.differences_in_the_books() == []


def a_change_of_the_account_sees_the_claims_before_it(
    engine: Engine, connect: Callable[..., Connection]
) -> None:
    engine.set(is_livemode=True, stripe_account_id="acct_1")
    engine.settle()
    with ThreadPoolExecutor(1) as pool:
        with engine.worker.transaction():
            engine.claim(account=("acct_1", True))
            change = pool.submit(sqlstate, engine, MOVE)
            wait_until_blocked(connect(), engine.db, by=change)
        assert change.result() == "SP411"


def a_claim_sees_the_change_of_the_account_before_it(
    engine: Engine, connect: Callable[..., Connection]
) -> None:
    engine.set(is_livemode=True, stripe_account_id="acct_1")
    engine.settle()
    claim = partial(engine.claim, account=("acct_2", True))
    with ThreadPoolExecutor(1) as pool:
        with engine.db.transaction():
            engine.db.execute(MOVE)
            refused = pool.submit(refusal_of, engine.worker, claim)
            wait_until_blocked(connect(), engine.worker, by=refused)
        error = refused.result()
    assert error is not None
    assert error.sqlstate == "SP403"


def no_isolation_hides_that_the_gate_was_closed(
    engine: Engine, connect: Callable[..., Connection]
) -> None:
    engine.set(is_livemode=True, stripe_account_id="acct_1")
    engine.settle()
    engine.worker.execute("set default_transaction_isolation = 'repeatable read'")
    claim = partial(engine.claim, account=("acct_1", True))
    with ThreadPoolExecutor(1) as pool:
        with engine.db.transaction():
            engine.db.execute(MOVE)
            refused = pool.submit(refusal_of, engine.worker, claim)
            wait_until_it_waits_or_ends(connect(), engine.worker, refused)
        assert refused.result() is not None


def a_comparison_sees_the_change_of_the_account_before_it(
    engine: Engine, connect: Callable[..., Connection]
) -> None:
    engine.set(is_livemode=False, stripe_account_id=ACCOUNT)
    with ThreadPoolExecutor(1) as pool:
        with engine.db.transaction():
            engine.db.execute("select payout_api.change_stripe_account('acct_2', false, 'moved')")
            begun = pool.submit(refusal_of, engine.worker, partial(begin, engine.worker))
            wait_until_it_waits_or_ends(connect(), engine.worker, begun)
        assert begun.result() is not None


def wait_until_it_waits_or_ends(db: Connection, other: Connection, act: Future[object]) -> None:
    """Wait until the other connection waits for somebody, or has acted."""
    blockers = "select cardinality(pg_blocking_pids(%s))"
    while not act.done() and db.execute(blockers, [other.info.backend_pid]).fetchall() == [(0,)]:
        time.sleep(0.01)


# Rule Q: what proves that a transfer is not at Stripe --------------------------------------------


def parked(engine: Engine) -> Claim:
    """Settle, claim, lose the answer, and let the key become too old to send."""
    engine.settle()
    claim = engine.claim_one()
    engine.report(no_answer(claim))
    engine.let_pass("21 hours")
    engine.sweep()
    return claim


def look(engine: Engine, *found: dict[str, object]) -> str:
    """Look the parked transfer up, at once; return its state."""
    engine.make_lookups_due()
    return engine.look_up(*found).state


def absence_is_proved_only_long_after_the_last_send(engine: Engine) -> None:
    parked(engine)
    for _ in range(3):
        assert look(engine) == "parked"
        engine.let_pass("61 minutes")
    engine.let_pass("1 day")
    assert look(engine) == "parked"
    engine.let_pass("61 minutes")
    assert look(engine) == "failed"


def absence_is_proved_only_once_the_attempts_have_drained(engine: Engine) -> None:
    engine.settle()
    engine.report(refusal_by_stripe(engine.claim_one(), 409, "idempotency_key_in_use"))
    engine.make_due()
    engine.report(no_such_account(engine.claim_one()))
    assert look(engine) == "parked"
    engine.let_pass("61 minutes")
    assert look(engine) == "parked"
    engine.let_pass("61 minutes")
    assert look(engine) == "failed"


def absence_is_proved_by_two_scans_an_hour_apart(engine: Engine) -> None:
    parked(engine)
    engine.let_pass("2 days")
    assert look(engine) == "parked"
    engine.let_pass("50 minutes")
    assert look(engine) == "parked"
    engine.let_pass("11 minutes")
    assert look(engine) == "failed"


def what_may_be_executed_later_or_was_seen_is_never_absent(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    first, second = engine.claim()
    engine.report(
        refusal_by_stripe(first, 400, "approval_required"), success(second, amount_minor=1)
    )
    for _ in range(3):
        engine.let_pass("10 days")
        for lookup in engine.claim_lookups():
            for number in range(2):
                report = engine.report_page(lookup, number, [])
            assert report.state == "parked"


def what_was_found_several_times_is_never_absent(engine: Engine) -> None:
    claim = parked(engine)
    look(engine, listed(claim), listed(claim, id="tr_2"))
    for _ in range(3):
        engine.let_pass("10 days")
        assert look(engine) == "parked"


def what_a_charge_has_paid_without_metadata_is_not_absent(engine: Engine) -> None:
    claim = park_of_charge(engine)
    for _ in range(3):
        engine.let_pass("10 days")
        assert look(engine, listed(claim, metadata={}, transfer_group="group_pi_1")) == "parked"


def a_report_of_another_claim_keeps_nobody_from_a_new_key(engine: Engine) -> None:
    engine.settle()
    claim = engine.claim_one()
    engine.report(
        unfunded(claim), success(claim, idempotency_key="payout_0:1", stripe_transfer_id="tr_9")
    )
    engine.make_due()
    assert engine.sweep().transfers_reopened == 1


def what_is_found_late_explains_nothing_else(engine: Engine) -> None:
    claim = parked(engine)
    (late,) = engine.claim_lookups()
    engine.report_page(late, 0, [listed(claim)])
    look(engine, listed(claim), listed(claim, id="tr_2"))
    engine.report(success(claim), success(claim, stripe_transfer_id="tr_2"))
    engine.report_page(late, 1, [])
    resolved = engine.db.execute("select from payout.discrepancies where resolved_at is not null")
    assert resolved.fetchall() == []


def a_large_absence_waits_for_a_person(engine: Engine) -> None:
    engine.set(absence_limit_minor=1499)
    parked(engine)
    for _ in range(3):
        engine.let_pass("2 days")
        assert look(engine) == "parked"


def what_is_found_is_paid_only_if_it_is_the_one_and_the_very_one(engine: Engine) -> None:
    claim = parked(engine)
    assert look(engine, listed(claim), listed(claim, id="tr_2")) == "parked"
    assert look(engine, listed(claim, amount=1)) == "parked"
    assert look(engine, listed(claim)) == "paid"


def a_look_up_reads_every_page_of_every_query(engine: Engine) -> None:
    claim = parked(engine)
    (lookup,) = engine.claim_lookups()
    assert not engine.report_page(lookup, 0, []).is_complete
    other = {"id": "tr_other", "object": "transfer"}
    assert not engine.report_page(lookup, 1, [other], has_more=True).is_complete
    last = engine.report_page(lookup, 1, [listed(claim)], starting_after="tr_other")
    assert last == (True, "ok", "paid")


def a_key_after_a_proof_names_both_scans(engine: Engine) -> None:
    parked(engine)
    for _ in range(2):
        engine.let_pass("2 days")
        look(engine)
    engine.sweep()
    assert engine.claim_one().generation == 2
    named = engine.db.execute(
        "select count(*) from payout.key_generations as k "
        "join payout.transfer_observations as o on o.observation_id "
        "in (k.evidence_observation_id, k.second_evidence_observation_id) "
        "where o.signal = 'looked_up'"
    )
    assert named.fetchall() == [(2,)]


def a_page_comes_after_the_one_before(engine: Engine) -> None:
    parked(engine)
    (lookup,) = engine.claim_lookups()
    refused = refusal_of(
        engine.db, lambda: engine.report_page(lookup, 0, [], starting_after="tr_7")
    )
    assert refused is not None


def what_is_parked_is_looked_for(engine: Engine) -> None:
    parked(engine)
    assert len(engine.claim_lookups()) == 1


def kinds(engine: Engine) -> list[str]:
    """Return the kinds of the discrepancies."""
    return [kind for kind, _, _ in engine.discrepancies()]


def what_was_seen_at_stripe_is_paid_and_not_sent(engine: Engine) -> None:
    with_account(engine)
    reconcile(engine.db, ours(engine.db))
    (transfer,) = engine.settle()
    assert engine.claim() == []
    assert engine.progress(transfer).state == "paid"


def what_was_seen_at_stripe_without_metadata_is_not_sent(engine: Engine) -> None:
    with_account(engine)
    reconcile(engine.db, ours(engine.db, metadata={}))
    engine.settle()
    assert engine.claim() == []


def a_next_key_is_not_used_for_what_was_seen_at_stripe(engine: Engine) -> None:
    with_account(engine)
    engine.settle()
    engine.report(unfunded(engine.claim_one()))
    reconcile(engine.db, ours(engine.db))
    engine.make_due()
    engine.sweep()
    assert engine.claim() == []


def a_transfer_that_stripe_does_not_have_is_found(engine: Engine) -> None:
    pay(with_account(engine), "seller_1")
    reconcile(engine.db)
    assert kinds(engine) == ["missing_at_stripe"]


def a_run_takes_every_page(engine: Engine) -> None:
    run = begin(engine.db)
    report(engine.db, run, on_the_list("tr_9"), has_more=True)
    assert refusal_of(engine.db, lambda: report(engine.db, run, after="tr_8")) is not None


def a_copy_is_compared_from_its_first_transfer_on(engine: Engine) -> None:
    reconcile(engine.db)
    engine.db.execute("update payout.reconcile_runs set table_oid = 1")
    assert begin(engine.db).query["created"]["gte"] == 0
    reconcile(engine.db)
    engine.db.execute("update payout.reconcile_runs set started_at = now() + interval '1 day'")
    engine.db.execute("insert into payout.adoptions (reason) values ('closed')")
    assert begin(engine.db).query["created"]["gte"] == 0


def a_page_answers_the_query_that_was_given_out(engine: Engine) -> None:
    run = begin(engine.db)
    day = run._replace(query={"created": {"gte": 1_900_000_000}})
    assert refusal_of(engine.db, lambda: report(engine.db, day)) is not None
    parked(with_account(engine))
    (lookup,) = engine.claim_lookups(account=(ACCOUNT, False))
    another = {"transfer_group": "payout_of_another"}
    refused = refusal_of(engine.db, lambda: engine.report_page(lookup, 0, [], query=another))
    assert refused is not None
    without = "select payout_api.report_reconcile_page(%s, null, null, '[]', false)"
    assert refusal(engine.db, without, [run.reconcile_run_id]) is not None


def windows_overlap(engine: Engine) -> None:
    reconcile(engine.db)
    begin(engine.db)
    overlap = engine.db.execute(
        "select min(created_until) - max(created_from) from payout.reconcile_runs"
    )
    assert overlap.fetchall() == [(timedelta(days=1),)]


def take_back(engine: Engine, *amounts: int, currency: str = "usd") -> int:
    """Report that tr_1 was reversed, one reversal for each amount; return how many were booked."""
    reversals = [
        {
            "id": f"trr_{number}",
            "amount": amount,
            "currency": currency,
            "transfer": "tr_1",
            "created": 1,
        }
        for number, amount in enumerate(amounts)
    ]
    row = engine.db.execute(
        "select reversals_booked from payout_api.report_reversals('tr_1', %s)", [Jsonb(reversals)]
    )
    return int(row.fetchall()[0][0])


def a_reversal_is_booked_once(engine: Engine) -> None:
    pay(with_account(engine), "seller_1")
    reconcile(engine.db, ours(engine.db, amount_reversed=500))
    assert [take_back(engine, 500), take_back(engine, 500)] == [1, 0]


def no_more_is_booked_back_than_was_paid_in_its_currency(engine: Engine) -> None:
    pay(with_account(engine), "seller_1")
    reconcile(engine.db, ours(engine.db, amount_reversed=500))
    assert [take_back(engine, 1000, 501), take_back(engine, 500, currency="eur")] == [0, 0]


def events_are_read_to_the_end(engine: Engine) -> None:
    next_query = "select query from payout_api.next_events_query(%s, false)"
    ((query,),) = engine.db.execute(next_query, [ACCOUNT]).fetchall()
    page = [event(1, ours(engine.db, amount_reversed=1))]
    engine.db.execute(
        "select * from payout_api.report_events_page(%s, null, %s, true)",
        [Jsonb(query), Jsonb(page)],
    )
    ((again,),) = engine.db.execute(next_query, [ACCOUNT]).fetchall()
    assert again["created"]["gte"] - query["created"]["gte"] < 60


def events_are_read_again_once_a_clock_was_set_back(engine: Engine) -> None:
    next_query = "select query from payout_api.next_events_query(%s, false)"
    ((query,),) = engine.db.execute(next_query, [ACCOUNT]).fetchall()
    engine.db.execute(
        "select * from payout_api.report_events_page(%s, null, '[]', false)", [Jsonb(query)]
    )
    with unguarded(engine.db, "payout.event_pages"):
        engine.db.execute(
            "update payout.event_pages set created_until = created_until + interval '2 days'"
        )
    ((again,),) = engine.db.execute(next_query, [ACCOUNT]).fetchall()
    assert again["created"]["gte"] < query["created"]["lt"]


def what_a_person_has_not_seen_calls_one(engine: Engine) -> None:
    pay(with_account(engine), "seller_1")
    reconcile(engine.db, ours(engine.db, amount_reversed=500))
    take_back(engine, 500, currency="eur")
    engine.db.execute(
        "select payout_api.resolve_discrepancy(discrepancy_id, 'seen') from payout.discrepancies"
    )
    take_back(engine, 500, 400, currency="eur")
    assert len(kinds(engine)) == 2
