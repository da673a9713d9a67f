"""Stopped transfers go on after a release."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.conftest import Connection, login_name
from tests.engine import Engine, no_answer, outcome, success
from tests.mutants import mutant
from tests.schema.refusals import Refusal, refusal, wait_until_blocked

RELEASE = "select payout_api.release_hold(p_hold_id => %s, p_reason => %s)"


def test_what_is_released_is_claimed_again(engine: Engine) -> None:
    engine.settle()
    hold_id = engine.hold("engine")
    assert engine.claim() == []
    engine.db.execute(RELEASE, [hold_id, "looked"])
    assert len(engine.claim()) == 1


def test_a_worker_goes_on_after_its_key_was_refused_and_replaced(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2", "seller_3")
    engine.report(*(outcome(claim, "response", http_status=401) for claim in engine.claim()))
    engine.make_due()
    assert engine.claim() == []
    engine.release_holds()
    assert len(engine.claim()) == 3


def test_a_release_is_noted_with_who_and_why(acted_engine: Engine) -> None:
    hold_id = acted_engine.hold("currency", "usd")
    acted_engine.release_holds()
    operator = login_name("payout_operator")
    assert acted_engine.db.execute(
        "select released_by, release_reason, released_at is not null from payout.holds"
    ).fetchall() == [(operator, "looked", True)]
    assert acted_engine.db.execute(
        "select subject, reason, (details ->> 'hold_id')::bigint, acted_by "
        "from payout.operator_actions where action = 'release'"
    ).fetchall() == [("currency usd", "looked", hold_id, operator)]


def test_releasing_again_changes_nothing(engine: Engine) -> None:
    hold_id = engine.hold("engine")
    for reason, result in (("looked", "done"), ("looked twice", "already")):
        assert engine.db.execute(RELEASE, [hold_id, reason]).fetchall() == [(result,)]
    rows = engine.db.execute(
        "select h.release_reason, (select count(*) from payout.operator_actions as a "
        "where a.action = 'release') from payout.holds as h"
    ).fetchall()
    assert rows == [("looked", 1)]


def test_of_two_releases_at_once_one_counts(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    hold_id = shared_engine.hold("engine")
    other = connect("payout_operator", member=2)
    with ThreadPoolExecutor(1) as pool:
        with shared_engine.operator.transaction():
            shared_engine.operator.execute(RELEASE, [hold_id, "first"])
            second = pool.submit(other.execute, RELEASE, [hold_id, "second"])
            wait_until_blocked(shared_engine.db, other)
        second.result()
    assert shared_engine.db.execute("select release_reason from payout.holds").fetchall() == [
        ("first",)
    ]


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_a_release_without_a_reason_is_refused(engine: Engine, reason: str | None) -> None:
    hold_id = engine.hold("engine")
    assert refusal(engine.db, RELEASE, [hold_id, reason]) == Refusal(
        "SP313", f"cannot release hold {hold_id} without a reason"
    )
    assert len(engine.open_holds()) == 1


def test_releasing_what_was_never_held_is_refused(engine: Engine) -> None:
    assert refusal(engine.db, RELEASE, [10**9, "why"]) == Refusal(
        "SP310", "hold 1000000000 does not exist"
    )


@pytest.mark.parametrize("role", ["payout_app", "payout_worker", "payout_auditor"])
def test_only_an_operator_may_release(visit: Callable[..., Connection], role: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        visit(role).execute(RELEASE, [1, "why"])
    assert caught.value.diag.message_primary == "permission denied for function release_hold"


# The hold of an alarm; an end; a warning.


@mutant(
    "one person releases an open alarm",
    "release_hold",
    "where d.resolved_at is null",
    "where false",
)
def test_the_hold_of_an_open_alarm_is_released_by_two_people(engine: Engine) -> None:
    engine.settle()
    engine.report(success(engine.claim_one(), amount_minor=1))
    ((hold_id,),) = engine.db.execute("select hold_id from payout.holds").fetchall()
    assert engine.operator.execute(RELEASE, [hold_id, "looked"]).fetchall() == [("proposed",)]
    assert len(engine.open_holds()) == 1
    engine.approve()
    assert engine.open_holds() == []


def test_once_its_alarm_is_resolved_one_person_releases_it(engine: Engine) -> None:
    engine.settle()
    engine.report(success(engine.claim_one(), amount_minor=1))
    engine.operator.execute(
        "select payout_api.resolve_discrepancy(discrepancy_id, 'a proxy') from payout.discrepancies"
    )
    engine.operator.execute("select payout_api.release_hold(hold_id, 'looked') from payout.holds")
    assert engine.open_holds() == []


@mutant(
    "one person releases a second alarm with the first",
    "release_hold",
    "or (v_hold.discrepancy_id is not null and d.payout_transfer_id = any (v_ids))",
    "",
)
def test_while_another_alarm_about_its_transfer_is_open_two_people_release_it(
    engine: Engine,
) -> None:
    """The attack: the first report was forged and is resolved, the second one was true."""
    engine.settle()
    claim = engine.claim_one()
    for token in ("ct_forged", "ct_forgotten"):
        engine.report(success(claim) | {"claim_token": token})
    ((first, hold_id),) = engine.db.execute(
        "select discrepancy_id, hold_id from payout.holds"
    ).fetchall()
    engine.operator.execute("select payout_api.resolve_discrepancy(%s, 'forged')", [first])
    assert engine.operator.execute(RELEASE, [hold_id, "forged"]).fetchall() == [("proposed",)]
    assert len(engine.open_holds()) == 1
    engine.approve()
    assert engine.open_holds() == []


@mutant(
    "an approval that covers a later alarm",
    "do_proposed",
    "v_details <> v_details || payout.known_of(v_verb, v_ids)",
    "false",
)
def test_an_approval_does_not_release_over_an_alarm_that_came_after_the_proposal(
    shared_engine: Engine,
) -> None:
    engine = shared_engine
    engine.settle()
    claim = engine.claim_one()
    engine.report(success(claim, amount_minor=1))
    engine.operator.execute("select payout_api.release_hold(hold_id, 'looked') from payout.holds")
    engine.report(success(claim, amount_minor=2, stripe_transfer_id="tr_2"))
    ((proposal,),) = engine.db.execute("select action_id from payout_api.proposals").fetchall()
    refused = refusal(engine.approver, "select payout_api.approve(%s, 'looked too')", [proposal])
    assert refused is not None
    assert refused.sqlstate == "SP402"


def test_a_hold_that_was_released_meanwhile_stays_as_it_is(engine: Engine) -> None:
    engine.settle()
    engine.report(success(engine.claim_one(), amount_minor=1))
    engine.operator.execute("select payout_api.release_hold(hold_id, 'looked') from payout.holds")
    engine.db.execute("select payout.end_holds(array(select hold_id from payout.holds), 'a', 'b')")
    engine.approve()
    assert engine.db.execute("select released_by from payout.holds").fetchall() == [("a",)]


@mutant("a hold without end", "end_due_holds", "h.expires_at <= p_now", "false")
def test_a_hold_with_an_end_ends_by_itself(engine: Engine) -> None:
    engine.settle()
    place = (
        "select payout_api.hold(p_scope => 'payee', p_subject => 'seller_1', p_reason => 'wait', "
        "p_until => clock_timestamp() + interval '50 ms')"
    )
    engine.operator.execute(place)
    assert engine.claim() == []
    engine.db.execute("select pg_sleep(0.06)")
    engine.sweep()
    assert engine.open_holds() == []
    assert len(engine.claim()) == 1
    said = engine.db.execute("select released_by, release_reason from payout.holds").fetchall()
    assert said == [("engine", "its time is over")]


def test_an_end_in_the_past_is_refused(engine: Engine) -> None:
    refused = refusal(
        engine.db, "select payout_api.hold('engine', 'why', p_until => now() - interval '1 s')"
    )
    assert refused is not None
    assert refused.sqlstate == "SP313"


def test_what_goes_on_to_a_former_account_is_said(shared_engine: Engine) -> None:
    """The key was used with it (FIELD B27): only a new key takes the present account."""
    engine = shared_engine
    engine.settle()
    engine.report(no_answer(engine.claim_one()))
    hold_id = engine.hold("payee", "seller_1")
    engine.app.execute("select payout_api.register_payee('seller_1', 'acct_new')")
    said: list[str] = []
    engine.operator.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    engine.operator.execute("select payout_api.release_hold(%s, 'looked')", [hold_id])
    assert said == [
        f"1 transfers under hold {hold_id} go on to an account that is no longer the payee's"
    ]
