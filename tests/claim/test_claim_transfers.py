"""A claim hands out due transfers, each to one worker, and leaves out the others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from unittest.mock import ANY

import psycopg
import pytest

from tests.conftest import Connection
from tests.engine import (
    STRIPE_TRANSFER,
    Engine,
    LookupReport,
    listed,
    no_answer,
    rate_limited,
    success,
    unfunded,
)
from tests.mutants import Edit, mutant
from tests.schema.refusals import Refusal, refusal, refusal_of

LOOKED_FOR_FIRST = "It was due for longer than a key lives: it is looked for at Stripe at "
CLAIM = "select * from payout_api.claim_transfers(p_worker => 'worker_1', p_limit => 10)"
# By what they do: may this database claim, which transfers, how many now, their requests, wake-ups.
USUAL_CLAIM = {
    *("refuse_unsafe_server", "clock_differs", "clock", "refuse_unsafe_database"),
    *("identity_problem", "database_identity", "bind_stripe_account", "adopt_at_first_claim"),
    *("is_compared", "is_current", "is_of_this_database"),
    "lock_due_transfers",
    *("free_turns", "within_caps"),
    *("open_attempts", "freeze_requests"),
    *("forget_pending_wakeup", "remove_served_wakeups", "has_queue"),
}


@mutant(
    "a key out of a serial",
    "open_attempts",
    "t.payout_ref || ':' || c.generation",
    "'transfer_' || c.payout_transfer_id || ':' || c.generation",
)
@mutant(
    "a key without its generation",
    "open_attempts",
    "t.payout_ref || ':' || c.generation",
    "t.payout_ref",
)
@mutant(
    "a lease told longer than it is",
    "open_attempts",
    "extract(epoch from p_settings.lease_for)",
    "60",
)
@mutant(
    "a deadline beyond the lease",
    "open_attempts",
    "extract(epoch from p_settings.http_deadline_for)",
    "40",
)
def test_a_claim_hands_out_key_request_lease_and_deadline(engine: Engine) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    payout_ref, request = engine.db.execute(
        "select payout_ref, request from payout.payout_transfers "
        "join payout.transfer_requests using (payout_transfer_id)"
    ).fetchall()[0]
    assert claim == (transfer, 1, 1, f"{payout_ref}:1", ANY, request, 30.0, 20.0, 0.0, ANY)


@mutant(
    "a latency that begins anew with each claim",
    "open_attempts",
    "p_now - c.window_begins_at",
    "p_now - p_now",
)
def test_a_claim_tells_for_how_long_the_transfer_has_been_due_under_its_key(
    engine: Engine,
) -> None:
    engine.settle()
    engine.let_pass("10 seconds")
    claim = engine.claim_one()
    assert claim.due_for_seconds == pytest.approx(10, abs=3)
    engine.report(rate_limited(claim))
    engine.let_pass("1 minute")
    assert engine.claim_one().due_for_seconds == pytest.approx(70, abs=3)


@mutant(
    "a claim that keeps the digest of another token",
    "open_attempts",
    "sha256(convert_to(c.claim_token, 'UTF8'))",
    "sha256('')",
)
def test_each_claim_is_told_a_token_of_its_own_of_which_the_digest_is_kept(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    claims = engine.claim()
    kept = engine.db.execute(
        "select encode(claim_token_sha256, 'hex') from payout.transfer_attempts "
        "order by payout_transfer_id"
    ).fetchall()

    tokens = [claim.claim_token for claim in sorted(claims)]
    assert len(set(tokens)) == 2
    assert kept == [(hashlib.sha256(token.encode()).hexdigest(),) for token in tokens]


@mutant(
    "a claim that leaves no attempt",
    "open_attempts",
    "'UTF8'))\n        from claimed as c",
    "'UTF8'))\n        from claimed as c where false",
)
def test_a_claim_is_written_down_before_anything_can_be_sent(engine: Engine) -> None:
    (transfer,) = engine.settle()
    (claim,) = engine.claim(worker="worker_7")
    progress = engine.progress(transfer)
    assert (progress.state, progress.attempt, progress.next_attempt_in) == ("in_flight", 1, None)
    assert progress.lease_for is not None
    assert timedelta(seconds=29) < progress.lease_for <= timedelta(seconds=30)
    rows = engine.db.execute(
        "select a.payout_transfer_id, a.generation, a.attempt, a.worker, "
        "a.lease_until = s.lease_until, a.window_begins_at = s.window_begins_at "
        "from payout.transfer_attempts as a join payout.transfer_states as s "
        "using (payout_transfer_id)"
    ).fetchall()
    assert rows == [(transfer, claim.generation, claim.attempt, "worker_7", True, True)]


def test_what_is_claimed_is_not_claimed_again(engine: Engine) -> None:
    engine.settle()
    engine.claim_one()
    assert engine.claim() == []


@mutant(
    "a pay_after ignored", "lock_due_transfers", "where s.next_attempt_at <= p_now", "where true"
)
def test_nothing_is_claimed_before_its_time(engine: Engine) -> None:
    engine.settle(pay_after="2100-01-01")
    assert engine.claim() == []
    engine.make_due()
    assert len(engine.claim()) == 1


@mutant(
    "a key for each attempt",
    "open_attempts",
    "t.payout_ref || ':' || c.generation",
    "t.payout_ref || ':' || c.attempt",
    at="unknown",
)
@mutant(
    "a random key",
    "open_attempts",
    "t.payout_ref || ':' || c.generation",
    "gen_random_uuid()::text",
    at="unknown",
)
@pytest.mark.parametrize("outcome", [rate_limited, no_answer], ids=["retry_wait", "unknown"])
def test_what_has_to_be_asked_again_is_claimed_under_the_same_key(
    engine: Engine, outcome: Callable[..., dict[str, object]]
) -> None:
    engine.settle()
    first = engine.claim_one()
    engine.report(outcome(first))
    engine.make_due()
    assert engine.claim_one() == first._replace(attempt=2, claim_token=ANY, due_for_seconds=ANY)


@pytest.mark.parametrize("state", ["parked", "failed", "paid", "cancelled"])
def test_what_rests_is_never_claimed(engine: Engine, state: str) -> None:
    (transfer,) = engine.settle()
    if state == "cancelled":
        engine.db.execute("select payout_api.cancel('why', p_settlement_id => 'set_1')")
    else:
        claim = engine.claim_one()
        report = {
            "parked": success(claim, amount_minor=1),
            "failed": unfunded(claim),
            "paid": success(claim),
        }
        engine.report(report[state])
        engine.release_holds()
    engine.let_pass("10 years")
    assert engine.claim() == []
    assert engine.progress(transfer).state == state


@mutant(
    "a hold of the engine ignored",
    "lock_due_transfers",
    "h.scope = 'engine' or",
    "h.scope = 'nothing' or",
    at="engine-None-claimed0",
)
@mutant(
    "a hold of a currency ignored",
    "lock_due_transfers",
    "payout.held('currency')",
    "payout.held('nothing')",
    at="currency-usd-claimed1",
)
@mutant(
    "a hold of a payee ignored",
    "lock_due_transfers",
    "payout.held('payee')",
    "payout.held('nothing')",
    at="payee-seller_1-claimed2",
)
@mutant(
    "a hold of a settlement ignored",
    "lock_due_transfers",
    "payout.held('settlement')",
    "payout.held('nothing')",
    at="settlement-set_1-claimed3",
)
@mutant(
    "a hold of a transfer ignored",
    "lock_due_transfers",
    "payout.held('transfer')",
    "payout.held('nothing')",
    at="transfer-first-claimed4",
)
@pytest.mark.parametrize(
    ("scope", "subject", "claimed"),
    [
        ("engine", None, []),
        ("currency", "usd", [("set_2", "seller_1"), ("set_2", "seller_2")]),
        ("payee", "seller_1", [("set_1", "seller_2"), ("set_2", "seller_2")]),
        ("settlement", "set_1", [("set_2", "seller_1"), ("set_2", "seller_2")]),
        (
            "transfer",
            "first",
            [("set_1", "seller_2"), ("set_2", "seller_1"), ("set_2", "seller_2")],
        ),
    ],
)
def test_a_hold_keeps_back_exactly_its_scope(
    engine: Engine, scope: str, subject: str | None, claimed: list[tuple[str, str]]
) -> None:
    first, _ = engine.settle("seller_1", "seller_2", settlement_id="set_1", currency="usd")
    engine.settle("seller_1", "seller_2", settlement_id="set_2", currency="eur")
    engine.hold(scope, str(first) if scope == "transfer" else subject)
    claims = [claim.request["metadata"] for claim in engine.claim()]
    assert [(m["settlement_id"], m["payee_id"]) for m in claims] == claimed
    engine.release_holds()
    assert len(engine.claim()) == 4 - len(claimed)


def test_a_claim_takes_the_oldest_first_and_no_more_than_its_limit(engine: Engine) -> None:
    transfers = engine.settle("seller_1", "seller_2", "seller_3")
    engine.db.execute(
        "update payout.transfer_states set next_attempt_at = payout.clock() - interval '1 hour' "
        "where payout_transfer_id = %s",
        [transfers[2]],
    )
    assert [claim.payout_transfer_id for claim in engine.claim(limit=1)] == [transfers[2]]
    assert [claim.payout_transfer_id for claim in engine.claim(limit=5)] == transfers[:2]


def test_a_claim_for_a_job_takes_only_what_is_of_that_job(engine: Engine) -> None:
    engine.settle("seller_1", settlement_id="set_1")
    (transfer,) = engine.settle("seller_1", settlement_id="set_2")
    (job,) = engine.db.execute(
        "select payout_job_id from payout.payout_jobs where settlement_id = 'set_2'"
    ).fetchall()[0]
    claims = engine.claim(payout_job_id=job)
    assert [claim.payout_transfer_id for claim in claims] == [transfer]
    assert engine.claim(payout_job_id=job) == []


@mutant(
    "no age limit",
    "lock_due_transfers",
    "s.window_begins_at > p_window_begins_after and ",
    "",
    at="20 hours-False-unknown",
)
@pytest.mark.parametrize("outcome", [rate_limited, no_answer], ids=["retry_wait", "unknown"])
@pytest.mark.parametrize(
    ("age", "is_claimed"), [("19 hours 59 minutes", True), ("20 hours", False), ("2 days", False)]
)
def test_a_key_is_sent_for_twenty_hours_after_its_first_use_and_never_later(
    engine: Engine, outcome: Callable[..., dict[str, object]], age: str, is_claimed: bool
) -> None:
    engine.settle()
    engine.report(outcome(engine.claim_one()))
    engine.let_pass(age)
    engine.make_due()
    assert len(engine.claim()) == is_claimed


@mutant(
    "an age that counts from the last send",
    edits=(
        Edit("open_attempts", "coalesce(s.window_begins_at, s.next_attempt_at)", "p_now"),
        Edit(
            "tg_transfer_states__check_progress",
            "and new.window_begins_at is distinct from old.window_begins_at then",
            "and false then",
        ),
    ),
)
def test_a_key_counts_its_age_from_its_first_use_and_not_from_its_last(engine: Engine) -> None:
    engine.settle()
    for _ in range(3):
        engine.make_due()
        engine.report(no_answer(engine.claim_one()))
        engine.let_pass("7 hours")
    engine.make_due()
    assert engine.claim() == []


def test_a_key_that_was_never_used_has_no_age(engine: Engine) -> None:
    engine.settle()
    engine.let_pass("3 months")
    engine.sweep()
    engine.look_up()
    assert len(engine.claim()) == 1


def test_a_new_key_has_an_age_of_its_own(engine: Engine) -> None:
    engine.settle()
    engine.report(unfunded(engine.claim_one()))
    engine.let_pass("2 days")
    engine.make_due()
    engine.sweep()
    claim = engine.claim_one()
    assert (claim.generation, claim.attempt) == (2, 2)
    engine.report(no_answer(claim))
    engine.let_pass("19 hours")
    assert engine.claim_one().generation == 2


@pytest.mark.parametrize(
    ("limit", "worker", "message"),
    [
        (None, "worker_1", "claim of null transfers by worker_1"),
        (-1, "worker_1", "claim of -1 transfers by worker_1"),
        (0, "worker_1", "claim of 0 transfers by worker_1"),
        (1001, "worker_1", "claim of 1001 transfers by worker_1"),
        (1, None, "claim of 1 transfers by no worker"),
    ],
)
def test_a_claim_out_of_range_or_by_nobody_is_refused(
    engine: Engine, limit: int | None, worker: str | None, message: str
) -> None:
    engine.settle()
    assert refusal_of(engine.db, lambda: engine.claim(limit, worker=worker)) == Refusal(
        "SP311", message
    )


@mutant(
    "synchronous_commit off accepted",
    "refuse_unsafe_server",
    "in ('off', 'local')",
    "in ('local')",
    at="off",
)
@mutant(
    "synchronous_commit local accepted",
    "refuse_unsafe_server",
    "in ('off', 'local')",
    "in ('off')",
    at="local",
)
@mutant(
    "a server that is never asked",
    "claim_transfers",
    "perform payout.refuse_unsafe_server(p_stripe_now);",
    "",
    at="off",
)
@pytest.mark.parametrize("level", ["off", "local"])
def test_nothing_is_handed_out_while_a_commit_could_be_lost(engine: Engine, level: str) -> None:
    (transfer,) = engine.settle()
    engine.db.execute(f"set local synchronous_commit = {level}")
    assert refusal(engine.db, CLAIM) == Refusal(
        "SP401", f"no transfer is handed out while synchronous_commit is {level}"
    )
    assert engine.progress(transfer).state == "scheduled"


@mutant(
    "a claim at an isolation that hides the end of the adoption",
    "refuse_unsafe_server",
    "<> 'read committed'",
    "= 'chaos'",
    at="repeatable read",
)
@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_no_claim_runs_at_an_isolation_that_hides_the_end_of_the_adoption(
    shared_engine: Engine, level: str
) -> None:
    (transfer,) = shared_engine.settle()
    shared_engine.worker.execute(f"set default_transaction_isolation = '{level}'".encode())
    assert refusal(shared_engine.worker, CLAIM) == Refusal(
        "SP401", f"no transfer is handed out while the transaction is {level}"
    )
    assert shared_engine.progress(transfer).state == "scheduled"


@mutant("a clock that is never compared", "clock_differs", "p_stripe_now)) > 300", "null)) > 300")
@pytest.mark.parametrize("ahead", ["-301 seconds", "301 seconds", "50 hours"])
def test_nothing_is_handed_out_while_the_clock_is_not_stripes(engine: Engine, ahead: str) -> None:
    """Else a key could be sent after Stripe has forgotten it, and absence be proved too early."""
    engine.settle()
    found = refusal(
        engine.db,
        "select payout_api.claim_transfers(p_worker => 'worker_1', "
        f"p_stripe_now => clock_timestamp() + '{ahead}')",
    )
    assert found is not None
    assert found.sqlstate == "SP401"
    assert "clock says" in found.message


def test_a_clock_may_differ_by_some_minutes(engine: Engine) -> None:
    engine.settle()
    (claimed,) = engine.db.execute(
        "select count(*) from payout_api.claim_transfers(p_worker => 'worker_1', "
        "p_stripe_now => clock_timestamp() - interval '299 seconds')"
    ).fetchall()
    assert claimed == (1,)


@mutant(
    "a parked transfer claimed",
    edits=(
        Edit(
            "lock_due_transfers",
            "s.next_attempt_at <= p_now",
            "coalesce(s.next_attempt_at, p_now) <= p_now",
        ),
        Edit(
            "lock_due_transfers",
            "('scheduled', 'retry_wait', 'unknown')",
            "('scheduled', 'retry_wait', 'unknown', 'parked')",
        ),
    ),
)
def test_a_parked_transfer_stays_parked_when_its_hold_is_released(engine: Engine) -> None:
    engine.settle()
    engine.report(success(engine.claim_one(), amount_minor=1))
    engine.release_holds()
    assert engine.claim() == []
    assert engine.open_holds() == [], "no guard had to stop it"


@mutant(
    "a clock that a session can move",
    "clock",
    "clock_timestamp()",
    "coalesce(nullif(current_setting('payout.now', true), '')::timestamptz, clock_timestamp())",
)
def test_a_session_does_not_move_the_clock(engine: Engine) -> None:
    engine.settle()
    engine.report(no_answer(engine.claim_one()))
    engine.let_pass("21 hours")
    engine.db.execute("select set_config('payout.now', (now() - interval '2 hours')::text, true)")
    engine.make_due()
    assert engine.claim() == []


def test_a_claim_reads_no_more_than_it_hands_out(engine: Engine) -> None:
    """Neither what is not due, nor what was paid long ago, nor all that is due."""
    payees = [f"seller_{n}" for n in range(300)]
    engine.settle(*payees, settlement_id="set_1")
    for claims in iter(lambda: engine.claim(300), []):
        engine.report(
            *(
                success(claim, stripe_transfer_id=f"tr_{claim.payout_transfer_id}")
                for claim in claims
            )
        )
    engine.settle(*payees, settlement_id="set_2")
    engine.settle(*payees, settlement_id="set_3", pay_after="2100-01-01")
    engine.plan_as_for_many_rows()
    before = engine.rows_read()
    assert len(engine.claim(limit=20)) == 20
    assert engine.rows_read() - before < 200


def test_a_claim_is_visible_to_everybody_once_it_has_returned(shared_engine: Engine) -> None:
    shared_engine.settle()
    shared_engine.claim_one()
    assert shared_engine.db.execute("select attempt from payout.transfer_attempts").fetchall() == [
        (1,)
    ]


@mutant("a claim that does not lock", "lock_due_transfers", "for update of s skip locked", "")
@mutant(
    "a claim that waits", "lock_due_transfers", "for update of s skip locked", "for update of s"
)
def test_what_somebody_else_has_locked_is_skipped_and_not_waited_for(
    shared_engine: Engine,
) -> None:
    first, second = shared_engine.settle("seller_1", "seller_2")
    with shared_engine.db.transaction():
        shared_engine.db.execute(
            "select from payout.transfer_states where payout_transfer_id = %s for update", [first]
        )
        shared_engine.worker.execute("set lock_timeout = '1s'")
        try:
            claims = shared_engine.claim()
        except psycopg.errors.LockNotAvailable:
            pytest.fail("the claim waited for a lock")
        assert [claim.payout_transfer_id for claim in claims] == [second]
    assert [claim.payout_transfer_id for claim in shared_engine.claim()] == [first]


def test_workers_that_claim_at_once_share_the_work_and_nothing_twice(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    transfers = shared_engine.settle(*(f"seller_{n}" for n in range(60)))
    workers = [connect("payout_worker") for _ in range(6)]
    barrier = Barrier(len(workers))

    def drain(connection: Connection) -> list[int]:
        barrier.wait()
        claimed: list[int] = []
        while claims := shared_engine.claim(7, connection=connection):
            claimed += [claim.payout_transfer_id for claim in claims]
        return claimed

    with ThreadPoolExecutor(len(workers)) as pool:
        shares = list(pool.map(drain, workers))
    claimed = sorted(transfer for share in shares for transfer in share)
    # A claim passes over the rows that another one holds; the rest waits for the next wake-up job.
    while claims := shared_engine.claim():
        claimed += [claim.payout_transfer_id for claim in claims]
    assert sorted(claimed) == sorted(transfers)
    attempts = shared_engine.db.execute(
        "select count(*), max(attempt) from payout.transfer_attempts"
    ).fetchall()
    assert attempts == [(60, 1)]


def test_ten_claims_at_once_of_one_transfer_make_one_attempt(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    shared_engine.settle()
    workers = [connect("payout_worker") for _ in range(10)]
    barrier = Barrier(len(workers))

    def claim(connection: Connection) -> int:
        barrier.wait()
        return len(shared_engine.claim(connection=connection))

    with ThreadPoolExecutor(len(workers)) as pool:
        assert sum(pool.map(claim, workers)) == 1
    assert shared_engine.db.execute("select count(*) from payout.transfer_attempts").fetchall() == [
        (1,)
    ]


@pytest.mark.parametrize("role", ["payout_app", "payout_operator", "payout_auditor"])
def test_only_a_worker_may_claim(visit: Callable[..., Connection], role: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        visit(role).execute(CLAIM)
    assert caught.value.diag.message_primary == "permission denied for function claim_transfers"


def test_a_worker_sees_nothing_but_what_it_is_handed(shared_engine: Engine) -> None:
    shared_engine.settle()
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        shared_engine.worker.execute("select from payout.transfer_states")
    assert caught.value.diag.message_primary == "permission denied for schema payout"


@mutant(
    "a late first send without a look",
    "lock_due_transfers",
    "(s.window_begins_at is null and s.next_attempt_at > p_window_begins_after)",
    "s.window_begins_at is null",
)
def test_a_late_first_send_waits_for_a_look_at_stripes_list(engine: Engine) -> None:
    """The attack: a standby that lagged behind is started by hand, and has forgotten the send."""
    (transfer,) = engine.settle()
    with engine.db.transaction(force_rollback=True):
        claim = engine.claim_one()  # The true database sends, and this one will not know.
    engine.let_pass("21 hours")
    assert engine.claim() == []

    engine.sweep()
    engine.let_pass("24 hours")
    assert engine.claim() == []
    assert engine.look_up(listed(claim)) == LookupReport(True, "ok", "paid")
    assert engine.progress(transfer).stripe_transfer_id == STRIPE_TRANSFER
    engine.adopt()
    assert engine.claim() == []


def test_a_late_first_send_goes_out_once_a_look_found_nothing(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.let_pass("45 hours")
    engine.sweep()
    assert engine.look_up() == LookupReport(True, "ok", "scheduled")
    assert engine.progress(transfer).reason is None
    assert engine.report_one(success(engine.claim_one())) == ("ok", "paid")


@mutant(
    "a look before all that may be forgotten is over",
    "plan_late_lookups",
    "s.next_attempt_at + payout.forgotten_sends_last(v_settings)",
    "p_now",
)
def test_the_look_before_a_late_first_send_comes_once_nothing_forgotten_can_come(
    engine: Engine,
) -> None:
    """The attack: the forgotten send was answered by a 500, which Stripe carries out a day later.

    It was made at the end of its window, at the latest; then its lease, its drain and a day.
    """
    engine.settle()
    engine.let_pass("20 hours")
    engine.sweep()
    ((turn, advice, wait),) = engine.db.execute(
        "select whose_turn, advice, next_attempt_at - now() from payout_api.unpaid"
    ).fetchall()
    assert turn == "engine"
    assert advice.startswith(LOOKED_FOR_FIRST)
    assert timedelta(hours=24, minutes=15) < wait <= timedelta(hours=24, seconds=930)
    engine.let_pass("24 hours 15 minutes 20 seconds")
    assert engine.claim_lookups() == []
    engine.let_pass("10 seconds")
    assert engine.look_up() == LookupReport(True, "ok", "scheduled")
    assert engine.claim_one().attempt == 1


@mutant(
    "an early look that counts",
    "judge_absence",
    "and v_looked_at >= p_state.next_attempt_at + payout.forgotten_sends_last(p_settings) ",
    "",
)
def test_a_look_that_began_too_early_does_not_let_a_late_first_send_go(engine: Engine) -> None:
    """The attack: a worker hands in the page of an old look, once the transfer is late."""
    engine.settle()
    engine.let_pass("21 hours")
    engine.db.execute("update payout.transfer_states set next_lookup_at = payout.clock()")
    (lookup,) = engine.claim_lookups()
    engine.let_pass("1 day")
    for number in range(len(lookup.queries)):
        report = engine.report_page(lookup, number, [])
    assert report == LookupReport(True, "ok", "scheduled")
    assert engine.claim() == []

    engine.sweep()
    assert engine.look_up() == LookupReport(True, "ok", "scheduled")
    assert engine.claim_one().attempt == 1


@mutant(
    "a window that begins at the first known send",
    "open_attempts",
    "coalesce(s.window_begins_at, s.next_attempt_at)",
    "coalesce(s.window_begins_at, p_now)",
)
def test_the_window_for_sends_begins_when_the_transfer_was_due(engine: Engine) -> None:
    """The attack: a send is forgotten; the key that is sent again a day later is new to Stripe."""
    (transfer,) = engine.settle()
    with engine.db.transaction(force_rollback=True):
        engine.claim_one()  # The true database sends, and this one will not know.
    engine.let_pass("19 hours")
    engine.report(no_answer(engine.claim_one()))
    engine.let_pass("2 hours")
    engine.make_due()
    assert engine.claim() == []
    engine.sweep()
    assert engine.progress(transfer).state == "parked"


def test_what_is_held_for_long_is_looked_for_once_it_is_free(engine: Engine) -> None:
    engine.settle()
    engine.hold("payee", "seller_1")
    engine.let_pass("45 hours")
    engine.sweep()
    assert engine.claim_lookups() == []
    engine.release_holds()
    assert engine.claim() == []
    engine.sweep()
    engine.look_up()
    assert engine.claim_one().attempt == 1


def test_a_usual_claim_calls_these_functions_and_no_others(engine: Engine) -> None:
    """Holds, waits, caps, a pace and rows that contradict each other call further ones."""
    engine.settle("seller_1", "seller_2")
    with engine.db.transaction():
        engine.db.execute("set local track_functions = 'all'")
        assert len(engine.claim(connection=engine.db)) == 2
        # Triggers, and functions within a check or another expression of a table, aside.
        called = engine.db.execute(
            "select f.funcname from pg_stat_xact_user_functions as f "
            "join pg_proc as p on p.oid = f.funcid "
            "where f.schemaname = 'payout' and p.prorettype <> 'trigger'::regtype "
            "and f.funcname not in ('json_sha256', 'progress_problem', 'notify_application')"
        )
        assert {name for (name,) in called} == USUAL_CLAIM
