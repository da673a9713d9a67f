"""A queue that is locked, broken or full holds up no settlement, claim, report or sweep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.conftest import Connection
from tests.engine import Engine, success, unguarded
from tests.mutants import Edit, mutant
from tests.operate.checks import complaints
from tests.wakeup.wakeups import lose_wakeups, rung, wakeups

# A trigger of somebody else's, which counts how often the queue was written.
BROKEN = """
create sequence public.tries;
create function public.break_queue() returns trigger language plpgsql as $$
begin
    perform nextval('public.tries');
    raise exception 'not today';
end $$;
create trigger break_queue before insert or delete on procrastinate.procrastinate_jobs
    for each row execute function public.break_queue();
grant usage on sequence public.tries to public
"""
NO_LIMIT = "set lock_timeout = '100ms'\n"


@contextmanager
def not_cancelled() -> Iterator[None]:
    """Fail if a statement waits until its time is over."""
    try:
        yield
    except psycopg.errors.QueryCanceled as error:
        raise AssertionError(f"it waited: {error}") from None


def tries(db: Connection) -> int:
    (row,) = db.execute("select coalesce(pg_sequence_last_value('public.tries'), 0)").fetchall()
    return int(row[0])


def write_tries(db: Connection, transfer: int, tries: int) -> None:
    """Write a row past its guards."""
    with unguarded(db, "payout.transfer_states"):
        db.execute(
            "update payout.transfer_states set tries = %s where payout_transfer_id = %s",
            [tries, transfer],
        )


@mutant(
    "a settlement waits for the queue",
    edits=tuple(
        Edit(function, NO_LIMIT, "") for function in ("find_wakeup", "remove_served_wakeups")
    ),
    at="access exclusive",
)
@mutant("a sweep waits for the queue", "queue_due_wakeups", NO_LIMIT, "", at="share")
@pytest.mark.parametrize("mode", ["share", "access exclusive"])
def test_a_locked_queue_holds_up_nothing_for_long(shared_engine: Engine, mode: str) -> None:
    """It is locked for as long as the test lasts; a call that waits for it is cancelled."""
    engine = shared_engine
    engine.settle(settlement_id="set_0")
    for role in (engine.app, engine.worker):
        role.execute("set statement_timeout = '5s'")
    with engine.db.transaction(), not_cancelled():
        engine.db.execute(f"lock table procrastinate.procrastinate_jobs in {mode} mode")
        engine.settle("seller_1", "seller_2", settlement_id="set_1")
        engine.settle(settlement_id="set_2")
        engine.sweep()
        engine.db.execute("select setval('payout.seen_wakeup', 1, false)")
        claims = engine.claim()
        assert len(claims) == 4
        outcomes = [success(c, stripe_transfer_id=f"tr_{c.payout_transfer_id}") for c in claims]
        assert {report.state for report in engine.report(*outcomes)} == {"paid"}
    engine.settle(settlement_id="set_3", pay_after="2100-01-01")
    engine.let_pass("100 years")
    assert rung(engine.worker) == 1


@mutant("each settlement tries a queue that fails", "queue_wakeup", " or v_seen_id = 0", "")
@mutant(
    "a claim forgets that the queue fails",
    "forget_pending_wakeup",
    "('payout.seen_wakeup'::regclass) > 0",
    "('payout.seen_wakeup'::regclass) is not null",
)
def test_a_queue_that_fails_is_tried_once_until_the_next_sweep(engine: Engine) -> None:
    engine.db.execute(BROKEN)
    engine.set(transfers_per_wakeup=1)
    engine.settle(settlement_id="set_1")
    assert tries(engine.db) == 1
    engine.settle("seller_1", "seller_2", settlement_id="set_2")
    assert len(engine.claim(1)) == 1
    engine.settle("seller_1", "seller_2", settlement_id="set_3")
    engine.settle(settlement_id="set_4")
    assert tries(engine.db) == 1
    engine.let_pass("1 minute")
    assert rung(engine.db) == 0
    assert tries(engine.db) == 2


def test_a_trigger_that_refuses_wakeup_jobs_costs_no_settlement_and_heals_at_the_next_sweep(
    engine: Engine,
) -> None:
    engine.db.execute(BROKEN)
    engine.settle()
    engine.db.execute("drop trigger break_queue on procrastinate.procrastinate_jobs")
    engine.let_pass("1 minute")
    assert rung(engine.db) == 1
    engine.settle(settlement_id="set_2")
    assert len(engine.claim()) == 2
    assert wakeups(engine.db) == {}


def test_a_queue_that_refuses_to_lose_a_job_costs_no_claim(engine: Engine) -> None:
    engine.settle()
    engine.db.execute(BROKEN)
    assert len(engine.claim()) == 1
    assert tries(engine.db) == 1
    assert len(wakeups(engine.db)) == 1


@mutant(
    "a row that breaks a rule costs all their wake-up jobs",
    "lock_unrung_transfers",
    "payout.progress_problem(s) is not null",
    "false",
)
def test_one_row_that_breaks_a_rule_leaves_the_others_their_wakeup_job(engine: Engine) -> None:
    first, _ = engine.settle("seller_1", "seller_2")
    lose_wakeups(engine.db)
    engine.let_pass("1 minute")
    write_tries(engine.db, first, -1)
    assert rung(engine.db) == 1
    write_tries(engine.db, first, 0)


@mutant("a full queue of notifications", "defer_job", " or not payout.can_notify()", "")
def test_nothing_is_notified_while_notifications_are_not_read(engine: Engine) -> None:
    """A commit with a notification would fail then."""
    engine.db.execute(
        "create or replace function payout.can_notify() returns boolean language sql "
        "as 'select false'"
    )
    engine.db.execute("listen payout_alarms")
    engine.settle()
    assert wakeups(engine.db) == {}
    engine.report(success(engine.claim_one(), amount_minor=1))
    assert list(engine.db.notifies(timeout=0)) == []


def test_notifications_can_be_sent_as_a_rule(engine: Engine) -> None:
    (row,) = engine.db.execute("select payout.can_notify()").fetchall()
    assert row == (True,)


@mutant(
    "a doctor who takes a queue that keeps nothing for a queue",
    "queue_problem",
    "if not found then",
    "if false then",
)
def test_a_queue_that_keeps_no_job_costs_nothing_and_the_doctor_says_so(engine: Engine) -> None:
    engine.db.execute(
        "create function procrastinate.keep_none() returns trigger language plpgsql as "
        "$$ begin return null; end $$; create trigger keep_none before insert "
        "on procrastinate.procrastinate_jobs for each row "
        "execute function procrastinate.keep_none()"
    )
    engine.settle()
    engine.let_pass("1 minute")
    assert rung(engine.db) == 0
    assert complaints(engine.db) == {
        "wake-up jobs can be queued": "a trigger of the queue does not fire, or a rule or "
        "trigger keeps jobs from it"
    }
    assert len(engine.claim()) == 1
