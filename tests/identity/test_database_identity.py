"""The identity of a database has a part that differs in each copy; the owner reads it too."""

from __future__ import annotations

from tests.conftest import Connection
from tests.engine import Engine

HERE = (
    "select system_identifier, timeline_id, database_oid, table_oid from payout.database_identity()"
)


def test_the_identity_is_read_from_the_server(db: Connection) -> None:
    said = db.execute(
        "select s.system_identifier, c.timeline_id, d.oid, 'payout.transfer_states'::regclass::oid "
        "from pg_control_system() as s, pg_control_checkpoint() as c, pg_database as d "
        "where d.datname = current_database()"
    ).fetchall()
    assert db.execute(HERE).fetchall() == said


def test_the_owner_of_the_engine_needs_no_superuser_to_know_it(engine: Engine) -> None:
    as_superuser = engine.db.execute(HERE).fetchall()
    engine.db.execute("set local role payout_owner")
    assert engine.db.execute(HERE).fetchall() == as_superuser


def test_a_read_counts_for_the_database_in_which_it_is_made(engine: Engine) -> None:
    engine.db.execute(
        "insert into payout.stripe_reads (kind, path, queries, worker, begun_at) "
        "values ('events', '/v1/events', '[{}]', 'worker_1', '2030-01-01Z')"
    )
    run = engine.db.execute(
        "select system_identifier, timeline_id, database_oid, table_oid from payout.stripe_reads "
        "where kind = 'events'"
    )
    assert run.fetchall() == engine.db.execute(HERE).fetchall()
