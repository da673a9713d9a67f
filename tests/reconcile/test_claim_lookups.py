"""Parked transfers are looked up at Stripe, all of them and no others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.conftest import Connection
from tests.engine import Claim, Engine, no_answer, rate_limited, success, unfunded
from tests.mutants import mutant
from tests.schema.refusals import refusal_of


def park(engine: Engine) -> Claim:
    """Claim, lose the answer, and let the key become too old to send."""
    claim = engine.claim_one()
    engine.report(no_answer(claim))
    engine.let_pass("21 hours")
    engine.sweep()
    return claim


def test_from_the_wall_on_a_transfer_is_looked_up_and_no_longer_sent(engine: Engine) -> None:
    (transfer,) = engine.settle()
    claim = park(engine)
    assert engine.progress(transfer).state == "parked"
    assert engine.claim() == []
    (lookup,) = engine.claim_lookups()
    assert lookup.payout_transfer_id == transfer
    by_group, by_destination = lookup.queries
    assert by_group == {"transfer_group": claim.request["transfer_group"]}
    assert by_destination == {"destination": "acct_1"}


@mutant(
    "a look-up bounded by our clock",
    "lookup_queries",
    "jsonb_build_object('destination', d.destination)",
    "jsonb_build_object('destination', d.destination, 'created', jsonb_build_object('gte', "
    "floor(extract(epoch from p_transfer.created_at - interval '1 day'))))",
)
def test_no_clock_of_ours_bounds_a_look_up(engine: Engine) -> None:
    """A clock that was two days ahead when the transfer was made would hide it for good."""
    engine.settle()
    park(engine)
    (lookup,) = engine.claim_lookups()
    assert [sorted(query) for query in lookup.queries] == [["transfer_group"], ["destination"]]


def test_a_transfer_of_a_charge_is_not_looked_for_by_a_group_that_stripe_sets_itself(
    engine: Engine,
) -> None:
    engine.settle()
    engine.db.execute(
        "select payout_api.complete_settlement('set_2', 'usd', '[{\"line_id\": \"1\", "
        '"payee_id": "seller_1", "amount_minor": 5, "source_transaction": "ch_1"}]\')'
    )
    for claim in engine.claim():
        engine.report(no_answer(claim))
    engine.let_pass("21 hours")
    engine.sweep()
    queries = [[sorted(query) for query in lookup.queries] for lookup in engine.claim_lookups()]
    assert sorted(queries) == [
        [["destination"]],
        [["transfer_group"], ["destination"]],
    ]


def test_what_is_not_parked_is_not_looked_up(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2", "seller_3", "seller_4", "seller_5")
    claims = engine.claim()
    engine.report(
        success(claims[0]), unfunded(claims[1]), no_answer(claims[2]), rate_limited(claims[3])
    )
    assert engine.claim_lookups() == []


def test_a_look_up_is_handed_to_one_worker_and_again_when_that_one_vanished(
    engine: Engine,
) -> None:
    (transfer,) = engine.settle()
    park(engine)
    (first,) = engine.claim_lookups()
    assert engine.claim_lookups() == []
    engine.let_pass("11 minutes")
    (second,) = engine.claim_lookups(worker="worker_2")
    assert second.payout_transfer_id == transfer
    assert second.read_id != first.read_id


def test_workers_who_claim_at_once_get_different_look_ups(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    shared_engine.settle("seller_1", "seller_2")
    for claim in shared_engine.claim():
        shared_engine.report(no_answer(claim))
    shared_engine.let_pass("21 hours")
    shared_engine.sweep()
    one, other = connect(), connect()
    with one.transaction():
        (first,) = shared_engine.claim_lookups(1, connection=one)
        (second,) = shared_engine.claim_lookups(connection=other)
    assert first.payout_transfer_id != second.payout_transfer_id


def test_a_hold_does_not_keep_anybody_from_looking(engine: Engine) -> None:
    engine.settle()
    park(engine)
    engine.hold("engine")
    assert len(engine.claim_lookups()) == 1


def test_a_released_transfer_plans_no_look_up(engine: Engine) -> None:
    (transfer,) = engine.settle()
    claim = park(engine)
    assert engine.progress(transfer).next_lookup_in is not None
    engine.report(success(claim))
    assert engine.progress(transfer).next_lookup_in is None
    assert engine.claim_lookups() == []


@mutant(
    "a parked transfer without a look-up",
    "tg_transfer_states__move",
    "when 'parked' then payout.clock()",
    "when 'parked' then null",
)
def test_what_is_parked_is_looked_up_at_once(engine: Engine) -> None:
    (transfer,) = engine.settle()
    park(engine)
    soon = engine.progress(transfer).next_lookup_in
    assert soon is not None
    assert soon <= timedelta(0)


def test_a_key_of_another_account_looks_nothing_up(engine: Engine) -> None:
    (transfer,) = engine.settle()
    assert engine.claim(account=("acct_platform", False)) != []
    engine.let_pass("21 hours")
    engine.sweep()
    engine.sweep()
    assert engine.progress(transfer).state == "parked"

    def claim() -> Any:
        return engine.claim_lookups(account=("acct_other", False))

    refused = refusal_of(engine.db, claim)
    assert refused is not None
    assert refused.sqlstate == "SP404"
    assert len(engine.claim_lookups(account=("acct_platform", False))) == 1
