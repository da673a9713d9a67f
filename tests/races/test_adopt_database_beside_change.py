"""Adopting a database and changing the account could lock the same tables in opposite orders."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.conftest import Connection
from tests.engine import Engine
from tests.identity.identities import adopted_elsewhere
from tests.operate.test_adopt_database import OPEN_WITHOUT
from tests.operate.test_change_stripe_account import CHANGE, LIVE, MOVED
from tests.schema.refusals import refusal, wait_until_blocked


def test_adopting_a_database_and_changing_the_account_do_not_deadlock(
    shared_engine: Engine, connect: Callable[..., Connection], background: ThreadPoolExecutor
) -> None:
    db, opener = shared_engine.db, connect("payout_operator", member=2)
    shared_engine.claim(account=LIVE)
    adopted_elsewhere(db, "system_identifier")
    refusal(opener, OPEN_WITHOUT)  # a session that has done it before opens no table for its types
    db.execute("begin")
    db.execute("lock table payout.adoptions in access share mode")
    changing = background.submit(refusal, shared_engine.operator, CHANGE, MOVED)
    wait_until_blocked(db, shared_engine.operator, by=changing)
    opening = background.submit(refusal, opener, OPEN_WITHOUT)
    wait_until_blocked(db, opener, by=opening)
    db.execute("commit")
    assert (changing.result(), opening.result()) == (None, None)
