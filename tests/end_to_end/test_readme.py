"""The sessions in the README are real: each is run here, and its output is compared.

After a change of docs/sessions/, UPDATE_README=1 writes the new output into the README.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from payout_engine_sandbox.stripe_double import StripeDouble

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = ROOT / "README.md"
SESSIONS: Final = ("pay", "cheat", "unpaid")


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
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m payout_engine "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def run_psql(session: Path, uri: str, environment: dict[str, str]) -> list[str]:
    """Return the lines that psql prints for a script, which it echoes."""
    with session.open(encoding="utf-8") as script:
        printed = subprocess.run(
            [
                EmbeddedPostgres().bin("psql"),
                "--no-psqlrc",
                "--echo-all",
                "--set=SHOW_CONTEXT=never",
                uri,
            ],
            stdin=script,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
            check=False,
        ).stdout
    return [line.rstrip() for line in printed.splitlines()]


def with_prompts(printed: list[str], script: list[str]) -> Iterator[str]:
    """Yield the lines of a session as a person at psql sees them: each echo after its prompt."""
    script = [line.rstrip() for line in script]
    is_superuser, continues = True, False
    for line in printed:
        if not script or line != script[0]:
            yield line
            continue
        script.pop(0)
        if line.startswith("--"):
            yield line
            continue
        yield f"{'-' if continues else '='}{'#' if is_superuser else '>'} {line}"
        continues = not line.startswith("\\") and not line.endswith(";")
        if re.match(r"(re)?set role\b", line):
            is_superuser = line.startswith("reset")
    assert not script, "the session ended early"


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_prints_the_output_that_the_readme_shows(
    dsn: Callable[..., str], command: Path, name: str
) -> None:
    session = ROOT / "docs" / "sessions" / f"{name}.sql"
    with StripeDouble.in_thread() as double:
        # For the third session: a payee that is not verified, and a currency without funds.
        double.set_account(account_id="acct_2", state="incapable")
        double.set_balance(currency="eur", available_minor=0)
        environment = {
            **os.environ,
            "PATH": f"{command}{os.pathsep}{os.environ['PATH']}",
            "DATABASE_URL": dsn("payout_worker"),
            "STRIPE_API_BASE": double.url,
            "STRIPE_API_KEY": "sk_test_readme",
        }
        printed = run_psql(session, dsn(), environment)
    lines = "\n".join(with_prompts(printed, session.read_text(encoding="utf-8").splitlines()))
    block = "```\n" + re.sub(r"tr_\w+", "tr_1", lines) + "\n```\n"
    if "UPDATE_README" in os.environ:
        text = README.read_text(encoding="utf-8")
        README.write_text(text.replace(section(f"session: {name}"), block), encoding="utf-8")
    assert section(f"session: {name}") == block
