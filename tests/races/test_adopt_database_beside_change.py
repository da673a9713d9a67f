"""Adopting a database and changing the account could lock the same tables in opposite orders."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.conftest import Connection
from tests.engine import Engine
from tests.identity.identities import adopted_elsewhere
from tests.operate.test_adopt_database import OPEN_WITHOUT
from tests.operate.test_change_stripe_account import CHANGE, LIVE, MOVED
from tests.schema.refusals import refusal, refusal_at_commit, wait_until_blocked


def test_adopting_a_database_and_changing_the_account_do_not_deadlock(
    shared_engine: Engine, connect: Callable[..., Connection], background: ThreadPoolExecutor
) -> None:
    db, opener = shared_engine.db, connect("payout_operator", member=2)
    shared_engine.claim(account=LIVE)
    adopted_elsewhere(db, "system_identifier")
    refusal(opener, OPEN_WITHOUT)  # a session that has done it before opens no table for its types
    shared_engine.operator.execute("begin")
    shared_engine.operator.execute(CHANGE, MOVED)
    opening = background.submit(refusal_at_commit, opener, OPEN_WITHOUT)
    wait_until_blocked(db, opener, by=opening)
    assert refusal_at_commit(shared_engine.operator, "commit") is None
    assert opening.result() is None
