"""Finds the SQL that `payout-engine migrate` runs: ``migrations/`` and ``sql/``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from payout_engine.errors import UserError

PACKAGE: Final = Path(__file__).resolve().parent


def sql_root(package: Path = PACKAGE) -> Path:
    """Return the folder with the SQL: the installed package, or the checkout around `package`.

    Raises UserError if neither has it.
    """
    for root in (package, package.parents[1]):
        if (root / "sql" / "queue_grants.sql").is_file() and migration_names(root / "migrations"):
            return root
    raise UserError(
        f"{package} lacks its SQL files: install payout-engine again, from its wheel or a checkout"
    )


def migration_names(migrations: Path) -> list[str]:
    """Return the names of the migrations in a folder, oldest first."""
    files = migrations.glob("*.sql")
    return sorted(file.stem for file in files if not file.name.endswith(".rollback.sql"))
