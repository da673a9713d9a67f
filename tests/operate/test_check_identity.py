"""The doctor says whether transfers are handed out here, and for which Stripe account."""

from __future__ import annotations

import pytest

from tests.engine import Engine
from tests.identity.identities import adopted_elsewhere, identity_problem
from tests.mutants import mutant
from tests.operate.checks import complaints, examine

ADOPTED = "the database is adopted"
BY_HAND = "the adoption is of an operator or of the first claim"
ACCOUNT = "the key is of the fixed account"
ASK = "select status = 'ok', detail from payout_api.doctor(%s, %s) where check_name = %s"


def test_a_passed_identity_check_names_the_adoption_and_its_reason(
    engine: Engine,
) -> None:
    [check] = [check for check in examine(engine.db) if check.check_name == ADOPTED]
    assert check.status == "ok"
    assert check.detail.endswith(": a copy for a test")


def test_a_failed_identity_check_says_the_change_and_the_way_out(engine: Engine) -> None:
    adopted_elsewhere(engine.db, "timeline_id")
    assert complaints(engine.db)[ADOPTED] == identity_problem(engine.db)
    [check] = [check for check in examine(engine.db) if check.check_name == ADOPTED]
    assert "select payout_api.adopt_database(reason)" in check.hint


@pytest.mark.parametrize("kind", ["none", "is_installation", "is_first_claim"])
@pytest.mark.parametrize("history", ["adopted before", "closed before", "of another database"])
def test_an_adoption_that_was_written_by_hand_is_named(
    engine: Engine, kind: str, history: str
) -> None:
    if history == "closed before":
        engine.db.execute("insert into payout.adoptions (reason) values ('closed')")
    elif history == "of another database":
        adopted_elsewhere(engine.db, "database_oid")
    columns = "reason" if kind == "none" else f"reason, {kind}"
    engine.db.execute(
        "insert into payout.adoptions (system_identifier, timeline_id, database_oid, table_oid, "
        f"{columns}) select i.*, 'mine'{'' if kind == 'none' else ', true'} "
        "from payout.database_identity() as i".encode()
    )
    assert complaints(engine.db)[BY_HAND].startswith("number ")


@mutant(
    "an adoption that any act explains",
    "check_identity",
    "o.action = 'adopt_database' and o.subject = a.adoption_id::text",
    "o.action = 'adopt_database'",
)
def test_an_act_explains_the_adoption_that_it_made_and_no_other(engine: Engine) -> None:
    adopted_elsewhere(engine.db, "database_oid")
    engine.db.execute("select payout_api.adopt_database('restored', true)")
    engine.approve()
    assert complaints(engine.db) == {}
    adopted_elsewhere(engine.db, "database_oid")
    assert BY_HAND in complaints(engine.db)


@pytest.mark.parametrize(
    ("account", "is_ok", "detail"),
    [
        ((None, None), True, "fixed: acct_1 in live mode; the key: not asked"),
        (("acct_1", True), True, "fixed: acct_1 in live mode; the key: acct_1 in live mode"),
        (("acct_1", False), False, "fixed: acct_1 in live mode; the key: acct_1 in test mode"),
        (("acct_2", True), False, "fixed: acct_1 in live mode; the key: acct_2 in live mode"),
        (("acct_1", None), False, "fixed: acct_1 in live mode; the key: acct_1 in unknown mode"),
    ],
)
def test_the_account_of_a_key_is_compared_with_the_fixed_one(
    engine: Engine, account: tuple[str | None, bool | None], is_ok: bool, detail: str
) -> None:
    engine.set(is_livemode=True, stripe_account_id="acct_1")
    assert engine.db.execute(ASK, [*account, ACCOUNT]).fetchall() == [(is_ok, detail)]


def test_while_none_is_fixed_any_account_will_do(engine: Engine) -> None:
    assert engine.db.execute(ASK, ["acct_1", False, ACCOUNT]).fetchall() == [
        (True, "none is fixed: the first claim fixes one; the key: acct_1 in test mode")
    ]
