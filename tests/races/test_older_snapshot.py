"""Transactions that keep to their first snapshot, as a database may ask for.

The lock of change_stripe_account is granted once the claim under way has committed; its
transfers are not in a snapshot that was taken before the wait. Nor are those in it that were
settled before a page of Stripe's list came.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Connection
from tests.engine import Engine, success
from tests.mutants import mutant
from tests.operate.test_change_stripe_account import (
    CHANGE,
    LIVE,
    MAY_BE_EXECUTED,
    MOVED,
)
from tests.reconcile.listing import ACCOUNT, REPORT, claim, ours
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
    level: str, names_account: None, engine: Engine, connect: Callable[..., Connection]
) -> None:
    """It would take them for sends that this database has forgotten, and stop the engine."""
    late = connect("payout_worker")
    late.execute(f"begin isolation level {level}")
    late.execute("select 1 from payout_api.claim_reads('none', p_kind => 'lookup')")
    engine.settle("seller_1")
    (read,) = claim(engine.db)
    (sent,) = engine.claim(account=ACCOUNT)
    engine.report(success(sent, stripe_transfer_id="tr_1"))
    page = [read.read_id, read.token, Jsonb(read.parameters), Jsonb([ours(engine.db)]), False]

    assert refusal(late, REPORT, page) == Refusal(
        "SP401", f"no page is taken in a transaction that is {level}"
    )
    assert engine.worker.execute(REPORT, page).fetchall()[0][3:5] == ("complete", False)
