"""Reversed money is booked once, owed again, and never paid again by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Connection
from tests.engine import Engine
from tests.mutants import mutant
from tests.reconcile.listing import (
    ACCOUNT,
    Discrepancy,
    Taken,
    discrepancies,
    listed,
    ours,
    pay,
    reconcile,
)
from tests.schema.refusals import Refusal, refusal

pytestmark = pytest.mark.usefixtures("names_account")

CLAIM = "select * from payout_api.claim_reversal_lookups(%s, %s, %s, %s)"
REPORT = "select * from payout_api.report_reversals(%s, %s)"


def claim(engine: Engine) -> list[str]:
    """Claim as a worker; return the transfers whose reversals are to be read."""
    rows = engine.worker.execute(CLAIM, ["worker_1", 20, ACCOUNT, False]).fetchall()
    return sorted(transfer for (transfer,) in rows)


def report(engine: Engine, *reversals: object, transfer: str = "tr_1") -> tuple[int, bool]:
    """Report all reversals of a transfer; return how many were booked, and whether all are."""
    ((booked, is_complete),) = engine.worker.execute(
        REPORT, [transfer, Jsonb(list(reversals))]
    ).fetchall()
    return booked, is_complete


def reversal(number: int = 1, amount: object = 500, **changes: object) -> dict[str, Any]:
    """Return a reversal as Stripe lists it."""
    facts: dict[str, Any] = {
        "id": f"trr_{number}",
        "object": "transfer_reversal",
        "amount": amount,
        "created": 1_900_000_000,
        "currency": "usd",
        "transfer": "tr_1",
        "metadata": {},
    }
    return facts | changes


def balances(engine: Engine) -> dict[str, int]:
    rows = engine.db.execute("select account, balance_minor from payout_api.ledger_balances")
    return {account: balance for account, balance in rows if balance}


def see_reversed(engine: Engine, amount: int = 500, **changes: object) -> None:
    """Have a run see that so much of tr_1 was taken back."""
    reconcile(engine.db, ours(engine.db, amount_reversed=amount, **changes))


def make_due(engine: Engine) -> None:
    engine.db.execute(
        "update payout.reversed_transfers set next_lookup_at = payout.clock() "
        "where next_lookup_at is not null"
    )


def test_a_reversal_is_owed_to_the_payee_again_and_the_transfer_stays_paid(engine: Engine) -> None:
    (transfer,) = pay(engine, "seller_1")
    see_reversed(engine)
    assert claim(engine) == ["tr_1"]
    assert claim(engine) == []
    assert report(engine, reversal()) == (1, True)
    assert engine.entries(transfer)[3:] == [
        ("reversal", 1, "stripe_balance", "payable:seller_1", 500)
    ]
    assert balances(engine) == {
        "settlement_funds": -1500,
        "payable:seller_1": 500,
        "stripe_balance": 1000,
    }
    assert engine.progress(transfer).state == "paid"
    assert discrepancies(engine) == []
    trial = engine.db.execute(
        "select difference_minor, in_flight_minor, open_transfers_minor "
        "from payout_api.trial_balance"
    )
    assert trial.fetchall() == [(0, 0, 0)]
    # It is neither read nor sent again by itself.
    make_due(engine)
    assert claim(engine) == []
    engine.sweep()
    assert engine.claim() == []


@mutant(
    "a reversal booked under a name of its own each time",
    "book_reversals",
    "r.reversal ->> 'id'\n",
    "gen_random_uuid()::text\n",
)
def test_reversals_that_are_reported_again_are_booked_once(engine: Engine) -> None:
    (transfer,) = pay(engine, "seller_1")
    see_reversed(engine)
    assert report(engine, reversal()) == (1, True)
    assert report(engine, reversal()) == (0, True)
    assert len(engine.entries(transfer)) == 4


def test_several_reversals_are_booked_one_by_one_as_they_come(engine: Engine) -> None:
    (transfer,) = pay(engine, "seller_1")
    see_reversed(engine, 500)
    claim(engine)
    report(engine, reversal(1))
    see_reversed(engine, 1500)
    assert claim(engine) == ["tr_1"]
    # Newest first, as Stripe lists them.
    assert report(engine, reversal(3, 600), reversal(2, 400), reversal(1)) == (2, True)
    booked = [(entry.kind, entry.amount_minor) for entry in engine.entries(transfer)[3:]]
    assert booked == [("reversal", 500), ("reversal", 400), ("reversal", 600)]
    assert balances(engine) == {"settlement_funds": -1500, "payable:seller_1": 1500}


def test_a_list_that_lags_behind_is_read_again_later(engine: Engine) -> None:
    pay(engine, "seller_1")
    see_reversed(engine, 700)
    claim(engine)
    assert report(engine, reversal(1)) == (1, False)
    assert claim(engine) == []
    make_due(engine)
    assert claim(engine) == ["tr_1"]
    assert report(engine, reversal(1), reversal(2, 200)) == (1, True)


def test_a_lookup_that_nobody_reports_on_is_handed_out_again(engine: Engine) -> None:
    pay(engine, "seller_1")
    see_reversed(engine)
    claim(engine)
    make_due(engine)
    assert claim(engine) == ["tr_1"]


@mutant(
    "more taken back than was paid",
    "reversals_problem",
    ") > p_transfer.amount_minor then",
    ") > 10000000 then",
    at="reversals0-more than was paid",
)
@mutant(
    "a reversal in any currency",
    "reversals_problem",
    "is distinct from p_transfer.currency::text",
    "is null",
    at="reversals1-another currency",
)
@pytest.mark.parametrize(
    ("reversals", "problem"),
    [
        ([reversal(1, 900), reversal(2, 601)], "more than was paid"),
        ([reversal(1, currency="eur")], "another currency"),
        ([reversal(1), reversal(2, currency="eur")], "another currency"),
    ],
)
def test_reversals_that_contradict_their_transfer_are_not_booked_but_shown_to_operators(
    engine: Engine, reversals: list[dict[str, Any]], problem: str
) -> None:
    (transfer,) = pay(engine, "seller_1")
    see_reversed(engine)
    assert claim(engine) == ["tr_1"]
    assert report(engine, *reversals) == (0, False)
    assert discrepancies(engine) == [Discrepancy("reversals_contradict_transfer", "tr_1", None)]
    found = engine.db.execute(
        "select payout_transfer_id, theirs ->> 'problem', advice is not null "
        "from payout.discrepancies"
    )
    assert found.fetchall() == [(transfer, problem, True)]
    assert len(engine.entries(transfer)) == 3
    make_due(engine)
    assert claim(engine) == []
    # Neither a second report nor a later run makes it two, or none.
    report(engine, *reversals)
    see_reversed(engine)
    assert discrepancies(engine) == [Discrepancy("reversals_contradict_transfer", "tr_1", None)]


@pytest.mark.parametrize("other", [reversal(1, 400), reversal(1, transfer="tr_2")])
def test_a_reversal_that_is_booked_otherwise_is_shown_to_operators(
    engine: Engine, other: dict[str, Any]
) -> None:
    pay(engine, "seller_1", "seller_2")
    see_reversed(engine)
    report(engine, reversal(1))
    reconcile(engine.db, ours(engine.db, "tr_2", payee_id="seller_2", amount_reversed=500))
    assert report(engine, other, transfer=other["transfer"])[0] == 0
    assert ("reversals_contradict_transfer", other["transfer"], None) in discrepancies(engine)


def test_operators_who_resolved_a_contradiction_are_notified_of_another(
    engine: Engine,
) -> None:
    pay(engine, "seller_1")
    see_reversed(engine)
    first = reversal(currency="eur")
    assert report(engine, first) == (0, False)
    engine.db.execute(
        "select payout_api.resolve_discrepancy(discrepancy_id, 'seen') from payout.discrepancies"
    )
    report(engine, first)
    assert [found.resolved_by for found in discrepancies(engine)] == ["postgres"]
    see_reversed(engine, 900)
    assert claim(engine) == ["tr_1"]
    assert report(engine, reversal(2, 400), first) == (0, False)
    assert report(engine, reversal(2, 400), first) == (0, False)
    assert [found.resolved_by for found in discrepancies(engine)] == ["postgres", None]


@mutant(
    "a resolved contradiction that explains any later one",
    "is_explained",
    "\n            and d.theirs - array['amount_reversed_minor', 'created_at']\n             "
    "   = p_discrepancy.theirs - array['amount_reversed_minor', 'created_at']",
    "",
)
def test_another_contradiction_after_a_resolved_one_is_shown(engine: Engine) -> None:
    pay(engine, "seller_1")
    see_reversed(engine)
    first = reversal(currency="eur")
    report(engine, first)
    engine.db.execute(
        "select payout_api.resolve_discrepancy(discrepancy_id, 'seen') from payout.discrepancies"
    )
    report(engine, first, reversal(2, 400, currency="eur"))
    assert [found.resolved_by for found in discrepancies(engine)] == ["postgres", None]


def test_a_reversal_of_a_transfer_that_is_not_known_waits_until_it_is(engine: Engine) -> None:
    reconcile(engine.db, ours(engine.db, amount_reversed=500))
    assert discrepancies(engine) == [Discrepancy("unknown_transfer_at_stripe", "tr_1", None)]
    assert claim(engine) == []
    engine.settle()
    assert engine.claim() == []
    assert claim(engine) == ["tr_1"]
    assert report(engine, reversal()) == (1, True)
    assert discrepancies(engine) == [Discrepancy("unknown_transfer_at_stripe", "tr_1", "engine")]


def test_reversals_of_what_others_made_are_not_looked_up(engine: Engine) -> None:
    assert reconcile(engine.db, listed("tr_9", amount_reversed=1)) == Taken(1, 1, True)
    assert engine.db.execute("select count(*) from payout.reversed_transfers").fetchone() == (0,)


@pytest.mark.parametrize(
    ("transfer", "reversals", "problem"),
    [
        ("tr_1", None, "the page is not an array"),
        ("tr_1", {}, "the page is not an array"),
        ("tr_1", [{}], "the page holds something without an id"),
        ("tr_1", [reversal(), reversal()], "the page names an object twice"),
        ("tr_1", [reversal(transfer="tr_2")], "the list holds something that is no reversal of it"),
        ("tr_1", [reversal(amount=0)], "the list holds something that is no reversal of it"),
        ("tr_1", [reversal(amount=-5)], "the list holds something that is no reversal of it"),
        ("tr_1", [reversal(amount="1.5")], "the list holds something that is no reversal of it"),
        ("tr_1", [reversal(currency=None)], "the list holds something that is no reversal of it"),
        ("tr_7", [], "no reversal of it is known, or it pays no transfer"),
        (None, [], "no reversal of it is known, or it pays no transfer"),
    ],
)
def test_a_list_that_is_none_is_refused(
    engine: Engine, transfer: str | None, reversals: object, problem: str
) -> None:
    pay(engine, "seller_1")
    see_reversed(engine)
    parameters = [transfer, reversals if reversals is None else Jsonb(reversals)]
    assert refusal(engine.db, REPORT, parameters) == Refusal(
        "SP341", f"reversals of {transfer or 'null'}: {problem}"
    )


def test_reversals_of_a_transfer_that_is_not_paid_here_are_refused(engine: Engine) -> None:
    reconcile(engine.db, ours(engine.db, amount_reversed=500))
    assert refusal(engine.db, REPORT, ["tr_1", Jsonb([reversal()])]) == Refusal(
        "SP341",
        "reversals of tr_1: no reversal of it is known, or it pays no transfer",
    )


@pytest.mark.parametrize(("worker", "limit"), [(None, 20), ("w", 0), ("w", 1001), ("w", None)])
def test_a_claim_without_a_worker_or_a_sensible_limit_is_refused(
    engine: Engine, worker: str | None, limit: int | None
) -> None:
    attempt = refusal(engine.db, CLAIM, [worker, limit, ACCOUNT, False])
    told = f"claim of {'null' if limit is None else limit} look-ups by {worker or 'no worker'}"
    assert attempt == Refusal("SP311", told)


@pytest.mark.parametrize("role", ["payout_app", "payout_operator", "payout_auditor"])
def test_nobody_but_a_worker_books_reversals(visit: Callable[..., Connection], role: str) -> None:
    connection = visit(role)
    assert refusal(connection, CLAIM, ["w", 1, ACCOUNT, False]) == Refusal(
        "42501", "permission denied for function claim_reversal_lookups"
    )
    assert refusal(connection, REPORT, ["tr_1", Jsonb([])]) == Refusal(
        "42501", "permission denied for function report_reversals"
    )
