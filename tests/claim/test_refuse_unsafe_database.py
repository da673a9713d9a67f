"""Where the database was not adopted nothing is handed out, and everything else goes on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.engine import Engine, no_answer, success
from tests.identity.identities import CLOSED, PARTS, adopted_elsewhere, refused_claim
from tests.mutants import mutant
from tests.reconcile.listing import ACCOUNT, CLAIM
from tests.schema.refusals import Refusal, refusal, refusal_at_commit, wait_until_blocked


@mutant(
    "an identity check without the system_identifier",
    "identity_problem",
    "v_current.system_identifier <> v_adoption.system_identifier",
    "false",
    at="system_identifier",
)
@mutant(
    "an identity check without the timeline_id",
    "identity_problem",
    "v_current.timeline_id <> v_adoption.timeline_id",
    "false",
    at="timeline_id",
)
@mutant(
    "an identity check without the database_oid",
    "identity_problem",
    "v_current.database_oid <> v_adoption.database_oid",
    "false",
    at="database_oid",
)
@mutant(
    "an identity check without the table_oid",
    "identity_problem",
    "v_current.table_oid <> v_adoption.table_oid",
    "false",
    at="table_oid",
)
@pytest.mark.parametrize("part", PARTS)
def test_nothing_is_claimed_where_one_part_of_the_identity_is_another(
    engine: Engine, part: str
) -> None:
    engine.settle()
    adopted_elsewhere(engine.db, part)
    refused = refused_claim(engine.db)
    assert refused is not None
    assert (refused.sqlstate, refused.diag.message_primary) == ("SP403", CLOSED)
    assert str(refused.diag.message_detail).startswith("Changed since: ")
    assert "payout_api.adopt_database" in str(refused.diag.message_hint)


@mutant(
    "a claim without the identity check",
    "refuse_unsafe_database",
    "if v_problem is not null then",
    "if false then",
)
def test_a_claim_is_refused_to_a_worker_even_when_nothing_is_due(
    acted_engine: Engine,
) -> None:
    adopted_elsewhere(acted_engine.db, "database_oid")
    refused = refused_claim(acted_engine.worker)
    assert refused is not None
    assert refused.sqlstate == "SP403"


def test_settlements_reports_and_sweeps_go_on_while_claims_are_refused(engine: Engine) -> None:
    paid, lost = engine.settle("seller_1", "seller_2")
    claims = {claim.payout_transfer_id: claim for claim in engine.claim()}
    adopted_elsewhere(engine.db, "system_identifier")
    assert engine.report_one(success(claims[paid])) == ("ok", "paid")
    engine.let_pass("31 seconds")
    assert engine.sweep().leases_expired == 1
    assert engine.progress(lost).state == "unknown"
    assert engine.report_one(no_answer(claims[lost]))[0] == "stale"
    (later,) = engine.settle("seller_3", settlement_id="set_2")
    assert engine.progress(later).state == "scheduled"
    refused = refused_claim(engine.db)
    assert refused is not None


def test_waiting_transfers_are_claimed_once_the_database_is_adopted_again(engine: Engine) -> None:
    engine.settle()
    adopted_elsewhere(engine.db, "table_oid")
    assert refused_claim(engine.db) is not None
    engine.adopt()
    assert len(engine.claim()) == 1


@mutant(
    "an identity check of an older snapshot",
    "identity_problem",
    "language plpgsql\nvolatile",
    "language plpgsql\nstable",
)
def test_a_claim_that_waits_for_the_end_of_the_adoption_is_refused(
    shared_engine: Engine,
) -> None:
    """The commit of a change waits for claims, and claims that follow wait for it."""
    shared_engine.settle()
    shared_engine.set(is_livemode=False, stripe_account_id="acct_1")
    with ThreadPoolExecutor(1) as pool:
        with shared_engine.operator.transaction():
            shared_engine.operator.execute(
                "select payout_api.change_stripe_account('acct_2', false, 'moved')"
            )
            shared_engine.operator.execute("set constraints all immediate")
            claim = pool.submit(refused_claim, shared_engine.worker)
            wait_until_blocked(shared_engine.db, shared_engine.worker)
        refused = claim.result()
    assert refused is not None
    assert refused.sqlstate == "SP403"
    assert refused.diag.message_detail == "Claims were stopped: Stripe account changed: moved."


@mutant(
    "a comparison of the account before",
    "claim_reads",
    "lock table payout.adoptions in access share mode;",
    "",
)
def test_a_comparison_that_waits_for_a_change_of_the_account_is_refused(
    shared_engine: Engine,
) -> None:
    """Else a run over the old account would adopt the database for the new one."""
    shared_engine.set(is_livemode=False, stripe_account_id=ACCOUNT)
    with ThreadPoolExecutor(1) as pool:
        with shared_engine.operator.transaction():
            shared_engine.operator.execute(
                "select payout_api.change_stripe_account('acct_2', false, 'moved')"
            )
            shared_engine.operator.execute("set constraints all immediate")
            values = ["worker_1", 20, ACCOUNT, False, None]
            begun = pool.submit(refusal, shared_engine.worker, CLAIM, values)
            wait_until_blocked(shared_engine.db, shared_engine.worker)
        assert begun.result() == Refusal(
            "SP404", f"this database does not pay from {ACCOUNT} in test mode"
        )


@mutant(
    "a change of the Stripe account that waits for no claim",
    "tg_engine_settings__check_account",
    "lock table payout.adoptions in access exclusive mode;",
    "null;",
)
def test_a_change_of_the_account_sees_the_claims_it_has_waited_for(
    shared_engine: Engine,
) -> None:
    shared_engine.set(is_livemode=True, stripe_account_id="acct_1")
    shared_engine.settle()
    change = "select payout_api.change_stripe_account('acct_2', true, 'moved')"
    with ThreadPoolExecutor(1) as pool:
        with shared_engine.worker.transaction():
            assert len(shared_engine.claim(account=("acct_1", True))) == 1
            changed = pool.submit(refusal_at_commit, shared_engine.operator, change)
            wait_until_blocked(shared_engine.db, shared_engine.operator, by=changed)
        assert changed.result() == Refusal(
            "SP411", "transfers are open that acct_1 may have executed"
        )


@mutant(
    "a change of the account that does not look again at its commit",
    "tg_engine_settings__check_account",
    "perform payout.refuse_unsafe_account_change(old, new.is_livemode);",
    "",
)
def test_an_open_change_of_the_account_stops_no_claim_and_is_refused_for_the_claims_meanwhile(
    shared_engine: Engine,
) -> None:
    """An operator who goes to lunch in the middle of a transaction."""
    shared_engine.set(is_livemode=True, stripe_account_id="acct_1")
    shared_engine.settle()
    operator = shared_engine.operator
    shared_engine.worker.execute("set lock_timeout = '5s'")
    operator.execute("begin")
    operator.execute("select payout_api.change_stripe_account('acct_2', true, 'moved')")
    claims = shared_engine.claim(account=("acct_1", True))
    assert refusal_at_commit(operator, "commit") == Refusal(
        "SP411", "transfers are open that acct_1 may have executed"
    )
    assert len(claims) == 1


def test_a_change_of_the_account_does_not_wait_long_for_an_open_transaction(
    shared_engine: Engine,
) -> None:
    """Claims wait behind the lock that it waits for."""
    shared_engine.set(is_livemode=True, stripe_account_id="acct_1")
    change = "select payout_api.change_stripe_account('acct_2', true, 'moved')"
    with shared_engine.db.transaction():
        shared_engine.db.execute("select from payout.adoptions")
        shared_engine.operator.execute("set statement_timeout = '10s'")
        assert refusal_at_commit(shared_engine.operator, change) == Refusal(
            "SP402", "the Stripe account is not changed while claims are under way"
        )
    assert refusal_at_commit(shared_engine.operator, change) is None
