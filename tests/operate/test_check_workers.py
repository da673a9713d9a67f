"""The doctor misses workers, and people see which ones are alive."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Connection
from tests.engine import Engine
from tests.mutants import mutant
from tests.operate.checks import examine
from tests.schema.refusals import refusal

ALIVE = "a worker is alive"
BEAT = "select payout_api.heartbeat(%s, %s)"


def told(engine: Engine) -> tuple[str, str]:
    (check,) = [check for check in examine(engine.db) if check.check_name == ALIVE]
    return check.status, check.detail


def test_that_no_worker_has_ever_run_is_a_failure(engine: Engine) -> None:
    assert told(engine) == ("failure", "none has ever run")


def test_workers_that_are_alive_are_named_with_their_release(engine: Engine) -> None:
    for name in ("worker_1", "worker_2", "worker_1"):
        engine.worker.execute(BEAT, [name, "1.0.0"])
    status, detail = told(engine)
    assert status == "ok"
    assert sorted(detail.split(", ")) == ["worker_1 1.0.0", "worker_2 1.0.0"]


@mutant(
    "a dead worker that counts as alive",
    sql=(
        "create or replace view payout_api.workers as select w.worker, w.release, w.started_at, "
        "w.last_seen_at, true as is_alive, false as is_on_hold from payout.workers as w"
    ),
)
def test_a_worker_that_was_not_seen_for_a_minute_is_missed(engine: Engine) -> None:
    engine.worker.execute(BEAT, ["worker_1", "1.0.0"])
    engine.db.execute("update payout.workers set last_seen_at = now() - interval '61 seconds'")
    status, detail = told(engine)
    assert status == "failure"
    assert detail.startswith("the last one was seen at ")


@mutant(
    "a worker that says goodbye", "heartbeat", "has_ended = excluded.has_ended", "has_ended = false"
)
@mutant(
    "a goodbye that the view does not hear",
    sql=(
        "create or replace view payout_api.workers as select w.worker, w.release, w.started_at, "
        "w.last_seen_at, true as is_alive, false as is_on_hold from payout.workers as w"
    ),
)
def test_a_worker_that_says_that_it_ends_is_alive_no_more_until_it_comes_back(
    engine: Engine,
) -> None:
    def is_alive() -> bool:
        ((alive,),) = engine.db.execute("select is_alive from payout_api.workers").fetchall()
        gauge = engine.db.execute(
            "select value from payout_api.gauges where metric = 'payout_workers'"
        ).fetchall()
        assert gauge == ([(1.0,)] if alive else [])
        return bool(alive)

    engine.worker.execute(BEAT, ["worker_1", "1.0.0"])
    assert is_alive()
    engine.worker.execute("select payout_api.heartbeat('worker_1', '1.0.0', p_is_last => true)")
    assert not is_alive()
    assert told(engine)[0] == "failure"
    engine.worker.execute("select payout_api.heartbeat('worker_1', '1.0.0', p_is_last => null)")
    assert is_alive()


def test_a_worker_that_ended_long_ago_is_forgotten(engine: Engine) -> None:
    engine.worker.execute(BEAT, ["worker_1", "1.0.0"])
    engine.db.execute("update payout.workers set last_seen_at = now() - interval '8 days'")
    engine.worker.execute(BEAT, ["worker_2", "1.0.0"])
    names = engine.db.execute("select worker, is_alive from payout_api.workers").fetchall()
    assert names == [("worker_2", True)]


@mutant(
    "a heartbeat that waits to forget another worker", "heartbeat", "for update skip locked", ""
)
def test_a_row_that_somebody_has_locked_stops_no_heartbeat(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    engine, superuser = shared_engine, connect()
    engine.worker.execute(BEAT, ["worker_1", "1.0.0"])
    engine.db.execute("update payout.workers set last_seen_at = now() - interval '8 days'")
    superuser.execute("begin")
    superuser.execute("select from payout.workers for update")
    engine.worker.execute("set statement_timeout = '2s'")
    assert refusal(engine.worker, BEAT, ["worker_2", "1.0.0"]) is None
    superuser.execute("rollback")


@pytest.mark.parametrize(("worker", "release"), [(None, "1.0"), (" ", "1.0"), ("w", None)])
def test_a_heartbeat_without_a_name_is_refused(
    engine: Engine, worker: str | None, release: str | None
) -> None:
    refused = refusal(engine.db, BEAT, [worker, release])
    assert refused is not None
    assert refused.sqlstate == "SP311"


@mutant(
    "a heartbeat that tells no hold", "heartbeat", "h.subject = p_worker", "h.subject = 'nobody'"
)
def test_a_heartbeat_tells_the_worker_that_it_is_on_hold(engine: Engine) -> None:
    def is_held(worker: str) -> bool:
        ((held,),) = engine.worker.execute(BEAT, [worker, "1.0.0"]).fetchall()
        return bool(held)

    assert not is_held("worker_1")
    engine.db.execute("select payout.place_hold('worker', 'worker_1', 'stripe_key_refused')")
    assert is_held("worker_1")
    assert not is_held("worker_2")
    engine.release_holds()
    assert not is_held("worker_1")


@pytest.mark.parametrize(
    ("release", "is_refused"),
    [
        ("1.0.0.dev0", False),
        ("1.1.3", False),
        ("1.2.0", True),
        ("2.0.0", True),
        ("0.9.9", True),
        ("?", True),
    ],
)
@mutant(
    "a worker of any release goes on",
    "heartbeat",
    "abs(v_theirs[2] - v_ours[2]) > 1",
    "false",
    at="1.2.0-True",
)
def test_a_worker_more_than_one_release_away_is_refused(
    engine: Engine, release: str, is_refused: bool
) -> None:
    refused = refusal(engine.worker, BEAT, ["worker_1", release])
    if not is_refused:
        assert refused is None
        return
    assert refused is not None
    assert refused.sqlstate == "SP406"
    assert refused.message == f"the worker is of release {release}, and the database of 1.0"
