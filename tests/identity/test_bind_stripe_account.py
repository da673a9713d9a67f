"""One database pays from one Stripe account in one mode: the first that a claim named."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import Connection, login_name
from tests.engine import Engine
from tests.mutants import mutant
from tests.schema.refusals import Refusal, refusal_of, wait_until_blocked

Account = tuple[str | None, bool | None]
OURS: Account = ("acct_1", False)


def fixed(engine: Engine) -> Account:
    return engine.db.execute(
        "select stripe_account_id, is_livemode from payout.engine_settings"
    ).fetchall()[0]


def refused(engine: Engine, account: Account) -> Refusal | None:
    return refusal_of(engine.db, lambda: engine.claim(account=account))


def refused_as(name: str) -> Refusal:
    return Refusal("SP404", f"this database does not pay from {name}")


@mutant(
    "a Stripe account that is never asked for",
    "refuse_unsafe_database",
    "perform payout.bind_stripe_account(p_stripe_account_id, p_is_livemode);",
    "",
)
def test_the_first_claim_that_names_an_account_fixes_it_and_its_mode(
    acted_engine: Engine,
) -> None:
    assert acted_engine.claim(account=OURS) == []
    assert fixed(acted_engine) == OURS
    assert acted_engine.db.execute(
        "select action, subject, reason, details, acted_by from payout.operator_actions "
        "where action = 'fix_stripe_account'"
    ).fetchall() == [
        (
            "fix_stripe_account",
            "acct_1",
            "the engine: no account was named before",
            {"is_livemode": False},
            login_name("payout_worker"),
        )
    ]


def test_the_account_that_is_fixed_may_claim_again_and_again(engine: Engine) -> None:
    engine.settle()
    for _ in range(2):
        engine.claim(account=OURS)
    actions = engine.db.execute(
        "select from payout.operator_actions where action = 'fix_stripe_account'"
    )
    assert actions.rowcount == 1


@mutant(
    "a key of another account",
    "bind_stripe_account",
    "if v_settings.stripe_account_id is distinct from p_stripe_account_id",
    "if false",
    at="account0-acct_2 in test mode",
)
@mutant(
    "a key of no account",
    "bind_stripe_account",
    "if v_settings.stripe_account_id is distinct from p_stripe_account_id",
    "if v_settings.stripe_account_id <> p_stripe_account_id",
    at="account4-an account not named in test mode",
)
@mutant(
    "a key of the other mode",
    "bind_stripe_account",
    "and v_settings.is_livemode is distinct from p_is_livemode",
    "and false",
    at="account1-acct_1 in live mode",
)
@mutant(
    "an account that every claim fixes anew",
    "bind_stripe_account",
    "if v_settings.stripe_account_id is null and p_stripe_account_id is not null",
    "update payout.engine_settings set stripe_account_id = null; if true",
    at="account0-acct_2 in test mode",
)
@pytest.mark.parametrize(
    ("account", "name"),
    [
        (("acct_2", False), "acct_2 in test mode"),
        (("acct_1", True), "acct_1 in live mode"),
        (("acct_2", True), "acct_2 in live mode"),
        (("acct_1", None), "acct_1 in unknown mode"),
        ((None, False), "an account not named in test mode"),
        ((None, None), "an account not named in unknown mode"),
    ],
)
def test_another_account_another_mode_or_none_is_handed_nothing(
    engine: Engine, account: Account, name: str
) -> None:
    engine.settle()
    engine.set(is_livemode=False, stripe_account_id="acct_1")
    assert refused(engine, account) == refused_as(name)
    assert len(engine.claim(account=OURS)) == 1


def test_while_none_is_fixed_a_claim_may_name_none(engine: Engine) -> None:
    engine.settle()
    assert len(engine.claim()) == 1
    assert fixed(engine) == (None, None)


@pytest.mark.parametrize(
    ("account", "name"),
    [(("acct_1", None), "acct_1 in unknown mode"), (("acct_1", True), "acct_1 in live mode")],
)
def test_an_account_without_the_mode_that_is_wanted_is_not_fixed(
    engine: Engine, account: Account, name: str
) -> None:
    engine.set(is_livemode=False)
    assert refused(engine, account) == refused_as(name)
    assert fixed(engine) == (None, False)


def test_of_two_first_claims_at_once_one_account_wins_and_the_other_is_refused(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    other = connect("payout_worker", member=2)

    def claim_for_another() -> Refusal | None:
        return refusal_of(
            other, lambda: shared_engine.claim(account=("acct_2", False), connection=other)
        )

    with ThreadPoolExecutor(1) as pool:
        with shared_engine.worker.transaction():
            shared_engine.claim(account=OURS)
            second = pool.submit(claim_for_another)
            wait_until_blocked(shared_engine.db, other)
        assert second.result() == refused_as("acct_2 in test mode")
    assert fixed(shared_engine) == OURS
