"""When a transfer may be sent under a new key, and when never."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.conftest import Connection
from tests.engine import (
    Claim,
    Engine,
    LookupReport,
    Outcome,
    listed,
    no_answer,
    refusal_by_stripe,
    success,
    unfunded,
    unguarded,
)
from tests.mutants import mutant
from tests.schema.refusals import Refusal, refusal, wait_until_blocked


def decline(engine: Engine) -> int:
    """Settle, and have the transfer declined for want of funds; return it."""
    (transfer,) = engine.settle()
    engine.report(unfunded(engine.claim_one()))
    return transfer


@mutant(
    "no key after a decline for want of funds",
    "reopen_failed",
    "and s.state = 'failed'",
    "and false",
)
def test_what_was_declined_for_want_of_funds_gets_a_new_key_when_its_wait_is_over(
    engine: Engine,
) -> None:
    transfer = decline(engine)
    assert engine.sweep().transfers_reopened == 0
    engine.make_due()
    assert engine.sweep().transfers_reopened == 1
    progress = engine.progress(transfer)
    assert (progress.state, progress.generation, progress.attempt) == ("scheduled", 2, 1)
    assert (progress.tries, progress.has_unknown_send) == (0, False)
    claim = engine.claim_one()
    assert claim.idempotency_key.endswith(":2")
    assert engine.report_one(success(claim)) == ("ok", "paid")


@mutant(
    "no new key for what another transfer was reported as",
    "record_outcomes",
    "from judged as j where j.reason is distinct from 'report_of_another_claim'",
    "from judged as j",
)
def test_a_report_of_another_claim_keeps_nobody_from_a_new_key(engine: Engine) -> None:
    """A worker that outlived a restore: the number is that of another transfer now."""
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.report(unfunded(claim))
    other = success(claim, idempotency_key=f"payout_{'0' * 40}:1", stripe_transfer_id="tr_other")
    assert engine.report_one(other) == ("alarm", "failed")
    engine.make_due()
    assert engine.sweep().transfers_reopened == 1
    assert engine.progress(transfer).generation == 2


def test_a_new_key_keeps_the_request_and_the_payout_ref(engine: Engine) -> None:
    engine.settle()
    first = engine.claim_one()
    engine.report(unfunded(first))
    engine.make_due()
    engine.sweep()
    second = engine.claim_one()
    assert second.request == first.request
    assert second.idempotency_key[:-1] == first.idempotency_key[:-1]


def test_a_new_key_names_the_decline_that_allows_it(engine: Engine) -> None:
    transfer = decline(engine)
    engine.make_due()
    engine.sweep()
    engine.claim()
    rows = engine.db.execute(
        "select k.payout_transfer_id, k.generation, k.reason, o.generation, o.error_code, "
        "o.verdict, o.moved_to from payout.transfer_requests as k "
        "join payout.transfer_observations as o on o.observation_id = k.evidence_observation_id"
    ).fetchall()
    assert rows == [
        (transfer, 2, "balance_insufficient", 1, "balance_insufficient", "ok", "failed")
    ]


@mutant(
    "no ledger entry for a new reserve",
    "open_keys",
    "t.payout_transfer_id = r.payout_transfer_id;",
    "t.payout_transfer_id = r.payout_transfer_id where false;",
)
def test_the_ledger_releases_with_the_decline_and_reserves_with_the_new_key(
    engine: Engine,
) -> None:
    transfer = decline(engine)
    assert engine.differences_in_the_books() == []
    engine.make_due()
    engine.sweep()
    assert engine.differences_in_the_books() == []
    engine.report(success(engine.claim_one()))
    assert engine.entries(transfer) == [
        ("obligation", 1, "settlement_funds", "payable:seller_1", 1500),
        ("reserve", 1, "payable:seller_1", "in_flight", 1500),
        ("release", 1, "in_flight", "payable:seller_1", 1500),
        ("reserve", 2, "payable:seller_1", "in_flight", 1500),
        ("paid", 2, "in_flight", "stripe_balance", 1500),
    ]


def test_a_later_decline_needs_evidence_of_its_own(engine: Engine) -> None:
    transfer = decline(engine)
    for generation in (2, 3, 4):
        engine.make_due()
        engine.sweep()
        engine.report(unfunded(engine.claim_one()))
        assert engine.progress(transfer).generation == generation
    evidence = engine.db.execute(
        "select k.generation - o.generation from payout.transfer_requests as k "
        "join payout.transfer_observations as o on o.observation_id = k.evidence_observation_id"
    ).fetchall()
    assert evidence == [(1,)] * 3


@mutant(
    "a new key without a look",
    "evidence_for_new_key",
    "having count(*) > 0",
    "",
)
def test_no_new_key_is_opened_before_a_look_at_stripes_list(engine: Engine) -> None:
    """The attack: a decline that was a copy of another answer, while Stripe made the transfer."""
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.report(unfunded(claim))
    engine.let_pass("13 hours")
    assert engine.sweep().transfers_reopened == 0
    assert engine.sweep().transfers_reopened == 0

    assert engine.look_up(listed(claim)) == LookupReport(True, "alarm", "failed")
    engine.let_pass("13 hours")
    engine.release_holds()
    assert engine.sweep().transfers_reopened == 0
    assert engine.progress(transfer).generation == 1
    assert engine.discrepancies()[-1][0] == "success_under_closed_key"


@mutant(
    "a look from before the decline",
    "evidence_for_new_key",
    "then d.observed_at\n",
    "then '-infinity'\n",
)
def test_a_look_that_began_before_the_decline_is_no_evidence(engine: Engine) -> None:
    engine.settle()
    engine.report(unfunded(engine.claim_one()))
    engine.make_due()
    with unguarded(engine.db, "payout.stripe_reads"):
        engine.db.execute("update payout.stripe_reads set begun_at = begun_at - interval '1 hour'")
    assert engine.sweep().transfers_reopened == 0
    engine.make_due()
    assert engine.sweep().transfers_reopened == 1


@mutant(
    "a failed transfer that is looked for once, however old the look",
    "finish_lookup",
    "when s.next_attempt_at is not null and s.hold_id is null",
    "when false",
)
def test_a_look_that_began_before_the_decline_is_not_the_last(engine: Engine) -> None:
    """A worker slept over its look; meanwhile another one looked, and the transfer was declined."""
    (transfer,) = engine.settle()
    engine.let_pass("45 hours")
    engine.sweep()
    (slow,) = engine.claim_lookups()
    engine.let_pass("11 minutes")
    engine.look_up()
    engine.let_pass("1 minute")
    engine.report(unfunded(engine.claim_one()))
    engine.end_waits()
    for number in range(len(slow.queries)):
        report = engine.report_page(slow, number, [])
    assert report == LookupReport(True, "ok", "failed")
    assert engine.progress(transfer).next_lookup_in is not None

    engine.let_pass("13 hours")
    assert engine.sweep().transfers_reopened == 0
    engine.look_up()
    assert engine.sweep().transfers_reopened == 1


def test_a_look_that_met_something_unreadable_opens_no_key(engine: Engine) -> None:
    engine.settle()
    engine.report(unfunded(claim := engine.claim_one()))
    engine.let_pass("13 hours")
    engine.sweep()
    engine.look_up(listed(claim, metadata=7, transfer_group=None, amount="many"))
    assert engine.sweep().transfers_reopened == 0
    engine.make_lookups_due()
    engine.look_up()
    assert engine.sweep().transfers_reopened == 1


@pytest.mark.parametrize("code", ["amount_too_small", "livemode_mismatch", "parameter_unknown"])
def test_what_was_declined_for_good_gets_no_new_key_by_itself(engine: Engine, code: str) -> None:
    (transfer,) = engine.settle()
    engine.report(refusal_by_stripe(engine.claim_one(), 400, code) | {"should_retry": "false"})
    engine.let_pass("10 days")
    assert engine.sweep().transfers_reopened == 0
    assert engine.progress(transfer).state == "failed"


def fail_by_hand(engine: Engine, *, generation: int) -> None:
    """Let the one transfer be failed, with its books, though Stripe never declined this key."""
    engine.db.execute(
        "update payout.transfer_states set state = 'failed', reason = 'somebody said so'"
    )
    engine.db.execute(
        "insert into payout.transfer_observations (payout_transfer_id, generation, attempt, "
        "signal, verdict, moved_to) select payout_transfer_id, generation, attempt, "
        "'no_response', 'ok', 'failed' from payout.transfer_states"
    )
    engine.db.execute(
        "insert into payout.ledger_entries (payout_transfer_id, kind, generation, "
        "debit_account, credit_account, amount_minor, currency) select payout_transfer_id, "
        "'release', %s, 'in_flight', 'payable:' || payee_id, amount_minor, currency "
        "from payout.payout_transfers",
        [generation],
    )


@mutant(
    "a new key without evidence",
    "reopen_failed",
    "and payout.evidence_for_new_key(s) is not null",
    "",
)
def test_without_a_decline_there_is_no_new_key(engine: Engine) -> None:
    """Even if somebody gave a failed transfer a time to go on at."""
    (transfer,) = engine.settle()
    engine.report(no_answer(engine.claim_one()))
    fail_by_hand(engine, generation=1)
    engine.db.execute("update payout.transfer_states set next_attempt_at = payout.clock()")
    engine.show_nothing()
    assert engine.sweep().transfers_reopened == 0
    assert engine.progress(transfer).generation == 1


def refused_account(claim: Claim) -> Outcome:
    """Return the refusal of an account that takes no transfers; Stripe does not save it."""
    return refusal_by_stripe(claim, 400, "account_invalid")


def refused_account_403(claim: Claim) -> Outcome:
    """Return the same with a status that names no key."""
    return refusal_by_stripe(claim, 403, "account_invalid") | {"is_tied": False}


@mutant(
    "a new key on a look right after a decline that is not saved",
    "evidence_for_new_key",
    "d.observed_at, payout.sends_over_at(d.payout_transfer_id))",
    "d.observed_at)",
    at="saved by nobody",
)
@mutant(
    "an answer that names no key believed at once",
    "is_definite",
    "(o.facts ->> 'is_tied')::boolean",
    "true",
    at="names no key",
)
@pytest.mark.parametrize(
    ("refused", "sends", "waits"),
    [
        (refused_account, 1, ("0", "14 minutes", "2 minutes")),
        (refused_account_403, 3, ("16 minutes", "23 hours", "1 hour")),
    ],
    ids=["saved by nobody", "names no key"],
)
def test_after_a_decline_that_stripe_does_not_save_only_a_late_look_allows_a_new_key(
    engine: Engine, refused: Callable[[Claim], Outcome], sends: int, waits: tuple[str, ...]
) -> None:
    """It may be a copy of another answer, while the request that it belongs to is under way."""
    (transfer,) = engine.settle()
    for _ in range(sends):
        engine.make_due()
        engine.report(refused(engine.claim_one()))
    assert engine.progress(transfer).state == "failed"
    reopened = []
    for wait in waits:
        engine.let_pass(wait)
        engine.make_due()
        reopened.append(engine.sweep().transfers_reopened)
    assert reopened == [0, 0, 1]
    assert engine.progress(transfer).generation == 2


@mutant(
    "no second look after one that was too early",
    "finish_lookup",
    "then greatest(payout.clock() + interval '10 minutes',\n"
    "                    payout.sends_over_at(s.payout_transfer_id))",
    "then null::timestamptz",
)
def test_a_look_that_was_too_early_is_made_again_in_time(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.report(refused_account(engine.claim_one()))
    engine.end_waits()
    engine.look_up()
    assert engine.sweep().transfers_reopened == 0
    look = engine.progress(transfer).next_lookup_in
    assert look is not None
    assert timedelta(minutes=15) < look < timedelta(minutes=16)
    engine.let_pass("16 minutes")
    engine.look_up()
    assert engine.sweep().transfers_reopened == 1


@mutant(
    "a new key without its row",
    "tg_transfer_states__check_progress",
    "elsif old.state = 'failed' and new.state",
    "elsif false and new.state",
)
def test_no_hand_opens_a_key_without_its_reason(engine: Engine) -> None:
    transfer = decline(engine)
    statement = "update payout.transfer_states set state = 'scheduled', generation = 2"
    assert refusal(engine.db, statement) == Refusal(
        "SP103", f"transfer {transfer}: a new key needs its observation first"
    )


@mutant(
    "declines for lack of funds are counted",
    "counted_keys",
    "and r.awaits = 'funds'",
    "and false",
)
def test_declines_for_lack_of_funds_use_up_no_keys(engine: Engine) -> None:
    """Funds may take as long as they like; the attack: 30 rounds, and a person had to act."""
    engine.set(max_generations=2)
    transfer = decline(engine)
    for generation in range(2, 9):
        engine.make_due()
        assert engine.sweep().transfers_reopened == 1
        engine.report(unfunded(engine.claim_one()))
        assert engine.progress(transfer)[:2] == ("failed", generation)
    engine.make_due()
    engine.sweep()
    assert engine.report_one(success(engine.claim_one())) == ("ok", "paid")


@mutant(
    "a last key that waits for ever",
    "judge_decline",
    "and payout.counted_keys(p_state) < p_settings.max_generations",
    "",
)
def test_keys_are_bounded_and_the_last_one_is_left_to_operators(engine: Engine) -> None:
    """Nothing may wait for a step that never comes."""
    engine.set(max_generations=2)
    transfer = decline(engine)
    for _ in range(2):
        engine.make_due()
        engine.sweep()
        claim = engine.claim_one()
        engine.report(refused_account(claim) | {"should_retry": "false"})
    progress = engine.progress(transfer)
    assert (progress.state, progress.generation, progress.next_attempt_in) == ("failed", 3, None)
    assert progress.reason == "keys_used_up_payee_account_invalid"
    engine.let_pass("1 year")
    assert engine.sweep().transfers_reopened == 0
    (turn,) = engine.db.execute("select whose_turn from payout_api.unpaid").fetchall()[0]
    assert turn == "operator"


@mutant(
    "a new key on the evidence of a former one",
    "end_of_key",
    "and o.generation = p_state.generation",
    "",
)
def test_a_decline_under_a_former_key_is_no_ground_for_another(engine: Engine) -> None:
    """Even if somebody failed the transfer and gave it a time to go on at."""
    transfer = decline(engine)
    engine.make_due()
    engine.sweep()
    engine.report(no_answer(engine.claim_one()))
    fail_by_hand(engine, generation=2)
    engine.db.execute("update payout.transfer_states set next_attempt_at = payout.clock()")
    engine.show_nothing()
    assert engine.sweep().transfers_reopened == 0
    assert engine.progress(transfer).generation == 2


@mutant(
    "a new key although a success was seen",
    "reopen_failed",
    "not payout.was_seen_at_stripe(s.payout_transfer_id)",
    "true",
)
def test_a_key_is_not_opened_once_a_success_was_seen(engine: Engine) -> None:
    """Even if somebody gave the failed transfer a time to go on at."""
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.report(unfunded(claim))
    engine.report(success(claim))
    engine.db.execute("update payout.transfer_states set next_attempt_at = payout.clock()")
    engine.end_waits()
    engine.show_nothing()
    assert engine.sweep().transfers_reopened == 0
    assert engine.progress(transfer).generation == 1


@mutant(
    "keys without bound",
    "reopen_failed",
    "and payout.counted_keys(s) < e.max_generations",
    "",
)
def test_keys_are_bounded_even_when_the_last_one_is_due(engine: Engine) -> None:
    engine.set(max_generations=1)
    engine.settle()
    engine.report(refused_account(engine.claim_one()) | {"should_retry": "false"})
    engine.db.execute("update payout.transfer_states set next_attempt_at = payout.clock()")
    engine.make_due()
    assert engine.sweep().transfers_reopened == 0


@mutant(
    "a proof whose second scan is not named",
    "open_keys",
    "'second_evidence_observation_id', k.evidence[2]",
    "'second_evidence_observation_id', null",
)
@mutant(
    "no new key after a proof",
    "evidence_for_new_key",
    "when d.signal = 'looked_up' then",
    "when false then",
)
def test_a_key_after_a_proof_of_absence_names_both_scans(engine: Engine) -> None:
    engine.settle()
    engine.report(no_answer(engine.claim_one()))
    engine.let_pass("21 hours")
    engine.sweep()
    for _ in range(2):
        engine.let_pass("2 days")
        engine.make_lookups_due()
        engine.look_up()
    engine.sweep()
    assert engine.claim_one().generation == 2
    named = engine.db.execute(
        "select count(*) from payout.transfer_requests as k "
        "join payout.transfer_observations as o on o.observation_id "
        "in (k.evidence_observation_id, k.second_evidence_observation_id) "
        "where o.signal = 'looked_up'"
    )
    assert named.fetchall() == [(2,)]


def test_a_sweep_opens_as_many_keys_as_it_was_told_to(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2", "seller_3")
    engine.report(*(unfunded(claim) for claim in engine.claim()))
    engine.make_due()
    assert [engine.sweep(2).transfers_reopened for _ in range(3)] == [2, 1, 0]


def test_two_sweeps_at_once_open_one_key(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    transfer = decline(shared_engine)
    shared_engine.make_due()
    other = connect("payout_worker")
    with shared_engine.worker.transaction():
        assert shared_engine.sweep().transfers_reopened == 1
        assert shared_engine.sweep(connection=other).transfers_reopened == 0
    assert shared_engine.sweep(connection=other).transfers_reopened == 0
    assert shared_engine.progress(transfer).generation == 2


def test_a_success_that_arrives_while_a_sweep_looks_keeps_the_key_closed(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    """The sweep began to look before the report was committed, and locks the row after it."""
    (transfer,) = shared_engine.settle()
    claim = shared_engine.claim_one()
    shared_engine.report(unfunded(claim))
    shared_engine.make_due()
    # Keeps the sweep in the middle of its statement: it has its snapshot, but not yet the row.
    shared_engine.db.execute(
        "create function payout.slow_evidence(bigint) returns bigint language plpgsql as "
        "$$ begin perform pg_advisory_xact_lock(7); return $1; end $$"
    )
    slow = connect()
    source = slow.execute(
        "select pg_get_functiondef('payout.reopen_failed(timestamptz, integer)'::regprocedure)"
    ).fetchall()[0][0]
    changed = source.replace(
        "and payout.evidence_for_new_key(s) is not null",
        "and payout.slow_evidence((payout.evidence_for_new_key(s))[1]) is not null",
    )
    assert changed != source
    slow.execute(changed)
    sweeper = connect()
    with ThreadPoolExecutor(1) as pool:
        with shared_engine.db.transaction():
            shared_engine.db.execute("select pg_advisory_xact_lock(7)")
            sweep = pool.submit(shared_engine.sweep, connection=sweeper)
            wait_until_blocked(connect(), sweeper)
            assert shared_engine.report_one(success(claim)) == ("alarm", "failed")
        assert sweep.result().transfers_reopened == 0
    assert shared_engine.progress(transfer).state == "failed"
