"""Adoptions of other databases, as a test writes them, and the answer of the identity check."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import sql

from tests.conftest import Connection

CLAIM: Final = "select * from payout_api.claim_transfers(p_worker => 'worker_1')"
PARTS: Final = ("system_identifier", "timeline_id", "database_oid", "table_oid")
CLOSED: Final = "no transfer is handed out: this database is not the one that was adopted"


def adopted_elsewhere(db: Connection, part: str) -> None:
    """Let the newest adoption be of a database that differs from this one in one part."""
    columns = sql.SQL(", ").join(map(sql.Identifier, PARTS))
    here = db.execute(
        sql.SQL("select {} from payout.database_identity()").format(columns)
    ).fetchone()
    assert here is not None
    identity = dict(zip(PARTS, here, strict=True))
    identity[part] += 1
    db.execute(
        sql.SQL(
            "insert into payout.adoptions ({}, reason) values ({}, 'adopted elsewhere')"
        ).format(columns, sql.SQL(", ").join(map(sql.Placeholder, PARTS))),
        identity,
    )


def refused_claim(connection: Connection) -> psycopg.Error | None:
    """Claim, undo it, and return the error with which it was refused; None when it was not."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(CLAIM)
    except psycopg.Error as error:
        return error
    return None


def identity_problem(db: Connection) -> str | None:
    """Return the problem that the identity check finds, or None."""
    row = db.execute("select payout.identity_problem()").fetchone()
    assert row is not None
    problem: str | None = row[0]
    return problem


def adoptions(db: Connection) -> list[tuple[bool, bool, bool, str, str]]:
    """Return of each adoption: an identity, a run, an installation or not; reason and login."""
    return db.execute(
        "select system_identifier is not null, read_id is not null, is_installation, "
        "reason, recorded_by from payout.adoptions order by adoption_id"
    ).fetchall()
