"""Applies and rolls back the files of migrations/ with yoyo, the way `yoyo apply` does.

yoyo wants a URI of its own kind; here it is made out of the libpq URI that everything else uses.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict
from yoyo import get_backend, read_migrations


def yoyo_uri(conninfo: str) -> str:
    """Return yoyo's URI, with psycopg 3 as driver, for a libpq URI or connection string.

    Every parameter becomes a query argument, so that sockets, several hosts and options work too.
    """
    parameters = conninfo_to_dict(conninfo)
    return f"postgresql+psycopg:///?{urlencode(parameters)}"


def apply_all(conninfo: str, root: Path) -> list[str]:
    """Apply the migrations that the database lacks, oldest first; return their names.

    Raises psycopg.Error, with a note that names the migration, or yoyo's BadMigration.
    """
    migrations = read_migrations(str(root / "migrations"))
    with get_backend(yoyo_uri(conninfo)) as backend, backend.lock():
        missing = backend.to_apply(migrations)
        # One by one: as a list, yoyo passes over a migration that it cannot read.
        for migration in missing:
            try:
                backend.apply_one(migration)
            except psycopg.Error as error:
                error.add_note(f"while applying {migration.path}")
                raise
        return [migration.id for migration in missing]


def roll_back_all(conninfo: str, root: Path) -> list[str]:
    """Roll back every migration that the database has, newest first; return their names."""
    migrations = read_migrations(str(root / "migrations"))
    with get_backend(yoyo_uri(conninfo)) as backend, backend.lock():
        applied = backend.to_rollback(migrations)
        for migration in applied:
            backend.rollback_one(migration)
        return [migration.id for migration in applied]
