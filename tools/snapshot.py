"""Writes schema.snapshot.sql: the schema as all migrations leave it in an empty database.

The database is made on an embedded server and dumped by that server's own pg_dump, so that the
text depends on the migrations alone.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from payout_engine import migrate
from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres

SNAPSHOT: Final = "schema.snapshot.sql"
SCHEMAS: Final = ("payout", "payout_api")
# The key of \restrict is random in each dump; the versions say nothing about the schema; servers
# since 15.20 stamp each column with pg_attver, which only a pg_dump of their own age leaves out.
UNSTABLE_LINE: Final = re.compile(
    r"^(\\(un)?restrict |-- Dumped (from|by) |ALTER .* SET \(pg_attver=\d+\);$).*\n+",
    flags=re.MULTILINE,
)


def dump(conninfo: str, *, pg_dump: str) -> str:
    """Return the definition of our schemas in a database, without what differs from dump to dump.

    `pg_dump` is the path of a pg_dump not older than the server.
    """
    command = [pg_dump, "--schema-only", "--no-owner", f"--dbname={conninfo}"]
    command += [f"--schema={schema}" for schema in SCHEMAS]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return UNSTABLE_LINE.sub("", text)


def snapshot(root: Path) -> str:
    """Return the text that schema.snapshot.sql should have."""
    with EmbeddedPostgres.start() as server:
        migrate.apply_all(server.uri("postgres"), migrations=root / "migrations")
        return dump(server.uri("postgres"), pg_dump=server.bin("pg_dump"))


def main() -> int:
    """Write the snapshot, or with --check fail when it is not up to date."""
    parser = argparse.ArgumentParser(description="Write schema.snapshot.sql.")
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: here)")
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    arguments = parser.parse_args()
    path: Path = arguments.root / SNAPSHOT
    text = snapshot(arguments.root)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    if text == before:
        print(f"{SNAPSHOT} is up to date")
    elif arguments.check:
        print(f"{SNAPSHOT} is not what the migrations make: run make snapshot", file=sys.stderr)
        return 1
    else:
        path.write_text(text, encoding="utf-8")
        print(f"{SNAPSHOT} written, {text.count(chr(10))} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
