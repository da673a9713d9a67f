"""One run goes on at a time in a database, from where the last one ended."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier

import pytest

from tests.conftest import Connection
from tests.engine import Engine, success, unguarded
from tests.identity.identities import adopted_elsewhere, identity_problem
from tests.mutants import Edit, mutant
from tests.reconcile.listing import (
    ACCOUNT,
    BEGIN,
    Begun,
    Taken,
    begin,
    listed,
    reconcile,
    refusal_by,
    report,
)
from tests.schema.refusals import Refusal, refusal, refusal_of

pytestmark = pytest.mark.usefixtures("names_account")

COUNTS_NO_MORE = "the run no longer counts for this database: begin another one"
OPEN = "select payout_api.adopt_database(p_reason => 'reconciled')"


def starts(db: Connection) -> list[datetime]:
    """Return from when on each run compares."""
    rows = db.execute(
        "select created_from from payout.reconcile_runs order by reconcile_run_id"
    ).fetchall()
    return [start for (start,) in rows]


def ends(db: Connection) -> list[datetime]:
    """Return until when each run compares."""
    rows = db.execute(
        "select created_until from payout.reconcile_runs order by reconcile_run_id"
    ).fetchall()
    return [end for (end,) in rows]


def test_without_any_transfer_all_that_stripe_has_is_compared(engine: Engine) -> None:
    run = begin(engine.db)
    assert run.query["created"]["gte"] == 0
    assert run.query["created"]["lt"] > 1_700_000_000
    assert run[2:] == (None, 0, 0)


@pytest.mark.parametrize("is_older", [True, False], ids=["the installation", "the first transfer"])
def test_the_first_run_begins_a_day_before(engine: Engine, is_older: bool) -> None:
    """A database restored to before its first transfer has forgotten older ones than it has."""
    with unguarded(engine.db, "payout.adoptions"):
        engine.db.execute(
            "update payout.adoptions set recorded_at = now() + %s", [timedelta(days=-is_older)]
        )
    engine.settle()
    engine.report(success(engine.claim_one()))
    assert begin(engine.db).transfers_expected == 1
    ((first,),) = engine.db.execute(
        "select least(t.created_at, (select min(e.recorded_at) from payout.adoptions as e)) "
        "from payout.payout_transfers as t"
    ).fetchall()
    assert starts(engine.db) == [first - timedelta(days=1)]


@mutant(
    "windows without an overlap",
    edits=(
        Edit("start_run", "max(r.created_until) - interval '1 day'", "max(r.created_until)"),
        Edit("start_run", "least(v_from, v_now - interval '1 day')", "v_from"),
    ),
)
def test_the_next_run_begins_a_day_before_the_last_one_ended(engine: Engine) -> None:
    reconcile(engine.db)
    begin(engine.db)
    assert starts(engine.db)[1] == ends(engine.db)[0] - timedelta(days=1)


def test_stripe_is_asked_for_more_than_is_compared(engine: Engine) -> None:
    reconcile(engine.db)
    created = begin(engine.db).query["created"]
    assert created["gte"] == int(starts(engine.db)[1].timestamp()) - 3600
    assert created["lt"] >= ends(engine.db)[1].timestamp() + 300


def test_a_run_goes_on_where_a_worker_that_died_left_it(engine: Engine) -> None:
    run = begin(engine.db)
    report(engine.db, run, listed("tr_9"), listed("tr_8"), has_more=True)
    assert begin(engine.db, worker="worker_2") == run._replace(
        starting_after="tr_8", transfers_seen=2
    )


def test_several_workers_that_begin_at_once_carry_one_run(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    workers = [connect("payout_worker") for _ in range(4)]
    barrier = Barrier(len(workers))

    def begin_together(worker: Connection) -> Begun:
        barrier.wait()
        return begin(worker)

    with ThreadPoolExecutor(len(workers)) as pool:
        for _ in range(5):
            first, *others = pool.map(begin_together, workers)
            assert others == [first] * 3
            report(workers[0], first)
    rows = shared_engine.db.execute("select count(*) from payout.reconcile_runs").fetchone()
    assert rows == (5,)


@mutant(
    "a window that counts in another database",
    "runs_of_this_database",
    "and (r.system_identifier, r.timeline_id, r.database_oid, r.table_oid)\n            = "
    "(w.system_identifier, w.timeline_id, w.database_oid, w.table_oid)\n",
    "",
    at="table_oid",
)
@pytest.mark.parametrize("part", ["system_identifier", "timeline_id", "database_oid", "table_oid"])
def test_a_run_that_came_with_a_copy_is_given_up_and_its_window_does_not_count(
    engine: Engine, part: str
) -> None:
    reconcile(engine.db)
    old = begin(engine.db)
    kind = "oid" if part.endswith("_oid") else "bigint"
    engine.db.execute(
        f"update payout.reconcile_runs set {part} = ({part}::bigint + 1)::text::{kind}".encode()
    )
    run = begin(engine.db)
    assert run.reconcile_run_id != old.reconcile_run_id
    assert run.query["created"]["gte"] == 0
    assert refusal_of(engine.db, lambda: report(engine.db, old)) == refusal_by(old, COUNTS_NO_MORE)


@mutant(
    "a window that counts by its time",
    edits=(
        Edit(
            "runs_of_this_database",
            "select a.adoption_id, a.",
            "select a.recorded_at, a.adoption_id, a.",
        ),
        Edit(
            "runs_of_this_database",
            "r.adoption_id >= a.adoption_id",
            "r.started_at > a.recorded_at",
        ),
    ),
)
@mutant(
    "a window that counts after the adoption has ended",
    "runs_of_this_database",
    "and (a.adoption_id is null or",
    "and (true or",
)
def test_after_the_adoption_ended_all_is_compared_once_more(engine: Engine) -> None:
    reconcile(engine.db)
    engine.db.execute("insert into payout.adoptions (reason) values ('closed')")
    assert begin(engine.db).query["created"]["gte"] == 0


def test_a_run_from_before_the_adoption_ended_takes_no_page_more(engine: Engine) -> None:
    run = begin(engine.db)
    engine.db.execute("insert into payout.adoptions (reason) values ('closed')")
    assert refusal_of(engine.db, lambda: report(engine.db, run)) == refusal_by(run, COUNTS_NO_MORE)


def test_a_run_counts_though_the_newest_adoption_lies_ahead_of_the_clock(engine: Engine) -> None:
    """The clock was set back after an adoption without a run."""
    engine.db.execute(
        "insert into payout.adoptions "
        "(system_identifier, timeline_id, database_oid, table_oid, reason, recorded_at) "
        "select w.*, 'adopted', payout.clock() + interval '1 day' "
        "from payout.database_identity() as w"
    )
    run = begin(engine.db)
    assert begin(engine.db, worker="worker_2") == run
    assert report(engine.db, run) == Taken(0, 0, True)
    begin(engine.db)
    assert starts(engine.db)[1] == ends(engine.db)[0] - timedelta(days=1)


def test_a_run_that_was_begun_with_a_clock_ahead_does_not_count_after_the_adoption(
    engine: Engine,
) -> None:
    reconcile(engine.db)
    engine.db.execute(
        "update payout.reconcile_runs set started_at = started_at + interval '1 day', "
        "created_until = created_until + interval '1 day'"
    )
    engine.db.execute("insert into payout.adoptions (reason) values ('closed')")
    assert begin(engine.db).query["created"]["gte"] == 0


def test_a_run_beside_an_open_change_of_the_account_does_not_count_after_it(
    shared_engine: Engine,
) -> None:
    """It was begun after the change was made, and before its commit."""
    worker, operator = shared_engine.worker, shared_engine.operator
    begin(worker)  # the first one fixes the account
    change = "select payout_api.change_stripe_account('acct_2', false, 'moved')"
    with operator.transaction():
        operator.execute(change)
        reconcile(worker)
        reconcile(worker)
    assert begin(worker, account="acct_2").query["created"]["gte"] == 0
    assert refusal_of(shared_engine.db, lambda: shared_engine.db.execute(OPEN)) == Refusal(
        "SP410", "the database is not adopted: no reconcile run of the last hour"
    )


def test_the_run_before_the_adoption_counts_afterwards(engine: Engine) -> None:
    engine.settle()
    adopted_elsewhere(engine.db, "timeline_id")
    assert reconcile(engine.db) == Taken(0, 0, True)
    engine.db.execute(OPEN)
    assert identity_problem(engine.db) is None
    begin(engine.db)
    assert starts(engine.db)[1] == ends(engine.db)[0] - timedelta(days=1)


def test_another_account_is_not_compared(engine: Engine) -> None:
    begin(engine.db)
    assert refusal(engine.db, BEGIN, ["worker_1", "acct_2", False]) == Refusal(
        "SP404", "this database does not pay from acct_2 in test mode"
    )
    assert refusal(engine.db, BEGIN, ["worker_1", ACCOUNT, True]) == Refusal(
        "SP404", f"this database does not pay from {ACCOUNT} in live mode"
    )


@pytest.mark.parametrize(
    ("worker", "account", "told"),
    [
        (None, ACCOUNT, f"reconcile of {ACCOUNT} by no worker"),
        (" ", ACCOUNT, f"reconcile of {ACCOUNT} by no worker"),
        ("w", None, "reconcile of no account by w"),
    ],
)
def test_a_run_of_nobody_is_refused(
    engine: Engine, worker: str | None, account: str | None, told: str
) -> None:
    attempt = refusal(engine.db, BEGIN, [worker, account, None if account is None else False])
    assert attempt == Refusal("SP341", f"{told}: name the worker and its Stripe account")


@pytest.mark.parametrize("role", ["payout_app", "payout_operator", "payout_auditor"])
def test_nobody_but_a_worker_begins_a_run(visit: Callable[..., Connection], role: str) -> None:
    assert refusal(visit(role), BEGIN, ["worker_1", ACCOUNT, False]) == Refusal(
        "42501", "permission denied for function begin_reconcile"
    )
