"""Transactions that keep to their first snapshot, as a database may ask for.

The lock of change_stripe_account is granted once the claim under way has committed; its
transfers are not in a snapshot that was taken before the wait. Nor are those in it that were
settled before a page of Stripe's list came, nor what operators are to know of when they act.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Connection
from tests.engine import Engine, listed, success, unfunded
from tests.identity.identities import adopted_elsewhere
from tests.mutants import mutant
from tests.operate.test_adopt_database import OPEN_WITHOUT
from tests.operate.test_change_stripe_account import (
    CHANGE,
    LIVE,
    MAY_BE_EXECUTED,
    MOVED,
)
from tests.reconcile.listing import ACCOUNT, REPORT, claim, ours, reconcile
from tests.schema.refusals import Refusal, refusal, refusal_at_commit, wait_until_blocked


def refused_under(level: str) -> Refusal:
    return Refusal("SP401", f"the Stripe account is not changed in a transaction that is {level}")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("read committed", MAY_BE_EXECUTED),
        ("repeatable read", refused_under("repeatable read")),
        ("serializable", refused_under("serializable")),
    ],
)
def test_a_change_of_account_sees_a_transfer_handed_out_before_it(
    level: str, expected: Refusal, shared_engine: Engine, background: ThreadPoolExecutor
) -> None:
    engine = shared_engine
    engine.claim(account=LIVE)
    engine.settle()
    engine.operator.execute(f"set default_transaction_isolation = '{level}'")
    engine.worker.execute("begin")
    (claim,) = engine.claim(account=LIVE)
    changing = background.submit(refusal_at_commit, engine.operator, CHANGE, MOVED)
    with suppress(AssertionError):  # it does not wait if it is refused at once
        wait_until_blocked(engine.db, engine.operator, by=changing)
    engine.worker.execute("commit")
    assert claim.attempt == 1
    assert changing.result() == expected


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@mutant(
    "pages that are judged by an old snapshot",
    "report_page",
    "    perform payout.refuse_old_snapshot('no page is taken');\n",
    "",
)
def test_a_page_is_not_judged_by_a_snapshot_that_its_transfers_are_not_in(
    level: str, engine: Engine, connect: Callable[..., Connection]
) -> None:
    """It would take them for sends that this database has forgotten, and stop the engine."""
    late = connect("payout_worker")
    late.execute(f"begin isolation level {level}")
    late.execute("select 1 from payout_api.claim_reads('none', p_kind => 'lookup')")
    engine.settle("seller_1")
    (read,) = claim(engine.db)
    (sent,) = engine.claim(account=(ACCOUNT, False))
    engine.report(success(sent, stripe_transfer_id="tr_1"))
    page = [read.read_id, read.token, Jsonb(read.parameters), Jsonb([ours(engine.db)]), False]

    assert refusal(late, REPORT, page) == Refusal(
        "SP401", f"no page is taken in a transaction that is {level}"
    )
    assert engine.worker.execute(REPORT, page).fetchall()[0][3:5] == (
        "compared 1 transfers of Stripe's: 0 discrepancies",
        False,
    )


def before(connect: Callable[..., Connection], role: str, level: str) -> Connection:
    """Begin a transaction of a person, with a snapshot of now."""
    late = connect(role)
    late.execute(f"begin isolation level {level}")
    late.execute("select from payout_api.explained")
    return late


def nothing_is_done(level: str) -> Refusal:
    return Refusal("SP401", f"nothing is done in a transaction that is {level}")


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@mutant(
    "acts by an old snapshot",
    "act",
    "        perform payout.refuse_old_snapshot('nothing is done');\n",
    "",
)
def test_what_stripe_has_listed_since_the_snapshot_is_not_ended(
    level: str, shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    """The page changes no row of the transfer, so that nothing else fails."""
    engine = shared_engine
    (transfer,) = engine.settle()
    sent = engine.claim_one()
    engine.report(unfunded(sent))
    late = before(connect, "payout_operator", level)
    reconcile(engine.db, listed(sent, created=1_900_000_000))
    cancel = "select payout_api.cancel('a mistake', %s)"
    assert refusal(late, cancel, [transfer]) == nothing_is_done(level)


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@mutant(
    "reversed money that is closed by an old snapshot",
    "close_reversed",
    "        perform payout.refuse_old_snapshot('nothing is done');\n",
    "",
)
def test_what_was_written_off_since_the_snapshot_is_not_repaid(
    level: str, shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    """The attack: of ten that are owed six are written off, and the payee gets ten."""
    engine = shared_engine
    (transfer,) = engine.settle()
    engine.report(success(engine.claim_one()))
    engine.db.execute(
        "select payout.book_reversals(t, %s) from payout.payout_transfers as t",
        [Jsonb([{"id": "trr_1", "amount": 1000}])],
    )
    late = before(connect, "payout_operator", level)
    engine.operator.execute("select payout_api.write_off('seller_1', 'usd', 600, 'agreed')")
    repay = "select payout_api.repay(%s, 'owed')"
    assert refusal(late, repay, [transfer]) == nothing_is_done(level)


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@mutant(
    "approvals by an old snapshot",
    "do_proposed",
    "    perform payout.refuse_old_snapshot('nothing is done');\n",
    "",
)
def test_a_stop_since_the_snapshot_counts_for_an_approval(
    level: str, shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    """The attack: two people proposed the same, one was approved, and then Stripe showed more."""
    engine = shared_engine
    adopted_elsewhere(engine.db, "timeline_id")
    for person in (engine.db, engine.operator):
        person.execute(OPEN_WITHOUT)
    numbers = "select action_id from payout_api.proposals order by action_id"
    (left,), (approved,) = engine.db.execute(numbers).fetchall()
    late = before(connect, "payout_approver", level)
    approve = "select payout_api.approve(%s, 'as said')"
    engine.approver.execute(approve, [approved])
    engine.db.execute("select payout.stop_claims('database_went_back', 'it went back', null)")
    assert refusal(late, approve, [left]) == nothing_is_done(level)
