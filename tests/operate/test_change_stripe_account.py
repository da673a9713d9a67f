"""The platform moves to another Stripe account, or a copy is to pay in test mode."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Connection, compare_newest, login_name
from tests.engine import Claim, Engine, no_answer, refusal_by_stripe, success, unfunded
from tests.identity.identities import adoptions, identity_problem, refused_claim
from tests.mutants import mutant
from tests.operate.test_adopt_database import NOT_RECONCILED, OPEN, reconcile
from tests.schema.refusals import Refusal, refusal

CHANGE = "select payout_api.change_stripe_account(%s, %s, %s)"
LIVE = ("acct_1", True)
MOVED = ["acct_2", True, "the company was merged"]
TEST = ["acct_9", False, "a staging copy"]
STAGING = ("acct_9", False)
MAY_BE_EXECUTED = Refusal("SP411", "transfers are open that acct_1 may have executed")
USED_IN_TEST_MODE = Refusal(
    "SP411", "a database that was used in test mode does not go back to live mode"
)


@pytest.fixture
def live(engine: Engine) -> Engine:
    """An engine whose first claim has fixed a live account."""
    engine.claim(account=LIVE)
    return engine


@mutant(
    "a change of the Stripe account that ends no adoption",
    "change_stripe_account",
    "if v_old.stripe_account_id is not null then",
    "if false then",
)
def test_a_change_is_written_down_and_ends_the_adoption(acted_engine: Engine) -> None:
    db, operator = acted_engine.db, login_name("payout_operator")
    acted_engine.claim(account=LIVE)
    assert acted_engine.operator.execute(CHANGE, MOVED).fetchall() == [("done",)]
    assert db.execute(
        "select action, subject, reason, details, acted_by from payout.operator_actions "
        "order by operator_action_id desc limit 1"
    ).fetchall() == [
        (
            "change_stripe_account",
            "acct_2",
            "the company was merged",
            {
                "is_livemode": True,
                "old_stripe_account_id": "acct_1",
                "old_is_livemode": True,
            },
            operator,
        )
    ]
    assert identity_problem(db) == (
        "Claims were stopped: Stripe account changed: the company was merged."
    )
    assert adoptions(db)[-1][0] is False
    refused = refused_claim(acted_engine.worker)
    assert refused is not None
    assert refused.sqlstate == "SP403"


def test_after_a_change_the_adoption_wants_a_run_of_the_new_account(live: Engine) -> None:
    reconcile(live.db)
    live.db.execute(CHANGE, MOVED)
    assert refusal(live.db, OPEN) == NOT_RECONCILED
    reconcile(live.db)
    live.db.execute(OPEN)
    live.approve()
    live.settle()
    assert len(live.claim(account=("acct_2", True))) == 1


def test_naming_the_account_that_is_fixed_changes_nothing(live: Engine) -> None:
    before = adoptions(live.db)
    assert live.db.execute(CHANGE, [*LIVE, "once more"]).fetchall() == [("already",)]
    assert adoptions(live.db) == before
    assert identity_problem(live.db) is None


def test_fixing_the_first_account_by_hand_leaves_the_database_adopted(engine: Engine) -> None:
    engine.settle()
    engine.db.execute(CHANGE, [*LIVE, "before the first claim"])
    assert len(engine.claim(account=LIVE)) == 1


@pytest.mark.parametrize(
    ("account", "name"),
    [
        ((None, True, "why"), "an account not named in live mode for reason 'why'"),
        (("acct_2", None, "why"), "acct_2 in unknown mode for reason 'why'"),
        (("cus_2", True, "why"), "cus_2 in live mode for reason 'why'"),
        (("acct_2", True, None), "acct_2 in live mode for reason null"),
        (("acct_2", True, " "), "acct_2 in live mode for reason ' '"),
    ],
)
def test_account_mode_and_reason_are_needed(
    live: Engine, account: tuple[object, ...], name: str
) -> None:
    assert refusal(live.db, CHANGE, account) == Refusal(
        "SP320", f"cannot change the Stripe account to {name}"
    )


@mutant(
    "a change of the Stripe account in the midst of sends",
    "refuse_unsafe_account_change",
    "where s.attempt > 0\n",
    "where false\n",
    at="no_answer",
)
@pytest.mark.parametrize("answer", [None, no_answer])
def test_what_the_old_account_may_have_executed_comes_first(
    live: Engine, answer: Callable[..., dict[str, object]] | None
) -> None:
    """The new account would say that it was never executed, and a new key would pay again."""
    live.settle()
    (claim,) = live.claim(account=LIVE)
    if answer is not None:
        live.report(answer(claim))
    assert refusal(live.db, CHANGE, MOVED) == MAY_BE_EXECUTED
    live.report(success(claim, is_livemode=True))
    live.db.execute(CHANGE, MOVED)


def given_up(engine: Engine, claim: Claim) -> None:
    engine.report(refusal_by_stripe(claim, 400, "approval_required"))
    engine.operator.execute(
        "select payout_api.retry('it never came', p_force => true, "
        f"p_payout_transfer_id => {claim.payout_transfer_id})"
    )
    engine.approve()


def refused_without_a_key(engine: Engine, claim: Claim) -> None:
    for _ in range(3):
        engine.report(refusal_by_stripe(claim, 403, "account_closed") | {"is_tied": False})
        engine.let_pass("20 minutes")
        for again in engine.claim(account=LIVE):
            claim = again


@mutant(
    "a change of the Stripe account beside what was given up",
    "refuse_unsafe_account_change",
    "and o.signal in ('response', 'give_up')",
    "and o.signal = 'response'",
    at="given_up",
)
@mutant(
    "a change of the Stripe account beside a refusal that may be a copy",
    "refuse_unsafe_account_change",
    "and o.signal in ('response', 'give_up')",
    "and o.signal = 'give_up'",
    at="refused_without_a_key",
)
@pytest.mark.parametrize("end", [given_up, refused_without_a_key])
def test_a_key_that_ended_without_an_answer_of_its_own_is_looked_for_in_the_old_account(
    live: Engine, end: Callable[[Engine, Claim], None]
) -> None:
    """The attack: a look at the new account's list finds nothing, and opens another key."""
    (transfer,) = live.settle()
    (claim,) = live.claim(account=LIVE)
    end(live, claim)
    assert live.progress(transfer).state == "failed"
    assert refusal(live.db, CHANGE, MOVED) == MAY_BE_EXECUTED


def test_a_decline_that_stripe_saved_lets_the_account_change(live: Engine) -> None:
    live.settle()
    live.report(unfunded(live.claim(account=LIVE)[0]))
    assert refusal(live.db, CHANGE, MOVED) is None


def test_what_was_never_sent_is_paid_from_the_new_account(live: Engine) -> None:
    live.settle()
    assert refusal(live.db, CHANGE, MOVED) is None


def test_a_copy_moves_to_test_mode_whatever_is_open_and_not_back(live: Engine) -> None:
    live.settle()
    live.claim(account=LIVE)
    live.db.execute(CHANGE, TEST)
    assert refusal(live.db, CHANGE, MOVED) == Refusal(
        "SP411", "transfers are open that acct_9 may have executed"
    )


def test_what_was_looked_for_in_test_mode_is_not_taken_back_to_live_mode(live: Engine) -> None:
    """The test account has nothing of it: that proves nothing, and a new key would pay again."""
    (transfer,) = live.settle()
    live.report(no_answer(*live.claim(account=LIVE)))
    live.let_pass("21 hours")
    live.sweep()
    live.db.execute(CHANGE, TEST)
    while live.progress(transfer).state == "parked":
        live.let_pass("2 days")
        for lookup in live.claim_lookups(account=STAGING):
            for number in range(len(lookup.queries)):
                live.report_page(lookup, number, [])
    assert live.sweep().transfers_reopened == 1
    assert refusal(live.db, CHANGE, MOVED) == USED_IN_TEST_MODE


@mutant(
    "live mode again after test mode",
    "refuse_unsafe_account_change",
    "if p_is_livemode and exists (",
    "if false and exists (",
)
def test_what_was_paid_in_test_mode_is_not_taken_back_to_live_mode(live: Engine) -> None:
    live.settle()
    live.db.execute(CHANGE, TEST)
    live.db.execute("select payout_api.adopt_database('for staging', true)")
    live.approve()
    assert refusal(live.db, CHANGE, MOVED) is None
    compare_newest(live.db)
    live.report(success(*live.claim(account=STAGING)))
    assert refusal(live.db, CHANGE, MOVED) == USED_IN_TEST_MODE


@pytest.mark.parametrize("role", ["payout_app", "payout_worker", "payout_auditor"])
def test_nobody_but_an_operator_changes_the_account(
    visit: Callable[..., Connection], role: str
) -> None:
    assert refusal(visit(role), CHANGE, MOVED) == Refusal(
        "42501", "permission denied for function change_stripe_account"
    )
