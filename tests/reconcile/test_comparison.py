"""A page of Stripe's list is taken once, in order, and compared with the books there and then."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Connection
from tests.engine import (
    Engine,
    alarms,
    no_answer,
    no_such_account,
    rate_limited,
    success,
    unfunded,
    unguarded,
)
from tests.identity.identities import adopted_elsewhere
from tests.mutants import mutant
from tests.reconcile.listing import (
    NO_SUCH_READ,
    REPORT,
    Discrepancy,
    Read,
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
from tests.reconcile.test_lookup_pages import settle_charge
from tests.schema.refusals import Refusal, refusal, refusal_of, wait_until_blocked

pytestmark = pytest.mark.usefixtures("names_account")

ENDLESS = "more pages are said to follow, but the last object has no id to go on from"


def test_a_run_over_what_is_paid_here_finds_nothing(engine: Engine) -> None:
    sellers = [f"seller_{number}" for number in range(1, 8)]
    pay(engine, *sellers)
    page = [ours(engine.db, s.replace("seller", "tr"), payee_id=s) for s in sellers]
    assert begin(engine.db).objects_expected == 7
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
    with unguarded(engine.db, "payout.stripe_reads"):
        engine.db.execute(
            "update payout.stripe_reads set begun_at = now() - interval '1 s', "
            "books_from = now() - interval '1 day'"
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
        "ours ->> 'settlement_id', theirs ->> 'settlement_id', advice like 'Look both up%', "
        "found_by_read_id = (select max(read_id) from payout.stripe_reads) "
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


def test_a_transfer_of_other_software_that_names_settlement_and_payee_is_none_of_ours(
    engine: Engine,
) -> None:
    metadata = {"settlement_id": "old_1", "payee_id": "seller_1"}
    old = listed("tr_8", created=1_500_000_000, metadata=metadata)
    assert reconcile(engine.db, listed("tr_9", metadata=metadata), old) == Taken(2, 1, True)
    assert discrepancies(engine) == [Discrepancy("transfer_without_payout_ref", "tr_9", None)]


def test_a_transfer_of_a_settlement_that_is_not_known_is_a_discrepancy(engine: Engine) -> None:
    assert reconcile(engine.db, ours(engine.db, created=1_500_000_000)) == Taken(1, 1, True)
    assert discrepancies(engine) == [Discrepancy("unknown_transfer_at_stripe", "tr_1", None)]


@mutant(
    "a listed transfer that is not kept",
    "take_listed_transfers",
    "where l.belongs_to is not null\n",
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
    engine.adopt()
    assert engine.claim() == []


def test_a_report_that_comes_after_its_transfer_was_found_is_known(engine: Engine) -> None:
    engine.settle()
    claim = engine.claim_one()
    reconcile(engine.db, ours(engine.db))
    assert engine.report_one(success(claim)) == ("already", "paid")


@mutant(
    "a listed transfer judged again by each page",
    "record_listed_transfers",
    "and o.signal = 'looked_up'",
    "and false",
    at="False-change0",
)
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
    # The same again is neither a second alarm nor a second discrepancy, and no fact more.
    facts = engine.observations(transfer)
    assert reconcile(engine.db, ours(engine.db, **change)).objects_found == 0
    assert engine.observations(transfer) == facts
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
    "lock_due_transfers",
    "(select exists (select from payout.listed_transfers))",
    "false",
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
    engine.sweep()
    assert engine.progress(transfer).state == "paid"
    assert engine.entries(transfer)[-1] == ("paid", 2, "in_flight", "stripe_balance", 1500)


@mutant(
    "a listed transfer known by metadata that people may edit",
    "read_stripe_transfer",
    "'^payout_[0-9a-f]+$' then v_transfer.transfer_group",
    "'^payout_[0-9a-f]+$' then v_transfer.payout_ref",
)
def test_a_transfer_without_its_metadata_is_not_sent_but_shown_to_operators(engine: Engine) -> None:
    reconcile(engine.db, ours(engine.db, metadata={}))
    (transfer,) = engine.settle()
    assert engine.claim() == []
    engine.sweep()
    assert engine.progress(transfer).state == "parked"
    assert discrepancies(engine)[-1] == Discrepancy("answer_contradicts_request", "tr_1", None)


@mutant(
    "a transfer of a charge sent again because its payout_ref was edited",
    "read_stripe_transfer",
    "and num_nulls(v_transfer.settlement_id, v_transfer.payee_id) = 0",
    "and false",
    at="edited",
)
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param({"payout_ref": "ACC-2026-0042"}, id="edited"),
        pytest.param({"payout_ref": ""}, id="emptied"),
    ],
)
def test_a_transfer_of_a_charge_is_known_by_settlement_and_payee(
    engine: Engine, edit: dict[str, str]
) -> None:
    """Its group is Stripe's. A restored database that forgot it must not send it."""
    there = ours(engine.db, source_transaction="ch_1", amount=5)
    reconcile(engine.db, there | {"metadata": there["metadata"] | edit})
    engine.adopt()
    settle_charge(engine)
    assert engine.claim() == []
    engine.sweep()
    assert discrepancies(engine)[-1] == Discrepancy("answer_contradicts_request", "tr_1", None)


@mutant(
    "a listed transfer of another installation paid as ours",
    "judge_success",
    "p_outcome.payout_engine = p_settings.installation_id",
    "true",
    at="another",
)
@pytest.mark.parametrize("installation_id", ["another", None])
def test_a_listed_transfer_of_another_installation_pays_nothing(
    engine: Engine, installation_id: str | None
) -> None:
    there = ours(engine.db)
    (transfer,) = engine.settle()
    metadata = there["metadata"] | {"payout_engine": installation_id}
    reconcile(engine.db, there | {"metadata": metadata})
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


def next_page(read: Read, expected: dict[str, Any], got: dict[str, Any] | None) -> Refusal:
    """Return the refusal of a page that is not the next one."""
    told = "nothing" if got is None else json.dumps(got)
    return refusal_by(read, f"the page of {json.dumps(expected)} comes next, not that of {told}")


@mutant(
    "a comparison that leaves out a page",
    "page_problem",
    "elsif p_parameters is distinct from p_read.next_parameters then",
    "elsif false then",
)
def test_a_page_out_of_order_is_refused_and_names_the_one_that_is_next(engine: Engine) -> None:
    read = begin(engine.db)
    late = {"starting_after": "tr_5"}
    assert refusal_of(engine.db, lambda: report(engine.db, read, after="tr_5")) == next_page(
        read, {}, late
    )
    report(engine.db, read, listed("tr_9"), has_more=True)
    assert refusal_of(engine.db, lambda: report(engine.db, read, after="tr_5")) == next_page(
        read, {"starting_after": "tr_9"}, late
    )
    assert begin(engine.db).parameters == {"starting_after": "tr_9"}


def test_a_finished_comparison_takes_no_page_more(engine: Engine) -> None:
    read = begin(engine.db)
    reconcile(engine.db, listed("tr_9"))
    assert refusal_of(engine.db, lambda: report(engine.db, read, after="tr_9")) == refusal_by(
        read, "it has all of its pages"
    )


@pytest.mark.parametrize(
    ("page", "has_more", "problem"),
    [
        (None, False, "the page is not an array"),
        ({}, False, "the page is not an array"),
        ([listed(), {}], True, ENDLESS),
        (["tr_1"], True, ENDLESS),
        ([], True, ENDLESS),
        ([], None, "the page does not say whether more pages follow"),
    ],
)
def test_a_page_that_is_none_is_refused(
    engine: Engine, page: object, has_more: bool | None, problem: str
) -> None:
    read = begin(engine.db)
    objects = page if page is None else Jsonb(page)
    values = [read.read_id, read.token, Jsonb(read.parameters), objects, has_more]
    assert refusal(engine.db, REPORT, values) == refusal_by(read, problem)


@mutant(
    "a list that is read in circles",
    "page_problem",
    "return 'the page leads back to one that was read';",
    "return null;",
)
def test_a_page_that_leads_back_is_refused(engine: Engine) -> None:
    read = begin(engine.db)
    report(engine.db, read, listed("tr_9"), has_more=True)
    report(engine.db, read, listed("tr_8"), after="tr_9", has_more=True)
    refused = refusal_of(
        engine.db, lambda: report(engine.db, read, listed("tr_9"), after="tr_8", has_more=True)
    )
    assert refused == refusal_by(read, "the page leads back to one that was read")


UNREADABLE: dict[str, object] = {
    "no object": 7,
    "text": "tr_1",
    "without an id": {},
    "a number for an id": listed() | {"id": 7},
    "another kind": listed("ch_1"),
    "a long id": listed("tr_" + 255 * "1"),
    "an endless id": listed("tr_" + 3000 * "1"),
    "null": None,
}


@mutant(
    "an unreadable object that nobody hears of",
    "take_page",
    "if cardinality(v_listed) < jsonb_array_length(p_objects) then",
    "if false then",
    at="text",
)
@pytest.mark.parametrize("name", UNREADABLE)
def test_an_object_that_cannot_be_read_is_set_aside_and_stops_no_other(
    engine: Engine, name: str
) -> None:
    (transfer,) = engine.settle()
    there = UNREADABLE[name], ours(engine.db), UNREADABLE[name]
    assert reconcile(engine.db, *there) == Taken(3, 1, True)  # type: ignore[arg-type]
    assert engine.progress(transfer).state == "paid"
    assert [finding.kind for finding in discrepancies(engine)] == ["unreadable_at_stripe"]
    # The same again is the same row.
    reconcile(engine.db, *there)  # type: ignore[arg-type]
    assert len(discrepancies(engine)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"created": None},
        {"created": "yesterday"},
        {"created": 10**30},
        {"created": -1},
        {"created": 999_999_999_999_999_999},
        {"amount_reversed": 10**30},
        {"amount_reversed": "many"},
        {"object": 7},
    ],
    ids=repr,
)
def test_a_field_that_cannot_be_read_stops_no_page(
    engine: Engine, change: dict[str, object]
) -> None:
    pay(engine, "seller_1")
    assert reconcile(engine.db, ours(engine.db, **change)).is_finished
    assert discrepancies(engine) == []


@pytest.mark.parametrize("number", [None, 0])
def test_a_page_of_no_read_is_refused(engine: Engine, number: int | None) -> None:
    token = begin(engine.db).token
    assert refusal(engine.db, REPORT, [number, token, Jsonb({}), Jsonb([]), False]) == Refusal(
        "SP340", f"read {'null' if number is None else number}: {NO_SUCH_READ}"
    )


@mutant(
    "a page of anybody's",
    "report_page",
    "and sha256(convert_to(p_token, 'UTF8')) = any (r.token_sha256s)",
    "",
)
@pytest.mark.parametrize("token", [None, "", "ct_" + 32 * "0"])
def test_a_page_without_the_token_of_its_read_is_refused(engine: Engine, token: str | None) -> None:
    read = begin(engine.db)
    values = [read.read_id, token, Jsonb(read.parameters), Jsonb([]), False]
    assert refusal(engine.db, REPORT, values) == Refusal(
        "SP340", f"read {read.read_id}: {NO_SUCH_READ}"
    )
    assert report(engine.db, read).is_finished


@mutant(
    "a read that goes on in a copy",
    "page_problem",
    "or not payout.is_of_this_database(p_read)",
    "",
)
def test_pages_of_a_comparison_that_came_with_a_copy_are_refused(engine: Engine) -> None:
    """The true database compared a day; its copy, which is to forget nothing, compares all."""
    reconcile(engine.db, listed("tr_8", created=1_700_000_000))
    day = begin(engine.db)
    adopted_elsewhere(engine.db, "system_identifier")
    assert refusal_of(engine.db, lambda: report(engine.db, day)) == refusal_by(
        day, "it no longer counts for this database"
    )
    read = begin(engine.db)
    assert (day.gte, read.gte) == (1_700_000_000 - 86_400, None)
    assert refusal(engine.db, "select payout_api.adopt_database('restored')") == Refusal(
        "SP410", "the database is not adopted: no comparison with Stripe of the last hour"
    )
    report(engine.db, read, listed("tr_9"), has_more=True)
    assert report(engine.db, read, after="tr_9").is_finished


@pytest.mark.parametrize("parameters", [None, Jsonb(None), Jsonb([])], ids=repr)
def test_a_page_without_its_parameters_is_refused(engine: Engine, parameters: Jsonb | None) -> None:
    read = begin(engine.db)
    values = [read.read_id, read.token, parameters, Jsonb([]), False]
    told = "nothing" if parameters is None else json.dumps(parameters.obj)
    assert refusal(engine.db, REPORT, values) == refusal_by(
        read, f"the page of {{}} comes next, not that of {told}"
    )


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
    engine.report(no_answer(*engine.claim(1)))
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
        "payout.outcomes",
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

    engine.adopt()
    transfers = engine.settle(*sellers)
    # The third was not there, so it is sent.
    (claim,) = engine.claim()
    assert claim.payout_transfer_id == transfers[2]
    engine.sweep()
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
    engine.adopt()
    (transfer,) = engine.settle(amount_minor=1600)
    assert engine.claim() == []
    engine.sweep()
    assert engine.progress(transfer).state == "parked"
    assert engine.progress(transfer).reason == "answer_contradicts_request"
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
        "select found_by_read_id, resolved_by_read_id, "
        "array(select read_id from payout.stripe_reads where kind = 'comparison' order by 1) "
        "from payout.discrepancies"
    ).fetchone()
    assert runs is not None
    first, _, last = runs[2]
    assert runs[:2] == (first, last)
    # A discrepancy that comes back is a new one.
    reconcile(engine.db)
    assert [discrepancy.resolved_by for discrepancy in discrepancies(engine)] == ["engine", None]


@mutant(
    "another discrepancy of the same transfer keeps one that is over",
    "resolve_compared",
    "                    and k.kind = d.kind\n",
    "",
)
def test_a_transfer_that_is_listed_again_but_differs_is_missing_no_more(engine: Engine) -> None:
    pay(engine, "seller_1")
    reconcile(engine.db)
    reconcile(engine.db, ours(engine.db, destination="acct_other"))
    assert discrepancies(engine) == [
        Discrepancy("missing_at_stripe", "tr_1", "engine"),
        Discrepancy("differs_at_stripe", "tr_1", None),
    ]


def test_operators_are_notified_once_of_each_discrepancy(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    listener = connect()
    listener.execute("listen payout_alarms")
    reconcile(shared_engine.worker, listed("tr_9"), listed("tr_8"))
    assert alarms(listener, seconds=20, stop_after=1) == ["transfer_without_payout_ref"]
    reconcile(shared_engine.worker, listed("tr_9"), listed("tr_8"))
    assert list(listener.notifies(timeout=0)) == []


@pytest.mark.parametrize("role", ["payout_app", "payout_operator", "payout_auditor"])
def test_nobody_but_a_worker_reports_a_page(visit: Callable[..., Connection], role: str) -> None:
    assert refusal(visit(role), REPORT, [1, "", Jsonb({}), Jsonb([]), False]) == Refusal(
        "42501", "permission denied for function report_page"
    )


@mutant(
    "listed transfers that nobody judges",
    "sweep",
    "perform payout.judge_listed_transfers(payout.clock(), p_limit);",
    "",
)
def test_a_claim_sends_no_transfer_that_is_listed_and_sends_the_others(
    engine: Engine,
) -> None:
    reconcile(engine.db, ours(engine.db, amount=1, payee_id="seller_1"))
    engine.adopt()
    listed, other = engine.settle("seller_1", "seller_2")
    assert [claim.payout_transfer_id for claim in engine.claim()] == [other]
    engine.sweep()
    assert ("transfer", str(listed), "answer_contradicts_request") in engine.open_holds()


@mutant(
    "a forged report that hides a listed transfer",
    "record_outcomes",
    "from judged as j where j.reason is distinct from 'report_of_another_claim'",
    "from judged as j",
)
def test_a_listed_transfer_is_judged_though_a_forged_report_named_it(engine: Engine) -> None:
    """The attack: left alone, it would neither be sent nor paid, and no operator would know."""
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.report(rate_limited(claim))
    engine.report(success(claim._replace(claim_token="invented"), stripe_transfer_id="tr_1"))
    engine.release_holds()
    reconcile(engine.db, ours(engine.db, amount=1))
    assert engine.progress(transfer).state == "parked"
    assert engine.progress(transfer).reason == "answer_contradicts_request"
