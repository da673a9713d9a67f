"""Copies of the checkout whose migrations say what the files of today say."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
from yoyo import get_backend

from payout_engine import migrate
from tests.conftest import ROOT
from tools import migration, schema_files, snapshot

# These differ from one database to the next.
COLUMNS_OF_A_DATABASE = [
    "database_oid",
    "grown_at",
    "installation_id",
    "marked_at",
    "recorded_at",
    "system_identifier",
    "table_oid",
    "timeline_id",
]


def copy_checkout(root: Path) -> Path:
    """Copy all that migrations are made of and run with, and bring the migrations up to date."""
    for folder in ("migrations", "procedures", "sql", "tools"):
        shutil.copytree(ROOT / folder, root / folder, symlinks=True)
    for file in ("sqitch.plan", "sqitch.conf"):
        shutil.copy(ROOT / file, root / file)
    if migration.refresh(root):
        number = len(migration.migration_names(root)) + 1
        migration.write(root, name=f"{number:04}-next", why="the files of today")
    assert shipped_files(root) == {
        path: migration.digest(text) for path, text in schema_files.source_files(root).items()
    }
    return root


def shipped_files(root: Path) -> dict[str, str]:
    """Return the digest of each file as the migrations leave it."""
    names = migration.migration_names(root)
    return {path: block.seal for path, block in migration.shipped(root, names).items()}


def roll_back_all(uri: str, scripts: Path) -> list[str]:
    """Roll back all migrations of a database as `yoyo rollback` does; return their names."""
    with get_backend(migrate.yoyo_uri(uri)) as backend:
        applied = backend.to_rollback(migrate._read(scripts))
        backend.rollback_migrations(applied)
    return [script.id for script in applied]


def describe(uri: str) -> str:
    """Return the schema of a database with all rows of its tables.

    The catalogue that was recorded last must be that of the database.
    """
    with psycopg.connect(uri) as connection:
        if not connection.execute("select from pg_namespace where nspname = 'payout'").rowcount:
            return ""
        tables = connection.execute(
            "select tablename from pg_tables "
            "where schemaname = 'payout' and tablename <> 'catalogues' order by 1"
        ).fetchall()
        rows = [
            f"{table} {row}"
            for (table,) in tables
            for (row,) in connection.execute(
                f"select (to_jsonb(t) - %s::text[])::text "
                f"from payout.{table} as t order by 1".encode(),
                [COLUMNS_OF_A_DATABASE],
            )
        ]
        differences = connection.execute("select * from payout_api.catalogue_differences()")
        assert differences.fetchall() == []
        return "\n".join([snapshot.describe(connection), *rows])
