"""Two workers claim for the first time at once: the second reads the adoption, then attempts.

The first one commits both in between.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.conftest import Connection, compare_newest
from tests.engine import Engine
from tests.identity.identities import refused_claim
from tests.races.pauses import GO_ON, PAUSE, SLOW
from tests.schema.refusals import wait_until_blocked


def test_the_second_claim_is_not_refused_as_of_a_copy(
    shared_engine: Engine, connect: Callable[..., Connection], background: ThreadPoolExecutor
) -> None:
    db, second = shared_engine.db, connect("payout_worker", member=2)
    shared_engine.settle()
    db.execute(
        "insert into payout.adoptions (system_identifier, timeline_id, database_oid, table_oid, "
        "is_installation, reason, recorded_at) select w.*, true, 'installed', "
        "now() - interval '1 day' from payout.database_identity() as w"
    )
    compare_newest(db)
    db.execute(PAUSE)
    second.execute(SLOW)
    waiting = background.submit(refused_claim, second)
    wait_until_blocked(db, second, by=waiting)
    shared_engine.claim_one()
    db.execute(GO_ON)
    assert waiting.result() is None
