"""The doctor notices a server that the engine cannot trust with a claim."""

from __future__ import annotations

from psycopg import sql

from tests.engine import Engine
from tests.mutants import mutant
from tests.operate.checks import DOCTOR, complaints, examine


def test_the_version_is_told(engine: Engine) -> None:
    version = engine.db.info.parameter_status("server_version")
    told = {check.check_name: check.detail for check in examine(engine.db)}
    assert told["server version"].split()[0] == str(version).split()[0]


def test_commits_that_may_be_lost_are_noticed(engine: Engine) -> None:
    for setting in ("off", "local"):
        engine.db.execute(f"set local synchronous_commit = {setting}")
        assert complaints(engine.db) == {
            "server keeps commits": f"fsync on, synchronous_commit {setting}, "
            "full_page_writes on, in recovery f"
        }


def test_a_right_of_everybody_to_create_temporary_objects_is_noticed(engine: Engine) -> None:
    name = engine.db.info.dbname
    grant = sql.SQL("grant temporary on database {} to public").format(sql.Identifier(name))
    engine.db.execute(grant)
    engine.worker.execute("select payout_api.heartbeat('worker_1', '1.0.0')")
    (found,) = [row for row in engine.db.execute(DOCTOR) if row[1] == "failure"]
    assert found == (
        "public may not create temporary objects",
        "failure",
        f"database {name}",
        f"revoke temporary on database {name} from public",
    )
    engine.db.execute(found[3])
    assert complaints(engine.db) == {}


def test_a_session_in_which_settlements_schedule_nothing_is_noticed(engine: Engine) -> None:
    engine.db.execute("set local session_replication_role = replica")
    assert complaints(engine.db) == {
        "triggers fire": "session_replication_role replica",
        "wake-up jobs can be queued": "a trigger of the queue does not fire, or a rule or trigger "
        "keeps jobs from it",
    }


@mutant(
    "a doctor that sees its own session only",
    "check_server",
    "= 'origin' and count(*) = 0",
    "= 'origin'",
)
def test_another_login_for_which_settlements_would_schedule_nothing_is_noticed(
    engine: Engine,
) -> None:
    engine.db.execute("alter role payout_worker set session_replication_role = origin")
    assert complaints(engine.db) == {}
    engine.db.execute("alter role payout_worker set session_replication_role = replica")
    assert complaints(engine.db) == {
        "triggers fire": "session_replication_role origin; session_replication_role=replica "
        "of payout_worker in every database"
    }
