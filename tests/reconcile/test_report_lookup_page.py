"""The pages of a look-up come to one transfer, several, another one, or none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine import (
    STRIPE_TRANSFER,
    Claim,
    Engine,
    Lookup,
    LookupReport,
    listed,
    success,
)
from tests.mutants import Edit, mutant
from tests.reconcile.test_claim_lookups import park
from tests.schema.refusals import Refusal, refusal, refusal_of

HINT = "Read each query of claim_lookups from its start, page by page."


def others(*numbers: int) -> list[dict[str, Any]]:
    """Return transfers as Stripe lists them, of somebody else's making."""
    return [
        {"id": f"tr_other_{number}", "object": "transfer", "metadata": {}, "amount": 1}
        for number in numbers
    ]


@pytest.fixture
def parked(engine: Engine) -> tuple[int, Claim]:
    """A transfer that is parked because its key is too old, and its claim."""
    (transfer,) = engine.settle()
    return transfer, park(engine)


def test_one_match_that_equals_the_request_pays(engine: Engine, parked: tuple[int, Claim]) -> None:
    transfer, claim = parked
    assert engine.look_up(listed(claim)) == LookupReport(True, "ok", "paid")
    progress = engine.progress(transfer)
    assert (progress.state, progress.stripe_transfer_id) == ("paid", STRIPE_TRANSFER)
    assert engine.observations(transfer)[-1] == (1, "looked_up", "ok", "paid", "found_at_stripe")
    assert engine.entries(transfer)[-1][:4] == ("paid", 1, "in_flight", "stripe_balance")
    assert engine.differences_in_the_books() == []


@mutant(
    "a look-up judged after its first query",
    "report_lookup_page",
    "jsonb_array_length(v_lookup.queries) then",
    "1 then",
)
@mutant("a look-up judged before its last page", "report_lookup_page", "and not p.has_more", "")
def test_nothing_is_decided_before_the_last_page_of_the_last_query(
    engine: Engine, parked: tuple[int, Claim]
) -> None:
    transfer, claim = parked
    (lookup,) = engine.claim_lookups()
    open_ = LookupReport(False, None, "parked")
    assert engine.report_page(lookup, 1, others(1, 2), has_more=True) == open_
    assert engine.report_page(lookup, 0, [listed(claim)]) == open_
    last = engine.report_page(lookup, 1, others(3), starting_after="tr_other_2")
    assert last == LookupReport(True, "ok", "paid")
    assert engine.progress(transfer).state == "paid"


def test_the_same_pages_again_change_nothing(engine: Engine, parked: tuple[int, Claim]) -> None:
    transfer, claim = parked
    (lookup,) = engine.claim_lookups()
    engine.report_page(lookup, 0, [listed(claim)])
    for _ in range(3):
        assert engine.report_page(lookup, 1, []) == LookupReport(True, "ok", "paid")
        assert engine.report_page(lookup, 0, others(9)).is_complete
    assert len(engine.entries(transfer)) == 3
    assert [each.signal for each in engine.observations(transfer)].count("looked_up") == 1


@mutant(
    "a match that is not compared",
    "answers_request",
    "and p_outcome.amount_minor = p_transfer.amount_minor",
    "",
    at="{'amount': 1501}",
)
@pytest.mark.parametrize(
    "change",
    [
        {"amount": 1501},
        {"currency": "eur"},
        {"destination": "acct_9"},
        {"object": "payout"},
        {"livemode": None},
        {"amount": "many"},
        {"metadata": {}},
    ],
    ids=str,
)
def test_one_match_that_differs_is_an_alarm(
    engine: Engine, parked: tuple[int, Claim], change: dict[str, Any]
) -> None:
    transfer, claim = parked
    assert engine.look_up(listed(claim, **change)) == LookupReport(True, "alarm", "parked")
    assert engine.progress(transfer).state == "parked"
    assert engine.discrepancies()[-1][0] == "answer_contradicts_request"
    assert ("transfer", str(transfer), "answer_contradicts_request") in engine.open_holds()
    assert len(engine.entries(transfer)) == 2


def test_what_stripe_has_otherwise_is_the_operators_turn_until_the_end(
    engine: Engine, parked: tuple[int, Claim]
) -> None:
    _, claim = parked
    engine.look_up(listed(claim, amount=1))
    engine.release_holds()
    engine.let_pass("10 days")
    assert engine.look_up(listed(claim, amount=1)).verdict == "already"
    ((turn, advice),) = engine.db.execute(
        "select whose_turn, advice from payout_api.unpaid"
    ).fetchall()
    assert turn == "operator"
    assert "something else than was asked for (answer_contradicts_request)" in advice


@pytest.mark.parametrize(
    ("change", "report"),
    [
        ({}, LookupReport(True, "alarm", "parked")),
        ({"amount": 6}, LookupReport(True, "ok", "parked")),
        ({"source_transaction": "ch_2"}, LookupReport(True, "ok", "parked")),
        ({"destination": "acct_2"}, LookupReport(True, "ok", "parked")),
        ({"metadata": {"payout_ref": "another"}}, LookupReport(True, "ok", "parked")),
    ],
    ids=str,
)
def test_a_transfer_of_the_same_charge_without_metadata_is_left_to_operators(
    engine: Engine, change: dict[str, Any], report: LookupReport
) -> None:
    """Stripe sets the group of what a charge pays, and metadata can be edited."""
    claim = park_of_charge(engine)
    bare = listed(claim, metadata={}, transfer_group="group_pi_1")
    assert engine.look_up({**bare, **change}) == report
    engine.let_pass("30 days")
    assert engine.look_up({**bare, "id": "tr_2"}, listed(claim)).state == "paid"


def park_of_charge(engine: Engine) -> Claim:
    """Have a transfer of a charge parked."""
    engine.db.execute("select payout_api.register_payee('seller_1', 'acct_1')")
    engine.db.execute(
        "select payout_api.complete_settlement('set_1', 'usd', '[{\"line_id\": \"1\", "
        '"payee_id": "seller_1", "amount_minor": 5, "source_transaction": "ch_1"}]\')'
    )
    return park(engine)


def test_a_transfer_that_names_us_in_its_metadata_is_found_without_its_group(
    engine: Engine, parked: tuple[int, Claim]
) -> None:
    _, claim = parked
    assert engine.look_up(listed(claim, transfer_group="group_pi_1")).state == "paid"


@mutant(
    "several matches, the first one taken",
    edits=(
        Edit("lookup_outcome", "cardinality(v_matches) = 1", "v_matches <> '{}'"),
        Edit(
            "lookup_outcome",
            "v_outcome.found := cardinality(v_matches)",
            "v_outcome.found := least(cardinality(v_matches), 1)",
        ),
    ),
)
def test_more_than_one_match_is_an_alarm_and_stops_the_transfer(
    engine: Engine, parked: tuple[int, Claim]
) -> None:
    transfer, claim = parked
    found = engine.look_up(listed(claim), listed(claim, id="tr_2"))
    assert found == LookupReport(True, "alarm", "parked")
    assert engine.discrepancies() == [("several_transfers_at_stripe", transfer, None)]
    assert engine.open_holds() == [("transfer", str(transfer), "several_transfers_at_stripe")]
    engine.let_pass("1 day")
    again = engine.look_up(listed(claim), listed(claim, id="tr_2"))
    assert again == LookupReport(True, "already", "parked")
    assert len(engine.discrepancies()) == 1


def test_what_is_found_late_explains_nothing_about_another_transfer(
    engine: Engine, parked: tuple[int, Claim]
) -> None:
    """Neither one that was seen meanwhile, nor the several that an earlier look-up found."""
    transfer, claim = parked
    (late,) = engine.claim_lookups()
    engine.report_page(late, 0, [listed(claim)])
    engine.make_lookups_due()
    engine.look_up(listed(claim), listed(claim, id="tr_2"))
    assert engine.report_page(late, 1, []) == LookupReport(True, "ok", "paid")
    assert engine.report_one(success(claim, stripe_transfer_id="tr_2")) == ("alarm", "paid")
    (later,) = engine.db.execute(
        "insert into payout.transfer_lookups (payout_transfer_id, worker, queries, begun_at) "
        "values (%s, 'worker_1', '[{}]', payout.clock()) returning lookup_id",
        [transfer],
    ).fetchall()
    assert engine.report_page(later[0], 0, [listed(claim)]).verdict == "already"
    assert engine.db.execute(
        "select kind, resolved_at is not null from payout.discrepancies order by discrepancy_id"
    ).fetchall() == [("several_transfers_at_stripe", False), ("second_transfer_at_stripe", False)]


@mutant(
    "absent although its charge paid it without metadata",
    "add_lookup_page",
    "m.is_ours or m.is_by_charge",
    "m.is_ours",
)
def test_a_charge_paid_without_metadata_is_never_given_up(engine: Engine) -> None:
    claim = park_of_charge(engine)
    for _ in range(3):
        engine.let_pass("10 days")
        engine.make_lookups_due()
        found = listed(claim, metadata={}, transfer_group="group_pi_1")
        assert engine.look_up(found).state == "parked"


@mutant(
    "absent although several were found",
    "was_seen_at_stripe",
    " or (o.facts ->> 'found')::integer > 0",
    "",
)
def test_a_transfer_that_was_found_several_times_is_never_given_up(
    engine: Engine, parked: tuple[int, Claim]
) -> None:
    _, claim = parked
    engine.look_up(listed(claim), listed(claim, id="tr_2"))
    for _ in range(3):
        engine.let_pass("10 days")
        engine.make_lookups_due()
        assert engine.look_up().state == "parked"


@mutant(
    "a found transfer explains any other",
    "finish_lookup",
    "and (d.stripe_transfer_id is null or d.stripe_transfer_id = s.stripe_transfer_id)",
    "",
)
@mutant(
    "a found transfer explains several",
    "finish_lookup",
    "and d.kind <> 'several_transfers_at_stripe'",
    "",
)
def test_a_look_up_that_ends_late_resolves_no_other_discrepancy(
    engine: Engine, parked: tuple[int, Claim]
) -> None:
    _, claim = parked
    (late,) = engine.claim_lookups()
    engine.report_page(late, 0, [listed(claim)])
    engine.make_lookups_due()
    engine.look_up(listed(claim), listed(claim, id="tr_2"))
    engine.report(success(claim), success(claim, stripe_transfer_id="tr_2"))
    engine.report_page(late, 1, [])
    resolved = engine.db.execute("select from payout.discrepancies where resolved_at is not null")
    assert resolved.fetchall() == []


def test_a_transfer_that_was_reversed_since_was_paid_all_the_same(
    engine: Engine, parked: tuple[int, Claim]
) -> None:
    _, claim = parked
    assert engine.look_up(listed(claim, amount_reversed=1500, reversed=True)).state == "paid"


def test_a_look_up_that_ends_after_a_late_answer_finds_what_is_known(
    engine: Engine, parked: tuple[int, Claim]
) -> None:
    _, claim = parked
    (lookup,) = engine.claim_lookups()
    engine.report_page(lookup, 0, [listed(claim)])
    assert engine.report_one(success(claim)) == ("ok", "paid")
    assert engine.report_page(lookup, 1, []) == LookupReport(True, "already", "paid")
    assert engine.open_holds() == []


def test_a_look_up_that_finds_a_second_transfer_of_what_is_paid_is_an_alarm(
    engine: Engine, parked: tuple[int, Claim]
) -> None:
    _, claim = parked
    (lookup,) = engine.claim_lookups()
    engine.report_one(success(claim))
    engine.report_page(lookup, 0, [listed(claim, id="tr_2")])
    assert engine.report_page(lookup, 1, []) == LookupReport(True, "alarm", "paid")
    assert engine.discrepancies()[-1][0] == "second_transfer_at_stripe"


def test_what_was_found_closes_what_was_disputed(engine: Engine) -> None:
    (transfer,) = engine.settle()
    claim = engine.claim_one()
    engine.report_one(success(claim, amount_minor=1))
    assert engine.discrepancies() == [("answer_contradicts_request", transfer, STRIPE_TRANSFER)]
    assert engine.look_up(listed(claim)) == LookupReport(True, "ok", "paid")
    resolutions = engine.db.execute("select resolved_by, resolution from payout.discrepancies")
    assert resolutions.fetchall() == [("engine", "Stripe has it as tr_1, as it was asked for.")]


def test_what_is_not_found_is_looked_for_again_and_less_often(
    engine: Engine, parked: tuple[int, Claim]
) -> None:
    transfer, _ = parked
    waits = []
    for _ in range(3):
        assert engine.look_up() == LookupReport(True, "ok", "parked")
        wait = engine.progress(transfer).next_lookup_in
        assert wait is not None
        waits.append(round(wait.total_seconds() / 3600, 1))
        engine.let_pass(f"{wait.total_seconds()} seconds")
    # An answer that never came may have been a 500: nothing counts before a day is over.
    assert waits[0] == 1.0
    assert engine.discrepancies() == []


def page_refused(engine: Engine, lookup: Lookup | int, *page: Any, **more: Any) -> Refusal | None:
    return refusal_of(engine.db, lambda: engine.report_page(lookup, *page, **more))


@mutant(
    "a page that is taken out of order",
    "page_problem",
    "p_starting_after is distinct from p_last_id then",
    "false then",
)
def test_a_page_that_does_not_come_next_is_refused(
    engine: Engine, parked: tuple[int, Claim]
) -> None:
    (lookup,) = engine.claim_lookups()
    prefix = f"look-up {lookup.lookup_id}: "
    assert page_refused(engine, lookup, 0, [], starting_after="tr_7") == Refusal(
        "SP340", prefix + "the page after nothing comes next, not that after tr_7"
    )
    engine.report_page(lookup, 0, others(1), has_more=True)
    assert page_refused(engine, lookup, 0, [], starting_after="tr_7") == Refusal(
        "SP340", prefix + "the page after tr_other_1 comes next, not that after tr_7"
    )
    engine.report_page(lookup, 0, others(2), starting_after="tr_other_1")
    assert page_refused(engine, lookup, 0, [], starting_after="tr_other_2") == Refusal(
        "SP340", prefix + "there are no more pages"
    )


@pytest.mark.parametrize(
    ("transfers", "has_more", "problem"),
    [
        ({"data": []}, False, "the page is not an array"),
        (None, False, "the page is not an array"),
        ([{}], False, "the page holds something without an id"),
        ([{"id": 7}], False, "the page holds something without an id"),
        ([7], False, "the page holds something without an id"),
        ([], True, "the page is empty, but more are said to follow"),
        ([], None, "the page does not say whether more pages follow"),
    ],
)
def test_a_page_that_is_none_is_refused(
    engine: Engine,
    parked: tuple[int, Claim],
    transfers: Any,
    has_more: bool | None,
    problem: str,
) -> None:
    (lookup,) = engine.claim_lookups()
    refused = page_refused(engine, lookup, 0, transfers, has_more=has_more)
    assert refused == Refusal("SP340", f"look-up {lookup.lookup_id}: {problem}")
    pages = engine.db.execute("select count(*) from payout.transfer_lookup_pages")
    assert pages.fetchall() == [(0,)]


@pytest.mark.parametrize("number", [None, -1, 2])
def test_a_query_that_was_not_asked_is_refused(
    engine: Engine, parked: tuple[int, Claim], number: int | None
) -> None:
    (lookup,) = engine.claim_lookups()
    told = "null" if number is None else number
    assert page_refused(engine, lookup, number, []) == Refusal(
        "SP340", f"look-up {lookup.lookup_id}: it has no query {told}"
    )


@mutant(
    "a look-up that takes pages of another one",
    "add_lookup_page",
    "p_query, p_lookup.queries -> p_query_number",
    "p_query, p_query",
)
def test_pages_of_another_databases_look_up_with_the_same_number_are_refused(
    engine: Engine, parked: tuple[int, Claim]
) -> None:
    transfer, claim = parked
    (lookup,) = engine.claim_lookups()
    refused = Refusal(
        "SP341",
        f"look-up {lookup.lookup_id}: the page answers another query than this database gave out",
    )
    group, destination = lookup.queries
    for number, query in ((0, {"transfer_group": "payout_of_another"}), (1, group), (0, {})):
        assert page_refused(engine, lookup, number, [], query=query) == refused
    # Nor is such a page taken for one that is known.
    engine.report_page(lookup, 0, [])
    assert page_refused(engine, lookup, 0, [], query=destination) == refused
    assert engine.report_page(lookup, 1, [listed(claim)]).is_complete
    assert engine.progress(transfer).state == "paid"


@mutant(
    "a page without its query",
    "refuse_other_query",
    "p_query is distinct from p_asked",
    "p_query <> p_asked",
)
def test_a_page_without_its_query_is_refused(engine: Engine, parked: tuple[int, Claim]) -> None:
    (lookup,) = engine.claim_lookups()
    statement = "select payout_api.report_lookup_page(%s, 0, null, null, '[]', false)"
    assert refusal(engine.db, statement, [lookup.lookup_id]) == Refusal(
        "SP341",
        f"look-up {lookup.lookup_id}: the page answers another query than this database gave out",
    )


def test_a_page_of_a_look_up_that_nobody_began_is_refused(engine: Engine) -> None:
    assert page_refused(engine, 7, 0, []) == Refusal("SP340", "look-up 7: there is no such look-up")
