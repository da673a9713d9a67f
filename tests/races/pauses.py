"""A pause in the middle of a statement, made by a lock that the test holds."""

from __future__ import annotations

from typing import Final

SLOW: Final = "set application_name = 'slow'"
# A slow session waits each time that it reads its identity, after the snapshot was taken.
PAUSE: Final = (
    "alter function payout.database_identity() rename to database_identity_at_once; "
    "create function payout.database_identity(out system_identifier bigint, "
    "out timeline_id integer, out database_oid oid, out table_oid oid) language plpgsql as $$ "
    "begin if current_setting('application_name') = 'slow' then "
    "perform pg_advisory_xact_lock(1); end if; "
    "select * into system_identifier, timeline_id, database_oid, table_oid "
    "from payout.database_identity_at_once(); end $$; "
    "select pg_advisory_lock(1)"
)
GO_ON: Final = "select pg_advisory_unlock(1)"
