"""A worker sees an open run, and another one reports its last page before the first reads it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.conftest import Connection
from tests.engine import Engine
from tests.reconcile.listing import begin, claim, report
from tests.schema.refusals import wait_until_blocked


def test_a_worker_always_gets_a_run_to_go_on_with(
    shared_engine: Engine, connect: Callable[..., Connection], background: ThreadPoolExecutor
) -> None:
    db, second = shared_engine.db, connect("payout_worker", member=2)
    run = begin(db)

    def begin_meanwhile() -> int:
        return len(claim(second, worker="worker_2"))

    with db.transaction():
        report(db, run)
        waiting = background.submit(begin_meanwhile)
        wait_until_blocked(db, second, by=waiting)
    assert waiting.result() == 1
