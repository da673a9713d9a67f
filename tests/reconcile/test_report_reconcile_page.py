"""A page of Stripe's list is taken once, in order, and compared with the books there and then."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Connection
from tests.engine import Engine, no_answer, no_such_account, success, unfunded, unguarded
from tests.identity.identities import adopted_elsewhere
from tests.mutants import mutant
from tests.reconcile.listing import (
    OTHER_QUERY,
    REPORT,
    Discrepancy,
    Taken,
    begin,
    discrepancies,
    listed,
    ours,
    pay,
    reconcile,
    refusal_by,
    report,
)
from tests.schema.refusals import Refusal, refusal, refusal_of, wait_until_blocked

pytestmark = pytest.mark.usefixtures("names_account")

OTHER_KIND = "the page holds something of another kind, or without a time"


def test_a_run_over_what_is_paid_here_finds_nothing(engine: Engine) -> None:
    sellers = [f"seller_{number}" for number in range(1, 8)]
    pay(engine, *sellers)
    page = [ours(engine.db, s.replace("seller", "tr"), payee_id=s) for s in sellers]
    assert begin(engine.db).transfers_expected == 7
    assert reconcile(engine.db, *page, per_page=3) == Taken(7, 0, True)
    assert discrepancies(engine) == []
    assert engine.db.execute("select count(*) from payout.listed_transfers").fetchone() == (0,)


def test_an_empty_list_finishes_a_run(engine: Engine) -> None:
    assert reconcile(engine.db) == Taken(0, 0, True)


@mutant(
    "a transfer missing at Stripe passes",
    "find_missing",
    "s.state = 'paid'\n",
    "s.state = 'parked'\n",
)
def test_what_is_paid_here_and_not_there_is_a_discrepancy(engine: Engine) -> None:
    pay(engine, "seller_1", "seller_2")
    assert reconcile(engine.db, ours(engine.db, "tr_2", payee_id="seller_2")) == Taken(1, 1, True)
    assert discrepancies(engine) == [Discrepancy("missing_at_stripe", "tr_1", None)]


def test_what_was_paid_after_the_run_began_is_not_missed(engine: Engine) -> None:
    begin(engine.db)
    engine.settle()
    engine.db.execute(
        "update payout.reconcile_runs set created_until = now() - interval '1 s', "
        "created_from = now() - interval '1 day'"
    )
    engine.report(success(engine.claim_one()))
    assert reconcile(engine.db) == Taken(0, 0, True)


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 1501},
        {"amount": "many"},
        {"currency": "eur"},
        {"destination": "acct_2"},
        {"livemode": True},
        {"livemode": None},
        {"transfer_group": f"payout_{'0' * 40}"},
    ],
    ids=repr,
)
def test_a_paid_transfer_that_stripe_tells_otherwise_is_a_discrepancy(
    engine: Engine, change: dict[str, Any]
) -> None:
    pay(engine, "seller_1")
    assert reconcile(engine.db, ours(engine.db, **change)) == Taken(1, 1, True)
    assert discrepancies(engine) == [Discrepancy("differs_at_stripe", "tr_1", None)]


def test_a_discrepancy_says_what_each_side_says_and_what_to_do(engine: Engine) -> None:
    (transfer,) = pay(engine, "seller_1")
    reconcile(engine.db, ours(engine.db, amount=1))
    row = engine.db.execute(
        "select payout_transfer_id, ours ->> 'amount_minor', theirs ->> 'amount_minor', "
        "ours ->> 'settlement_id', theirs ->> 'named_settlement', advice like 'Look both up%', "
        "found_by_run_id = (select reconcile_run_id from payout.reconcile_runs) "
        "from payout.discrepancies"
    ).fetchone()
    assert row == (transfer, "1500", "1", "set_1", "set_1", True, True)


def test_metadata_that_somebody_edited_hides_no_transfer(engine: Engine) -> None:
    pay(engine, "seller_1")
    assert reconcile(engine.db, ours(engine.db, metadata={})) == Taken(1, 0, True)


def test_a_transfer_that_somebody_made_by_hand_is_a_discrepancy(engine: Engine) -> None:
    assert reconcile(engine.db, listed("tr_9")) == Taken(1, 1, True)
    assert discrepancies(engine) == [Discrepancy("transfer_without_payout_ref", "tr_9", None)]


def test_what_others_made_before_the_engine_was_installed_is_none(engine: Engine) -> None:
    assert reconcile(engine.db, listed("tr_9", created=1_500_000_000)) == Taken(1, 0, True)


def test_a_transfer_of_a_settlement_that_is_not_known_is_a_discrepancy(engine: Engine) -> None:
    assert reconcile(engine.db, ours(engine.db, created=1_500_000_000)) == Taken(1, 1, True)
    assert discrepancies(engine) == [Discrepancy("unknown_transfer_at_stripe", "tr_1", None)]


@mutant(
    "a listed transfer that is not kept",
    "keep_listed_transfers",
    "where l.payout_ref is not null\n",
    "where false\n",
    at="scheduled",
)
@pytest.mark.parametrize("state", ["scheduled", "in_flight", "retry_wait", "unknown", "parked"])
def test_an_open_transfer_that_stripe_has_becomes_paid(engine: Engine, state: str) -> None:
    (transfer,) = engine.settle()
    if state != "scheduled":
        claim = engine.claim_one()
        engine.report(no_answer(claim)) if state in ("unknown", "parked") else None
        if state == "retry_wait":
            engine.report({**no_answer(claim), "signal": "not_sent"})
        if state == "parked":
            engine.let_pass("21 hours")
            engine.sweep()
    assert engine.progress(transfer).state == state
    assert reconcile(engine.db, ours(engine.db)) == Taken(1, 0, True)
    progress = engine.progress(transfer)
    assert (progress.state, progress.stripe_transfer_id) == ("paid", "tr_1")
    assert engine.observations(transfer)[-1][1:] == ("looked_up", "ok", "paid", "found_at_stripe")
    assert engine.entries(transfer)[2:] == [("paid", 1, "in_flight", "stripe_balance", 1500)]
    assert engine.claim() == []


def test_a_report_that_comes_after_its_transfer_was_found_is_known(engine: Engine) -> None:
    engine.settle()
    claim = engine.claim_one()
    reconcile(engine.db, ours(engine.db))
    assert engine.report_one(success(claim)) == ("already", "paid")


@pytest.mark.parametrize(
    "change", [{"amount": 1}, {"currency": "eur"}, {"destination": "acct_2"}, {"livemode": True}]
)
@pytest.mark.parametrize("is_claimed", [False, True])
def test_an_open_transfer_that_stripe_has_otherwise_is_parked_with_an_alarm(
    engine: Engine, change: dict[str, Any], is_claimed: bool
) -> None:
    (transfer,) = engine.settle()
    if is_claimed:
        engine.claim_one()
    assert reconcile(engine.db, ours(engine.db, **change)) == Taken(1, 1, True)
    assert engine.progress(transfer).state == "parked"
    assert discrepancies(engine) == [Discrepancy("answer_contradicts_request", "tr_1", None)]
    assert engine.open_holds() == [("transfer", str(transfer), "answer_contradicts_request")]
    # The same again is neither a second alarm nor a second discrepancy.
    assert reconcile(engine.db, ours(engine.db, **change)).discrepancies_found == 0
    assert len(discrepancies(engine)) == 1


@pytest.mark.parametrize("per_page", [1, 100])
@pytest.mark.parametrize("is_paid", [False, True])
def test_two_transfers_for_one_payout_ref_are_an_alarm(
    engine: Engine, per_page: int, is_paid: bool
) -> None:
    (transfer,) = pay(engine, "seller_1") if is_paid else engine.settle()
    both = ours(engine.db, "tr_1"), ours(engine.db, "tr_2")
    assert reconcile(engine.db, *both, per_page=per_page) == Taken(2, 1, True)
    assert engine.progress(transfer).stripe_transfer_id == "tr_1"
    assert discrepancies(engine) == [Discrepancy("second_transfer_at_stripe", "tr_2", None)]
    assert reconcile(engine.db, *both) == Taken(2, 0, True)
    assert len(discrepancies(engine)) == 1


def test_a_failed_transfer_that_stripe_has_is_an_alarm(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.report(no_such_account(engine.claim_one()))
    assert reconcile(engine.db, ours(engine.db)) == Taken(1, 1, True)
    assert engine.progress(transfer).state == "failed"
    assert discrepancies(engine) == [Discrepancy("success_under_closed_key", "tr_1", None)]
    assert engine.open_holds() == [("transfer", str(transfer), "success_under_closed_key")]


@mutant(
    "a claim without the listed transfers",
    "claim_transfers",
    "v_due_ids := payout.skip_listed_transfers(v_due_ids);",
    "",
)
@mutant(
    "a failed transfer that is sent although Stripe lists it",
    "skip_listed_transfers",
    "t.payout_transfer_id <> all (v_seen_ids)",
    "true",
)
def test_a_transfer_that_waits_for_its_next_key_is_not_sent_under_it(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.report(unfunded(engine.claim_one()))
    assert reconcile(engine.db, ours(engine.db)) == Taken(1, 0, True)
    assert engine.progress(transfer).state == "failed"
    engine.make_due()
    engine.sweep()
    assert engine.progress(transfer).state == "scheduled"
    assert engine.claim() == []
    assert engine.progress(transfer).state == "paid"
    assert engine.entries(transfer)[-1] == ("paid", 2, "in_flight", "stripe_balance", 1500)


@mutant(
    "a listed transfer known by metadata that people may edit",
    "read_listed_transfers",
    "then t ->> 'transfer_group'\n",
    "then t #>> '{metadata,payout_ref}'\n",
)
def test_a_transfer_without_its_metadata_is_not_sent_but_shown_to_operators(engine: Engine) -> None:
    reconcile(engine.db, ours(engine.db, metadata={}))
    (transfer,) = engine.settle()
    assert engine.claim() == []
    assert engine.progress(transfer).state == "parked"
    assert discrepancies(engine)[-1] == Discrepancy("answer_contradicts_request", "tr_1", None)


def test_a_transfer_of_a_charge_is_known_by_its_metadata(engine: Engine) -> None:
    there = ours(engine.db, source_transaction="ch_1")
    reconcile(engine.db, there)
    assert engine.db.execute("select payout_ref from payout.listed_transfers").fetchall() == [
        (there["metadata"]["payout_ref"],)
    ]


def test_the_same_page_twice_is_taken_once(engine: Engine) -> None:
    run = begin(engine.db)
    page = [listed("tr_9"), listed("tr_8")]
    for _ in range(2):
        assert report(engine.db, run, *page, has_more=True) == Taken(2, 2, False)
    for _ in range(2):
        assert report(engine.db, run, listed("tr_7"), after="tr_8") == Taken(3, 3, True)
    assert len(discrepancies(engine)) == 3


@mutant(
    "a run that leaves out a page",
    "reconcile_page_problem",
    "p_run.next_cursor, true",
    "p_starting_after, true",
)
def test_a_page_out_of_order_is_refused_and_names_the_one_that_is_next(engine: Engine) -> None:
    run = begin(engine.db)
    report(engine.db, run, listed("tr_9"), has_more=True)
    assert refusal_of(engine.db, lambda: report(engine.db, run, after="tr_5")) == refusal_by(
        run, "the page after tr_9 comes next, not that after tr_5"
    )
    assert begin(engine.db).starting_after == "tr_9"


def test_the_first_page_comes_first(engine: Engine) -> None:
    run = begin(engine.db)
    assert refusal_of(engine.db, lambda: report(engine.db, run, after="tr_5")) == refusal_by(
        run, "the page after nothing comes next, not that after tr_5"
    )


def test_a_finished_run_takes_no_page_more(engine: Engine) -> None:
    run = begin(engine.db)
    reconcile(engine.db, listed("tr_9"))
    assert refusal_of(engine.db, lambda: report(engine.db, run, after="tr_9")) == refusal_by(
        run, "the run has all of its pages"
    )


@pytest.mark.parametrize(
    ("page", "has_more", "problem"),
    [
        (None, False, "the page is not an array"),
        ({}, False, "the page is not an array"),
        (["tr_1"], False, "the page holds something without an id"),
        ([{}], False, "the page holds something without an id"),
        ([listed(created=None)], False, OTHER_KIND),
        ([listed(created="yesterday")], False, OTHER_KIND),
        ([listed("ch_1")], False, OTHER_KIND),
        ([listed("tr_" + 255 * "1")], False, OTHER_KIND),
        ([listed(), listed()], False, "the page names an object twice"),
        ([], True, "the page is empty, but more are said to follow"),
        ([], None, "the page does not say whether more pages follow"),
    ],
)
def test_a_page_that_is_none_is_refused(
    engine: Engine, page: object, has_more: bool | None, problem: str
) -> None:
    run = begin(engine.db)
    transfers = page if page is None else Jsonb(page)
    parameters = [run.reconcile_run_id, Jsonb(run.query), None, transfers, has_more]
    assert refusal(engine.db, REPORT, parameters) == refusal_by(run, problem)


@pytest.mark.parametrize("number", [None, 0])
def test_a_page_of_no_run_is_refused(engine: Engine, number: int | None) -> None:
    query = Jsonb(begin(engine.db).query)
    assert refusal(engine.db, REPORT, [number, query, None, Jsonb([]), False]) == Refusal(
        "SP341", f"reconcile run {'null' if number is None else number}: there is no such run"
    )


@mutant(
    "a page that answers any query",
    "refuse_other_query",
    "if p_query is distinct from p_asked then",
    "if false then",
)
@mutant(
    "a run that takes pages of another one",
    "report_reconcile_page",
    "p_query,\n            payout.reconcile_query(v_run)",
    "p_query,\n            p_query",
)
def test_pages_of_another_databases_run_with_the_same_number_are_refused(engine: Engine) -> None:
    """The true database compared a day; its copy, which is to forget nothing, compares all."""
    reconcile(engine.db)
    day = begin(engine.db)
    adopted_elsewhere(engine.db, "system_identifier")
    run = begin(engine.db)
    assert (day.query["created"]["gte"] > 0, run.query["created"]["gte"]) == (True, 0)
    old = day._replace(reconcile_run_id=run.reconcile_run_id)
    assert refusal_of(engine.db, lambda: report(engine.db, old)) == refusal_by(run, OTHER_QUERY)
    assert refusal(engine.db, "select payout_api.adopt_database('restored')") == Refusal(
        "SP410", "the database is not adopted: no reconcile run of the last hour"
    )
    # Nor is a page of the old run taken for one that is known.
    page = listed("tr_9")
    report(engine.db, run, page, has_more=True)
    refused = refusal_of(engine.db, lambda: report(engine.db, old, page, has_more=True))
    assert refused == refusal_by(run, OTHER_QUERY)
    assert report(engine.db, run, after="tr_9").is_finished


@pytest.mark.parametrize("query", [None, Jsonb(None), Jsonb({}), Jsonb([])], ids=repr)
def test_a_page_without_its_query_is_refused(engine: Engine, query: Jsonb | None) -> None:
    run = begin(engine.db)
    parameters = [run.reconcile_run_id, query, None, Jsonb([]), False]
    assert refusal(engine.db, REPORT, parameters) == refusal_by(run, OTHER_QUERY)


def test_a_page_that_two_workers_bring_is_taken_once(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    first, second = connect("payout_worker"), connect("payout_worker")
    run = begin(first)
    with ThreadPoolExecutor() as pool:
        with first.transaction():
            assert report(first, run, listed("tr_9")) == Taken(1, 1, True)
            other = pool.submit(report, second, run, listed("tr_9"))
            wait_until_blocked(shared_engine.db, second)
        assert other.result() == Taken(1, 1, True)
    assert len(discrepancies(shared_engine)) == 1


def test_a_page_judges_a_transfer_as_it_stands_when_its_claim_is_over(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    engine, reconciler = shared_engine, connect("payout_worker")
    (transfer,) = engine.settle()
    with ThreadPoolExecutor() as pool:
        with engine.worker.transaction():
            engine.claim_one()
            taken = pool.submit(reconcile, reconciler, ours(engine.db))
            wait_until_blocked(engine.db, reconciler)
        assert taken.result() == Taken(1, 0, True)
    assert [o.moved_to for o in engine.observations(transfer)] == ["paid"]


def test_a_claim_does_not_wait_for_a_page(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    engine, reconciler = shared_engine, connect("payout_worker")
    first, _ = engine.settle("seller_1", "seller_2")
    run = begin(reconciler)
    with reconciler.transaction():
        report(reconciler, run, ours(engine.db))
        (claim,) = engine.claim()
    assert claim.payout_transfer_id != first
    assert engine.progress(first).state == "paid"
    assert engine.claim() == []


def forget(db: Connection) -> None:
    """Forget every settlement and what came of it, as a restored database has."""
    tables = [
        "payout.ledger_entries",
        "payout.transfer_requests",
        "payout.transfer_observations",
        "payout.transfer_attempts",
        "payout.transfer_states",
        "payout.payout_transfers",
        "payout.payout_jobs",
        "payout.settlement_lines",
        "payout.settlements",
    ]
    with unguarded(db, *tables):
        for table in tables:
            db.execute(f"delete from {table}".encode())


def test_a_forgotten_transfer_is_paid_when_it_is_settled_again_and_never_claimed(
    shared_engine: Engine,
) -> None:
    engine = shared_engine
    sellers = ["seller_1", "seller_2", "seller_3"]
    pay(engine, *sellers)
    there = [ours(engine.db, s.replace("seller", "tr"), payee_id=s) for s in sellers]
    forget(engine.db)
    assert reconcile(engine.worker, *there[:2]) == Taken(2, 2, True)
    assert {discrepancy.kind for discrepancy in discrepancies(engine)} == {
        "unknown_transfer_at_stripe"
    }

    transfers = engine.settle(*sellers)
    # The third was not there, so it is sent.
    (claim,) = engine.claim()
    assert claim.payout_transfer_id == transfers[2]
    assert [engine.progress(transfer).state for transfer in transfers] == [
        "paid",
        "paid",
        "in_flight",
    ]
    assert [engine.progress(transfer).stripe_transfer_id for transfer in transfers] == [
        "tr_1",
        "tr_2",
        None,
    ]
    assert engine.entries(transfers[0])[2:] == [("paid", 1, "in_flight", "stripe_balance", 1500)]
    assert {discrepancy.resolved_by for discrepancy in discrepancies(engine)} == {"engine"}


def test_a_forgotten_transfer_that_is_settled_otherwise_is_parked_with_an_alarm(
    engine: Engine,
) -> None:
    reconcile(engine.db, ours(engine.db))
    (transfer,) = engine.settle(amount_minor=1600)
    assert engine.claim() == []
    assert engine.progress(transfer).state == "parked"
    assert discrepancies(engine) == [
        Discrepancy("unknown_transfer_at_stripe", "tr_1", None),
        Discrepancy("answer_contradicts_request", "tr_1", None),
    ]
    engine.make_due()
    engine.sweep()
    assert engine.claim() == []


def test_what_a_later_run_no_longer_finds_is_resolved_by_it(engine: Engine) -> None:
    pay(engine, "seller_1")
    reconcile(engine.db)
    assert discrepancies(engine) == [Discrepancy("missing_at_stripe", "tr_1", None)]
    # Found again it is the same row.
    assert reconcile(engine.db) == Taken(0, 1, True)
    assert discrepancies(engine) == [Discrepancy("missing_at_stripe", "tr_1", None)]
    assert reconcile(engine.db, ours(engine.db)) == Taken(1, 0, True)
    assert discrepancies(engine) == [Discrepancy("missing_at_stripe", "tr_1", "engine")]
    runs = engine.db.execute(
        "select found_by_run_id, last_found_by_run_id, resolved_by_run_id, "
        "array(select reconcile_run_id from payout.reconcile_runs order by 1) "
        "from payout.discrepancies"
    ).fetchone()
    assert runs is not None
    assert list(runs[:3]) == runs[3]
    # A discrepancy that comes back is a new one.
    reconcile(engine.db)
    assert [discrepancy.resolved_by for discrepancy in discrepancies(engine)] == ["engine", None]


def test_operators_are_notified_once_of_each_discrepancy(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    listener = connect()
    listener.execute("listen payout_alarms")
    reconcile(shared_engine.worker, listed("tr_9"), listed("tr_8"))
    (notice,) = listener.notifies(timeout=20, stop_after=1)
    assert notice.payload == "transfer_without_payout_ref"
    reconcile(shared_engine.worker, listed("tr_9"), listed("tr_8"))
    assert list(listener.notifies(timeout=0)) == []


@pytest.mark.parametrize("role", ["payout_app", "payout_operator", "payout_auditor"])
def test_nobody_but_a_worker_reports_a_page(visit: Callable[..., Connection], role: str) -> None:
    assert refusal(visit(role), REPORT, [1, Jsonb({}), None, Jsonb([]), False]) == Refusal(
        "42501", "permission denied for function report_reconcile_page"
    )


@mutant(
    "a claim that sends what it has put on hold itself",
    "skip_listed_transfers",
    "t.payout_transfer_id <> all (v_seen_ids)",
    "true",
)
def test_a_claim_sends_no_transfer_that_it_has_put_on_hold_and_sends_the_others(
    engine: Engine,
) -> None:
    reconcile(engine.db, ours(engine.db, amount=1, payee_id="seller_1"))
    listed, other = engine.settle("seller_1", "seller_2")
    assert [claim.payout_transfer_id for claim in engine.claim()] == [other]
    assert ("transfer", str(listed), "answer_contradicts_request") in engine.open_holds()
