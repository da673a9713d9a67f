"""An operator whose transactions keep to their first snapshot, as a database may ask for.

The lock of change_stripe_account is granted once the claim under way has committed; its
transfers are not in a snapshot that was taken before the wait.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from tests.engine import Engine
from tests.operate.test_change_stripe_account import (
    CHANGE,
    LIVE,
    MAY_BE_EXECUTED,
    MOVED,
)
from tests.schema.refusals import Refusal, refusal_at_commit, wait_until_blocked


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
