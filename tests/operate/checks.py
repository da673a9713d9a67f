"""The rows of the doctor, as a test compares them."""

from __future__ import annotations

from typing import Final, NamedTuple

from psycopg import sql

from tests.conftest import Connection

DOCTOR: Final = "select check_name, status, detail, hint from payout_api.doctor()"
# Logins belong to the server, on which other tests make theirs.
# No worker process runs beside these tests.
OF_THE_SERVER: Final = (
    "each login has one part",
    "no login passes the rights",
    "a worker is alive",
)
VERIFIED: Final = (
    "select * from payout_api.verify_settlements() "
    "union all select * from payout_api.verify_books()"
)
REVOKE_TEMPORARY: Final = "revoke temporary on database {} from public"


class Check(NamedTuple):
    """A row of `payout_api.doctor`."""

    check_name: str
    status: str
    detail: str
    hint: str


def examine(db: Connection) -> list[Check]:
    """Call the doctor, in a database that public may make no temporary objects in.

    A clone does not inherit that right, or its absence, from its template.
    """
    name = sql.Identifier(db.info.dbname)
    db.execute(sql.SQL(REVOKE_TEMPORARY).format(name))
    return [Check(*row) for row in db.execute(DOCTOR)]


def complaints(db: Connection) -> dict[str, str]:
    """Return the detail of each check of this database that is not ok, by its name.

    The checks are those of the doctor, `verify_settlements` and `verify_books`, which has a row
    for each fault.
    """
    found = {
        check.check_name: check.detail
        for check in examine(db)
        if check.status != "ok" and check.check_name not in OF_THE_SERVER
    }
    verified = db.execute(
        "select v.check_name, string_agg(v.detail, ', ' order by v.detail) "
        f"from ({VERIFIED}) as v group by v.check_name"
    )
    return found | dict(verified.fetchall())
