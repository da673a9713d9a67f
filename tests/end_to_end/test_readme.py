"""The session in the README is real: it is run here, and what psql prints is compared.

After a change of docs/session.sql, UPDATE_README=1 writes the new output into the README.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from payout_engine_sandbox.stripe_double import StripeDouble
from tests.settle.test_attached_table import FUNCTION, TRIGGER

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = ROOT / "README.md"


def section(name: str) -> str:
    """Return what stands between the two markers of a section of the README."""
    text = README.read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end of {name} -->", text, flags=re.DOTALL)
    assert found is not None, f"README.md has no section {name}"
    return found[1]


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """Give a directory with `payout-engine` in it, as an installation would have."""
    script = tmp_path / "payout-engine"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m payout_engine.cli "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def test_the_session_prints_what_the_readme_says(dsn: Callable[..., str], command: Path) -> None:
    with StripeDouble.in_thread() as double:
        environment = {
            **os.environ,
            "PATH": f"{command}{os.pathsep}{os.environ['PATH']}",
            "DATABASE_URL": dsn("payout_worker"),
            "STRIPE_API_BASE": double.url,
            "STRIPE_API_KEY": "sk_test_readme",
        }
        with (ROOT / "docs" / "session.sql").open(encoding="utf-8") as session:
            printed = subprocess.run(
                [EmbeddedPostgres().bin("psql"), "--no-psqlrc", "--echo-all", dsn()],
                stdin=session,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                text=True,
                check=False,
            ).stdout
    printed = "\n".join(line.rstrip() for line in printed.splitlines())
    block = "```\n" + re.sub(r"tr_\w+", "tr_1", printed) + "\n```\n"
    if "UPDATE_README" in os.environ:
        text = README.read_text(encoding="utf-8")
        README.write_text(text.replace(section("session"), block), encoding="utf-8")
    assert section("session") == block


def test_the_trigger_to_attach_is_the_one_that_is_tested() -> None:
    shown = section("attach")
    for statement in (FUNCTION, TRIGGER):
        assert statement.strip() + ";" in shown
