"""Reversed money is booked once, owed again, and never paid again by itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine import Engine
from tests.mutants import mutant
from tests.reconcile.listing import (
    Discrepancy,
    Read,
    Taken,
    carry,
    discrepancies,
    event,
    listed,
    ours,
    pay,
    reconcile,
)
from tests.reconcile.listing import claim as claim_reads

pytestmark = pytest.mark.usefixtures("names_account")

UNREADABLE = "unreadable_at_stripe"


def claim(engine: Engine) -> list[Read]:
    """Claim as a worker the reversals that are to be read."""
    return claim_reads(engine.worker, "reversals")


def claimed(engine: Engine) -> list[str]:
    """Claim, and return the transfers."""
    return [read.path.split("/")[3] for read in claim(engine)]


def report(engine: Engine, *reversals: object, transfer: str = "tr_1") -> tuple[int, bool]:
    """Read all reversals of a transfer anew; return how many were booked, and whether all are."""
    engine.db.execute(
        "update payout.reversed_transfers set next_lookup_at = payout.clock() "
        "where stripe_transfer_id = %s",
        [transfer],
    )
    (read,) = (r for r in claim(engine) if r.path == f"/v1/transfers/{transfer}/reversals")
    _, _, booked, *_ = carry(engine.worker, read, *reversals)
    return booked, is_complete(engine, transfer)


def is_complete(engine: Engine, transfer: str = "tr_1") -> bool:
    """Tell whether the books have all of a transfer that is known to be reversed."""
    ((complete,),) = engine.db.execute(
        "select coalesce(sum(e.amount_minor), 0) >= r.amount_reversed_minor "
        "from payout.reversed_transfers as r "
        "join payout.transfer_states as s on s.stripe_transfer_id = r.stripe_transfer_id "
        "left join payout.ledger_entries as e "
        "on e.payout_transfer_id = s.payout_transfer_id and e.kind = 'reversal' "
        "where r.stripe_transfer_id = %s group by r.amount_reversed_minor",
        [transfer],
    ).fetchall()
    return bool(complete)


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
    rows = engine.db.execute(
        "select account, balance_minor from payout_api.balances_as_of('infinity')"
    )
    return {account: balance for account, balance in rows if balance}


def see_reversed(engine: Engine, amount: int = 500, **changes: object) -> None:
    """Have a run see that so much of tr_1 was taken back."""
    reconcile(engine.db, ours(engine.db, amount_reversed=amount, **changes))


def make_due(engine: Engine) -> None:
    engine.db.execute(
        "update payout.reversed_transfers set next_lookup_at = payout.clock() "
        "where next_lookup_at is not null"
    )


@mutant(
    "a date that a clock gave which was ahead",
    "note_reversals",
    "and r.next_lookup_at > payout.clock() + interval '10 minutes'",
    "and false",
)
def test_a_look_that_a_clock_put_too_far_ahead_is_made_when_the_reversal_is_seen_again(
    engine: Engine,
) -> None:
    pay(engine, "seller_1")
    see_reversed(engine)
    engine.db.execute(
        "update payout.reversed_transfers set next_lookup_at = payout.clock() + interval '2 days'"
    )
    assert claimed(engine) == []

    see_reversed(engine)

    assert claimed(engine) == ["tr_1"]


def test_a_reversal_is_owed_to_the_payee_again_and_the_transfer_stays_paid(engine: Engine) -> None:
    (transfer,) = pay(engine, "seller_1")
    see_reversed(engine)
    assert claimed(engine) == ["tr_1"]
    assert claimed(engine) == []
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
    assert claimed(engine) == []
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
    assert claimed(engine) == ["tr_1"]
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
    assert claimed(engine) == []
    make_due(engine)
    assert claimed(engine) == ["tr_1"]
    assert report(engine, reversal(1), reversal(2, 200)) == (1, True)


def test_a_lookup_that_nobody_reports_on_is_handed_out_again(engine: Engine) -> None:
    pay(engine, "seller_1")
    see_reversed(engine)
    claim(engine)
    make_due(engine)
    assert claimed(engine) == ["tr_1"]


@mutant(
    "more taken back than was paid",
    "reversals_problem",
    ") > p_transfer.amount_minor then",
    ") > 10000000 then",
    at="reversals0-more than was paid",
)
@mutant(
    "one of two amounts of a reversal is booked",
    "reversals_problem",
    "having count(distinct r ->> 'amount') > 1",
    "having false",
    at="reversals3-two amounts of one",
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
        ([reversal(1), reversal(1, 400)], "two amounts of one"),
    ],
)
def test_reversals_that_contradict_their_transfer_are_not_booked_but_shown_to_operators(
    engine: Engine, reversals: list[dict[str, Any]], problem: str
) -> None:
    (transfer,) = pay(engine, "seller_1")
    see_reversed(engine)
    assert claimed(engine) == ["tr_1"]
    assert report(engine, *reversals) == (0, False)
    assert discrepancies(engine) == [Discrepancy("reversals_contradict_transfer", "tr_1", None)]
    found = engine.db.execute(
        "select payout_transfer_id, theirs ->> 'problem', advice is not null "
        "from payout.discrepancies"
    )
    assert found.fetchall() == [(transfer, problem, True)]
    assert len(engine.entries(transfer)) == 3
    assert claimed(engine) == []
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
    assert claimed(engine) == ["tr_1"]
    assert report(engine, reversal(2, 400), first) == (0, False)
    assert report(engine, reversal(2, 400), first) == (0, False)
    assert [found.resolved_by for found in discrepancies(engine)] == ["postgres", None]


@mutant(
    "a resolved contradiction that explains any later one",
    "record_discrepancies",
    "d.theirs - array['amount_reversed_minor', 'created_at', 'metadata_keys']\n"
    "                        = n.theirs",
    "n.theirs - array['amount_reversed_minor', 'created_at', 'metadata_keys']\n"
    "                        = n.theirs",
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
    assert claimed(engine) == []
    engine.adopt()
    engine.settle()
    assert engine.claim() == []
    engine.sweep()
    assert claimed(engine) == ["tr_1"]
    assert report(engine, reversal()) == (1, True)
    assert discrepancies(engine) == [Discrepancy("unknown_transfer_at_stripe", "tr_1", "engine")]


def test_reversals_of_what_others_made_are_not_looked_up(engine: Engine) -> None:
    assert reconcile(engine.db, listed("tr_9", amount_reversed=1)) == Taken(1, 1, True)
    assert engine.db.execute("select count(*) from payout.reversed_transfers").fetchone() == (0,)


@mutant(
    "a reversal of another transfer",
    "read_reversal",
    "and payout.read_text(p_object -> 'transfer') = p_stripe_transfer_id",
    "",
    at="strange0",
)
@pytest.mark.parametrize(
    "strange",
    [
        reversal(2, transfer="tr_2"),
        reversal(2, amount=0),
        reversal(2, amount=-5),
        reversal(2, amount="1.5"),
        reversal(2, amount=10**30),
        reversal(2, currency=None),
        reversal(2, id="re_2"),
        {},
        7,
    ],
)
def test_a_reversal_that_cannot_be_read_is_set_aside_and_the_others_are_booked(
    engine: Engine, strange: object
) -> None:
    pay(engine, "seller_1")
    see_reversed(engine, 700)
    assert report(engine, strange, reversal(1)) == (1, False)
    assert [finding.kind for finding in discrepancies(engine)] == [UNREADABLE]
    assert claimed(engine) == []


@mutant(
    "a broken page of reversals is the last one",
    "finish_reversals",
    "            when v_booked_minor < r.amount_reversed_minor\n"
    "                then payout.clock() + interval '1 day'\n",
    "",
)
def test_a_page_of_reversals_that_was_broken_is_read_again_a_day_later(engine: Engine) -> None:
    """The attack: an amount came in quotes once, and the payee was never owed it again."""
    pay(engine, "seller_1")
    see_reversed(engine)
    assert report(engine, reversal(1, "500")) == (0, False)
    ((waits_for,),) = engine.db.execute(
        "select round(extract(epoch from next_lookup_at - payout.clock()) / 3600) "
        "from payout.reversed_transfers"
    ).fetchall()
    assert waits_for == 24
    make_due(engine)
    assert claimed(engine) == ["tr_1"]
    assert report(engine, reversal(1)) == (1, True)
    assert balances(engine)["payable:seller_1"] == 500


def test_reversals_are_judged_together_once_all_pages_are_there(engine: Engine) -> None:
    (transfer,) = pay(engine, "seller_1")
    see_reversed(engine, 900)
    (read,) = claim(engine)
    next_, *_ = carry(engine.worker, read, reversal(2, 400), has_more=True)
    assert next_ == {"starting_after": "trr_2"}
    assert len(engine.entries(transfer)) == 3
    carry(engine.worker, read, reversal(1), after="trr_2")
    assert [entry.amount_minor for entry in engine.entries(transfer)[3:]] == [500, 400]


def test_reversals_of_a_transfer_that_is_not_paid_here_are_not_read(engine: Engine) -> None:
    reconcile(engine.db, ours(engine.db, amount_reversed=500))
    assert claimed(engine) == []


@mutant(
    "a reversal of what was settled outside is nobody's",
    "compare_listed_transfers",
    "and strpos(x.facts ->> 'detail', l.stripe_transfer_id) > 0",
    "and false",
)
def test_a_reversal_of_the_transfer_by_which_one_was_settled_outside_is_told(
    engine: Engine,
) -> None:
    """The attack: it has no entry that is reversed, so nobody learned that the payee lost it."""
    wired, paid = engine.settle("seller_2", "seller_1")
    for transfer, reference in ((paid, "tr_1 of the 3rd"), (wired, "wire 77")):
        engine.operator.execute(
            "select payout_api.settle_outside(%s, %s, 'shown')", [transfer, reference]
        )
    other = ours(engine.db, "tr_2", payee_id="seller_2", amount_reversed=500)
    reconcile(engine.db, ours(engine.db), other)
    told = "select payout_transfer_id, stripe_transfer_id from payout.discrepancies where kind = %s"
    kind = "reversed_after_settled_outside"
    assert engine.db.execute(told, [kind]).fetchall() == []

    reconcile(engine.db, ours(engine.db, amount_reversed=500), other)
    assert engine.db.execute(told, [kind]).fetchall() == [(paid, "tr_1")]

    # Once it is resolved it is told again only if more is taken back.
    engine.operator.execute(
        "select payout_api.resolve_discrepancy(discrepancy_id, 'settled again') "
        "from payout_api.discrepancies where kind = %s",
        [kind],
    )
    (read,) = claim_reads(engine.worker, "events")
    carry(engine.worker, read, event(1, ours(engine.db, amount_reversed=500)))
    assert len(engine.db.execute(told, [kind]).fetchall()) == 1
    (read,) = claim_reads(engine.worker, "events")
    carry(engine.worker, read, event(2, ours(engine.db, amount_reversed=900)))
    assert len(engine.db.execute(told, [kind]).fetchall()) == 2
