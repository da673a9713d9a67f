"""Dumps of a database and their restoration, by pg_dump and psql."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres


def dump(uri: str, path: Path, *options: str) -> Path:
    """Write a plain dump of a database to a file, and return that."""
    command = [EmbeddedPostgres().bin("pg_dump"), f"--dbname={uri}", f"--file={path}", *options]
    subprocess.run(command, check=True)
    return path


def restore(path: Path, uri: str, **settings: str) -> None:
    """Run a dump in a database; `settings` are those of the session.

    An error does not stop it: a server older than pg_dump does not know all of its settings.
    """
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    subprocess.run(
        [EmbeddedPostgres().bin("psql"), "--no-psqlrc", "--quiet", f"--file={path}", uri],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PGOPTIONS": options},
    )
