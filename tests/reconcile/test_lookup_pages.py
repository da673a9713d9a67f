"""The pages of a look-up come to one transfer, several, another one, or none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.engine import (
    STRIPE_TRANSFER,
    Claim,
    Engine,
    LookupReport,
    listed,
    no_answer,
    success,
)
from tests.mutants import mutant
from tests.reconcile.listing import ours, reconcile, with_account
from tests.reconcile.test_claim_lookups import park
from tests.schema.refusals import Refusal, refusal_of


def others(*numbers: int) -> list[dict[str, Any]]:
    """Return transfers as Stripe lists them, of somebody else's making."""
    return [
        {
            "id": f"tr_other_{number}",
            "object": "transfer",
            "metadata": {},
            "amount": 1,
            "currency": "usd",
            "destination": "acct_1",
        }
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
    "next_parameters",
    "count(*)::integer + 1",
    "count(*)::integer + 1000",
)
@mutant("a look-up judged before its last page", "next_parameters", "when p_has_more", "when false")
def test_nothing_is_decided_before_the_last_page_of_the_last_query(
    engine: Engine, parked: tuple[int, Claim]
) -> None:
    transfer, claim = parked
    (lookup,) = engine.claim_lookups()
    open_ = LookupReport(False, None, "parked")
    assert engine.report_page(lookup, 0, [listed(claim)]) == open_
    assert engine.report_page(lookup, 1, others(1, 2), has_more=True) == open_
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
    "reversals of a transfer without an id",
    "note_reversals",
    "and l.stripe_transfer_id is not null",
    "",
    at="{'id': 're_1', 'amount_reversed': 5}",
)
@mutant(
    "a match that is not compared",
    "judge_success",
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
        {"id": "re_1", "amount_reversed": 5},
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
        ({"metadata": {"payout_ref": "another"}}, LookupReport(True, "alarm", "parked")),
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
    settle_charge(engine)
    return park(engine)


def settle_charge(engine: Engine, settlement_id: str = "set_1", *charges: str) -> None:
    """Settle the same amount out of each charge."""
    engine.db.execute("select payout_api.register_payee('seller_1', 'acct_1')")
    lines = [
        {"line_id": c, "payee_id": "seller_1", "amount_minor": 5, "source_transaction": c}
        for c in charges or ("ch_1",)
    ]
    engine.db.execute(
        "select payout_api.complete_settlement(%s, 'usd', %s)", [settlement_id, Jsonb(lines)]
    )


def test_a_transfer_that_names_us_in_its_metadata_is_found_without_its_group(
    engine: Engine, parked: tuple[int, Claim]
) -> None:
    _, claim = parked
    assert engine.look_up(listed(claim, transfer_group="group_pi_1")).state == "paid"


@mutant(
    "several matches, the first one taken",
    "lookup_outcome",
    "then count(*)::integer end",
    "then least(count(*)::integer, 1) end",
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


@mutant(
    "a late first send that is looked for for ever",
    "judge_lookup",
    "when p_state.state = 'scheduled' then 'parked' end",
    "when false then 'parked' end",
)
def test_several_matches_of_a_late_first_send_leave_it_to_operators(engine: Engine) -> None:
    """The attack: it was neither sent nor parked, and its explanation named the engine's turn."""
    (transfer,) = engine.settle()
    engine.let_pass("45 hours")
    engine.sweep()
    found = ours(engine.db)
    report = engine.look_up(found, found | {"id": "tr_2"})
    assert report == LookupReport(True, "alarm", "parked")
    ((situation, turn),) = engine.db.execute(
        "select situation, whose_turn from payout_api.explained where payout_transfer_id = %s",
        [transfer],
    ).fetchall()
    assert (situation, turn) == ("shown_otherwise", "operator")


@mutant(
    "paid by the transfer of another one",
    "judge_success",
    "and coalesce(p_outcome.belongs_to, p_transfer.payout_ref) = p_transfer.payout_ref",
    "",
    at="set_1-None",
)
@mutant(
    "paid by the charge of another one",
    "judge_success",
    "or p_outcome.source_transaction = p_transfer.source_transaction)",
    "or true)",
    at="set_1-ch_1",
)
@pytest.mark.parametrize("source", [None, "ch_1"])
@pytest.mark.parametrize("paid", ["set_1"])
def test_a_transfer_whose_metadata_name_another_one_does_not_pay_that(
    engine: Engine, paid: str, source: str | None
) -> None:
    """The attack: a person copies the metadata of one transfer to another one of that payee."""
    (other,) = engine.settle(settlement_id="set_2")
    park(engine)
    group = ours(engine.db, settlement_id=paid)["transfer_group"] if source is None else "group_1"
    edited = ours(engine.db, settlement_id="set_2")
    found = edited | {"transfer_group": group, "source_transaction": source}
    assert engine.look_up(found).verdict == "alarm"
    assert engine.progress(other).state == "parked"


def test_a_listed_transfer_of_another_charge_pays_nothing(engine: Engine) -> None:
    with_account(engine)
    (transfer,) = engine.settle()
    edited = ours(engine.db) | {"transfer_group": "group_1", "source_transaction": "ch_1"}
    engine.claim()
    reconcile(engine.db, edited)
    assert engine.progress(transfer).state == "parked"
    assert engine.discrepancies() == [("answer_contradicts_request", transfer, "tr_1")]


def test_what_is_found_late_explains_nothing_about_another_transfer(
    engine: Engine, parked: tuple[int, Claim]
) -> None:
    """Neither one that was seen meanwhile, nor the several that an earlier look-up found."""
    _, claim = parked
    (late,) = engine.claim_lookups()
    engine.report_page(late, 0, [listed(claim)])
    engine.make_lookups_due()
    engine.look_up(listed(claim), listed(claim, id="tr_2"))
    assert engine.report_page(late, 1, []) == LookupReport(True, "ok", "paid")
    assert engine.report_one(success(claim, stripe_transfer_id="tr_2")) == ("alarm", "paid")
    assert engine.db.execute(
        "select kind, resolved_at is not null from payout.discrepancies order by discrepancy_id"
    ).fetchall() == [("several_transfers_at_stripe", False), ("second_transfer_at_stripe", False)]


@mutant(
    "absent although its charge paid it without metadata",
    "possible_matches",
    "then 'by charge'",
    "then null",
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
    sql=(
        "create or replace view payout_api.seen_at_stripe as "
        "select payout_transfer_id, observation_id from payout.transfer_observations "
        "where stripe_transfer_id is not null"
    ),
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
    "resolve_paid",
    "or (o.payout_transfer_id = s.payout_transfer_id and o.stripe_transfer_id is null)",
    "or o.payout_transfer_id = s.payout_transfer_id",
)
@mutant(
    "a found transfer explains several",
    "resolve_paid",
    "and o.kind <> 'several_transfers_at_stripe'",
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
    told = f"Stripe has transfer {transfer} as tr_1, as it was asked for."
    assert resolutions.fetchall() == [("engine", told)]


def test_a_transfer_not_found_is_looked_for_again_and_less_often(
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


def test_a_page_that_does_not_come_next_is_refused(
    engine: Engine, parked: tuple[int, Claim]
) -> None:
    (lookup,) = engine.claim_lookups()
    group, destination = (json.dumps(query) for query in lookup.queries)
    refused = refusal_of(engine.db, lambda: engine.report_page(lookup, 1, []))
    assert refused == Refusal(
        "SP341",
        f"read {lookup.read_id}: the page of {group} comes next, not that of {destination}",
    )


@mutant(
    "a look-up by any worker",
    "report_page",
    "and sha256(convert_to(p_token, 'UTF8')) = any (r.token_sha256s)",
    "",
)
def test_two_empty_look_ups_that_a_worker_forges_prove_no_absence(
    engine: Engine, parked: tuple[int, Claim]
) -> None:
    """Any login of a worker knows the numbers; only the one that claimed was told the token."""
    transfer, _ = parked
    engine.let_pass("2 days")
    for _ in range(2):
        (lookup,) = engine.claim_lookups()
        for forged in ("", "ct_" + 32 * "0"):
            other = lookup._replace(token=forged)
            refused = refusal_of(engine.db, lambda other=other: engine.report_page(other, 0, []))
            assert refused == Refusal(
                "SP340",
                f"read {lookup.read_id}: there is no such read, or the token is of another",
            )
        engine.let_pass("61 minutes")
    assert engine.progress(transfer).state == "parked"
    assert "looked_up" not in {each.signal for each in engine.observations(transfer)}


def test_the_token_of_one_look_up_opens_no_other(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    for claim in engine.claim():
        engine.report(no_answer(claim))
    engine.let_pass("21 hours")
    engine.sweep()
    first, second = engine.claim_lookups()
    swapped = first._replace(token=second.token)
    refused = refusal_of(engine.db, lambda: engine.report_page(swapped, 0, []))
    assert refused is not None
    assert refused.sqlstate == "SP340"


# Possible matches.

SETTLEMENT_AND_PAYEE = {"settlement_id": "set_1", "payee_id": "seller_1"}


@mutant(
    "a match by payout_ref and group alone",
    "possible_matches",
    "when l.settlement_id = t.settlement_id and l.payee_id = t.payee_id and not exists (",
    "when false and not exists (",
    at="changes1",
)
@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"payout_ref": "ACC-2026-0042", **SETTLEMENT_AND_PAYEE}},
        {"metadata": {"payout_ref": "ACC-2026-0042", **SETTLEMENT_AND_PAYEE}, "amount": 7},
        {"metadata": {"note": "x"}},
        {"metadata": None},
    ],
)
def test_a_transfer_of_a_charge_whose_metadata_somebody_edited_is_never_given_up(
    engine: Engine, changes: dict[str, Any]
) -> None:
    """Stripe sets the group of a charge itself, so nothing else names it."""
    claim = park_of_charge(engine)
    there = listed(claim, transfer_group="group_pi_1", **changes)
    engine.let_pass("2 days")
    assert engine.look_up(there) == LookupReport(True, "alarm", "parked")
    for _ in range(3):
        engine.let_pass("10 days")
        engine.make_lookups_due()
        assert engine.look_up(there).state == "parked"
    engine.sweep()
    assert engine.claim() == []


@mutant(
    "only the accounts of known requests are looked at",
    "destinations",
    "where a.payee_id = p_transfer.payee_id",
    "where a.payee_id = p_transfer.payee_id and not exists (select from payout.transfer_requests)",
)
def test_a_look_asks_for_an_account_that_a_forgotten_key_may_have_paid(engine: Engine) -> None:
    """The attack: the database went back to before the second key, sent to another account."""
    claim = park_of_charge(engine)
    engine.app.execute("select payout_api.register_payee('seller_1', 'acct_2')")
    there = listed(claim, destination="acct_2", metadata={}, transfer_group="group_pi_1")
    (lookup,) = engine.claim_lookups()
    assert lookup.queries == [{"destination": "acct_1"}, {"destination": "acct_2"}]
    engine.report_page(lookup, 0, [])
    assert engine.report_page(lookup, 1, [there]) == LookupReport(True, "alarm", "parked")


def test_a_transfer_that_pays_another_row_of_the_same_charge_is_no_match(engine: Engine) -> None:
    """Two settlements owe the payee the same out of one charge; the first is paid."""
    settle_charge(engine, "set_0")
    engine.report(success(engine.claim_one(), stripe_transfer_id="tr_0"))
    claim = park_of_charge(engine)
    other = listed(claim, id="tr_0", metadata={}, transfer_group="group_pi_1")
    engine.let_pass("2 days")
    assert engine.look_up(other) == LookupReport(True, "ok", "parked")
    engine.let_pass("61 minutes")
    assert engine.look_up(other) == LookupReport(True, "ok", "failed")


def test_a_transfer_to_the_same_payee_out_of_another_charge_is_no_match(engine: Engine) -> None:
    """One settlement owes a payee out of two charges: settlement and payee alone tell nothing."""
    settle_charge(engine, "set_1", "ch_1", "ch_2")
    first, second = engine.claim()
    engine.report(no_answer(first), no_answer(second))
    engine.let_pass("21 hours")
    engine.sweep()
    there = {
        claim.payout_transfer_id: listed(claim, id=f"tr_{claim.attempt}_{n}")
        for n, claim in enumerate((first, second))
    }
    for lookup in engine.claim_lookups():
        report = engine.report_page(lookup, 0, list(there.values()))
        assert report == LookupReport(True, "ok", "paid")


# Unreadable objects.


@mutant(
    "something unreadable taken for nothing",
    "possible_matches",
    "then 'unreadable'",
    "then null",
    at="bare",
)
@pytest.mark.parametrize(
    "strange",
    [
        pytest.param({}, id="bare"),
        pytest.param(7, id="a number"),
        pytest.param({"id": "tr_1", "object": "transfer"}, id="an id alone"),
        pytest.param({"amount": "many"}, id="amount"),
        pytest.param({"metadata": "x"}, id="metadata"),
        pytest.param({"metadata": {"payout_ref": ["x"]}}, id="payout_ref"),
        pytest.param({"transfer_group": {}}, id="group"),
    ],
)
def test_a_look_that_met_something_unreadable_is_no_proof_of_absence(
    engine: Engine, parked: tuple[int, Claim], strange: Any
) -> None:
    transfer, claim = parked
    if isinstance(strange, dict) and strange and "object" not in strange:
        strange = listed(claim, **{"metadata": {}, "transfer_group": None, **strange})
    engine.let_pass("2 days")
    for _ in range(3):
        assert engine.look_up(strange) == LookupReport(True, "ok", "parked")
        engine.let_pass("10 days")
        engine.make_lookups_due()
    assert engine.observations(transfer)[-1].reason == "unreadable_at_stripe"
    assert {kind for kind, *_ in engine.discrepancies()} == {"unreadable_at_stripe"}
    # Once it is readable, the proof needs both scans anew.
    assert engine.look_up() == LookupReport(True, "ok", "parked")
    engine.let_pass("61 minutes")
    assert engine.look_up() == LookupReport(True, "ok", "failed")


@pytest.mark.parametrize(
    "other",
    [{"destination": "acct_9"}, {"amount": 1}, {"source_transaction": "ch_9"}],
    ids=repr,
)
def test_something_unreadable_that_cannot_be_ours_stops_no_proof(
    engine: Engine, parked: tuple[int, Claim], other: dict[str, Any]
) -> None:
    _, claim = parked
    strange = listed(claim, **{"metadata": 7, "transfer_group": 7, **other})
    engine.let_pass("2 days")
    engine.look_up(strange)
    engine.let_pass("61 minutes")
    assert engine.look_up(strange) == LookupReport(True, "ok", "failed")


def test_a_transfer_found_beside_something_unreadable_is_paid(
    engine: Engine, parked: tuple[int, Claim]
) -> None:
    _, claim = parked
    assert engine.look_up({}, listed(claim)) == LookupReport(True, "ok", "paid")
