"""One comparison goes on at a time in a database, from where the last one ended."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.audit.sealing import seal_everything, value
from tests.audit.test_balances_as_of import ROWS_READ
from tests.busy import age
from tests.conftest import Connection
from tests.engine import Engine, no_answer, unguarded
from tests.identity.identities import adopted_elsewhere, identity_problem
from tests.mutants import mutant
from tests.reconcile.listing import (
    ACCOUNT,
    CLAIM,
    NO_SUCH_READ,
    Read,
    Taken,
    begin,
    carry,
    claim,
    listed,
    ours,
    pay,
    reconcile,
    refusal_by,
    report,
)
from tests.schema.refusals import Refusal, refusal, refusal_of, wait_until_blocked

pytestmark = pytest.mark.usefixtures("names_account")

COUNTS_NO_MORE = "it no longer counts for this database"
ADOPT = "select payout_api.adopt_database(p_reason => 'reconciled')"
CREATED = 1_700_000_000
DAY_BEFORE = CREATED - 86_400


def shown(engine: Engine, created: int = CREATED) -> Taken:
    """Compare everything, of which the newest was made then."""
    return reconcile(engine.db, listed("tr_9", created=created), listed("tr_8", created=1))


def test_the_first_comparison_is_of_all_that_stripe_has(engine: Engine) -> None:
    """A database restored to before its first transfer has forgotten older ones than it has."""
    pay(engine, "seller_1")
    read = begin(engine.db)
    assert (read.path, read.parameters) == ("/v1/transfers", {})
    assert (read.objects_seen, read.objects_expected) == (0, 1)


@mutant(
    "comparisons that count the whole ledger",
    "begin_list",
    "payout.first_entry_id(v_books_from)",
    "-9000000000000000000",
)
def test_a_comparison_counts_no_entries_that_were_sealed_before_its_books_begin(
    engine: Engine,
) -> None:
    pay(engine, *(f"seller_{number}" for number in range(1, 11)))
    age(engine, days=3)
    seal_everything(engine.db)
    reconcile(
        engine.db,
        *(ours(engine.db, f"tr_{n}", payee_id=f"seller_{n}") for n in range(1, 11)),
    )
    pay(engine, "seller_11", settlement_id="set_late")
    before = value(engine.db, ROWS_READ)

    read = begin(engine.db)

    assert read.objects_expected == 1
    assert value(engine.db, ROWS_READ) - before < 10


@mutant(
    "comparisons without an overlap",
    "begin_list",
    "v_last.newest_created_at - v_overlap",
    "v_last.newest_created_at",
)
def test_the_next_one_begins_a_day_before_the_newest_transfer_that_stripe_showed(
    engine: Engine,
) -> None:
    shown(engine)
    assert begin(engine.db).parameters == {"created": {"gte": DAY_BEFORE}}
    # A list without anything newer moves nothing.
    report(engine.db, begin(engine.db), listed("tr_7", created=CREATED - 5))
    assert begin(engine.db).gte == DAY_BEFORE
    report(engine.db, begin(engine.db))
    assert begin(engine.db).gte == DAY_BEFORE


@mutant(
    "a list bounded by our clock",
    "begin_list",
    "v_last.newest_created_at - v_overlap",
    "v_last.begun_at - interval '1 day'",
)
def test_a_wrong_clock_of_ours_hides_no_transfer(engine: Engine) -> None:
    """It was two days ahead, and right again when the next comparison came."""
    shown(engine)
    with unguarded(engine.db, "payout.stripe_reads"):
        engine.db.execute("update payout.stripe_reads set begun_at = now() - interval '1 s'")
    assert begin(engine.db).gte == DAY_BEFORE


@mutant(
    "a list bounded by a broken time",
    "take_page",
    "where c.created <= extract(epoch from r.begun_at)",
    "where c.created < 10000000000",
)
def test_a_time_of_stripes_that_is_broken_hides_no_transfer(engine: Engine) -> None:
    reconcile(engine.db, listed("tr_9", created=9_000_000_000), listed("tr_8", created=CREATED))
    assert begin(engine.db).gte == DAY_BEFORE


def test_a_comparison_goes_on_where_a_worker_that_died_left_it(engine: Engine) -> None:
    read = begin(engine.db)
    report(engine.db, read, listed("tr_9"), listed("tr_8"), has_more=True)
    again = begin(engine.db, worker="worker_2")
    assert again == read._replace(
        token=again.token,
        parameters={"starting_after": "tr_8"},
        objects_seen=2,
        read_in_seconds=again.read_in_seconds,
    )
    # Both may go on; the one that is behind is told where the other is.
    report(engine.db, again, listed("tr_7"), after="tr_8", has_more=True)
    next_, seen, *_ = carry(engine.db, read, listed("tr_9"), has_more=True)
    assert (next_, seen) == ({"starting_after": "tr_7"}, 3)


def test_only_the_newest_claims_of_a_read_may_go_on_with_it(engine: Engine) -> None:
    first = begin(engine.db)
    others = [begin(engine.db) for _ in range(20)]
    refused = refusal_of(engine.db, lambda: report(engine.db, first))
    assert refused == Refusal("SP340", f"read {first.read_id}: {NO_SUCH_READ}")
    assert report(engine.db, others[0]).is_finished


def test_a_token_is_stored_by_its_digest_alone(engine: Engine) -> None:
    read = begin(engine.db)
    assert re.fullmatch("ct_[0-9a-f]{32}", read.token)
    ((row, digests),) = engine.db.execute(
        "select to_jsonb(r)::text, token_sha256s from payout.stripe_reads as r where read_id = %s",
        [read.read_id],
    ).fetchall()
    assert read.token not in row
    assert digests == [hashlib.sha256(read.token.encode()).digest()]


def test_several_workers_that_begin_at_once_carry_one_comparison(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    workers = [connect("payout_worker") for _ in range(4)]
    barrier = Barrier(len(workers))

    def begin_together(worker: Connection) -> Read:
        barrier.wait()
        return begin(worker)

    with ThreadPoolExecutor(len(workers)) as pool:
        for _ in range(5):
            reads = list(pool.map(begin_together, workers))
            assert len({read.read_id for read in reads}) == 1
            assert len({read.token for read in reads}) == 4
            report(workers[0], reads[0])
    rows = shared_engine.db.execute(
        "select count(*) from payout.stripe_reads where kind = 'comparison'"
    )
    assert rows.fetchall() == [(5,)]


@mutant(
    "a comparison that counts in another database",
    "is_of_this_database",
    "(p_read.system_identifier, p_read.timeline_id, p_read.database_oid, p_read.table_oid)\n"
    "            = (w.system_identifier, w.timeline_id, w.database_oid, w.table_oid)\n",
    "true\n",
    at="table_oid",
)
@pytest.mark.parametrize("part", ["system_identifier", "timeline_id", "database_oid", "table_oid"])
def test_a_comparison_that_came_with_a_copy_is_given_up_and_bounds_no_other(
    engine: Engine, part: str
) -> None:
    shown(engine)
    old = begin(engine.db)
    kind = "oid" if part.endswith("_oid") else "bigint"
    with unguarded(engine.db, "payout.stripe_reads"):
        engine.db.execute(
            f"update payout.stripe_reads set {part} = ({part}::bigint + 1)::text::{kind}".encode()
        )
    read = begin(engine.db)
    assert read.read_id != old.read_id
    assert read.gte is None
    assert refusal_of(engine.db, lambda: report(engine.db, old)) == refusal_by(old, COUNTS_NO_MORE)


@mutant(
    "a comparison that counts after the adoption has ended",
    "is_of_this_database",
    "and (a.adoption_id is null or",
    "and (true or",
)
def test_after_the_adoption_ended_all_is_compared_once_more(engine: Engine) -> None:
    shown(engine)
    engine.db.execute("insert into payout.adoptions (reason) values ('closed')")
    assert begin(engine.db).gte is None


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
    assert begin(engine.db, worker="worker_2").read_id == run.read_id
    report(engine.db, run, listed(created=CREATED))
    assert begin(engine.db).gte == DAY_BEFORE


def test_a_run_that_was_begun_with_a_clock_ahead_does_not_count_after_the_adoption(
    engine: Engine,
) -> None:
    shown(engine)
    with unguarded(engine.db, "payout.stripe_reads"):
        engine.db.execute("update payout.stripe_reads set begun_at = begun_at + interval '1 day'")
    engine.db.execute("insert into payout.adoptions (reason) values ('closed')")
    assert begin(engine.db).gte is None


def test_a_run_that_a_change_of_the_account_waits_for_does_not_count_after_it(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    """It was begun after that transaction was, and before its adoption."""
    worker, operator = shared_engine.worker, shared_engine.operator
    begin(worker)  # the first one fixes the account
    change = "select payout_api.change_stripe_account('acct_2', false, 'moved')"
    operator.execute("begin")
    operator.execute("select now()")
    with ThreadPoolExecutor() as pool:
        with worker.transaction():
            reconcile(worker)
            reconcile(worker)
            operator.execute(change)
            changed = pool.submit(operator.execute, "commit")
            wait_until_blocked(shared_engine.db, operator)
        changed.result()
    assert begin(worker, account="acct_2").gte is None
    assert refusal_of(shared_engine.db, lambda: shared_engine.db.execute(ADOPT)) == Refusal(
        "SP410", "the database is not adopted: no comparison with Stripe of the last hour"
    )


def test_the_run_before_the_adoption_counts_afterwards(engine: Engine) -> None:
    engine.settle()
    adopted_elsewhere(engine.db, "timeline_id")
    shown(engine)
    engine.db.execute(ADOPT)
    engine.approve()
    assert identity_problem(engine.db) is None
    assert begin(engine.db).gte == DAY_BEFORE


def test_another_account_is_not_read(engine: Engine) -> None:
    begin(engine.db)
    assert refusal_of(engine.db, lambda: begin(engine.db, account="acct_2")) == Refusal(
        "SP404", "this database does not pay from acct_2 in test mode"
    )
    assert refusal(engine.db, CLAIM, ["worker_1", 1, ACCOUNT, True, None]) == Refusal(
        "SP404", f"this database does not pay from {ACCOUNT} in live mode"
    )


@pytest.mark.parametrize(
    ("worker", "limit", "kind", "told"),
    [
        (None, 20, "events", "claim of 20 reads by no worker, of kind events"),
        (" ", 20, None, "claim of 20 reads by no worker, of kind any"),
        ("w", 0, "reversals", "claim of 0 reads by w, of kind reversals"),
        ("w", 1001, "lookup", "claim of 1001 reads by w, of kind lookup"),
        ("w", None, None, "claim of null reads by w, of kind any"),
        ("w", 20, "charges", "claim of 20 reads by w, of kind charges"),
    ],
)
def test_a_claim_that_is_none_is_refused(
    engine: Engine, worker: str | None, limit: int | None, kind: str | None, told: str
) -> None:
    attempt = refusal(engine.db, CLAIM, [worker, limit, ACCOUNT, False, kind])
    assert attempt == Refusal("SP311", told)


@pytest.mark.parametrize("role", ["payout_app", "payout_operator", "payout_auditor"])
def test_nobody_but_a_worker_claims_reads(visit: Callable[..., Connection], role: str) -> None:
    assert refusal(visit(role), CLAIM, ["worker_1", 1, ACCOUNT, False, None]) == Refusal(
        "42501", "permission denied for function claim_reads"
    )


@mutant(
    "a look-up begun for nobody",
    "claim_reads",
    "payout.begin_due_reads(v_kind, p_worker, p_limit - cardinality(v_ids))",
    "(payout.begin_due_reads(v_kind, p_worker, p_limit))[:p_limit - cardinality(v_ids)]",
)
def test_without_a_kind_everything_is_handed_out_and_no_more_than_asked_for(
    engine: Engine,
) -> None:
    pay(engine, "seller_1")
    reconcile(engine.db, ours(engine.db, amount_reversed=1))
    engine.settle("seller_2", "seller_3", settlement_id="set_2")
    for claimed in engine.claim():
        engine.report(no_answer(claimed))
    engine.let_pass("21 hours")
    engine.sweep()
    kinds = ("events", "comparison", "lookup", "lookup", "reversals")
    assert [read.kind for read in claim(engine.db, None, limit=1)] == ["events"]
    assert [read.kind for read in claim(engine.db, None, limit=3)] == [*kinds[:3]]
    assert [read.kind for read in claim(engine.db, None)] == [*kinds[:2], *kinds[3:]]
