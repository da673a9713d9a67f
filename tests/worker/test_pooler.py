"""A pooler in transaction mode is refused in one sentence; the application's side works through it.

A real pgbouncer, where one is installed: Debian has it, and CI installs it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import PASSWORD, Server, login_name
from tests.worker.fakes import CANARY
from tests.worker.test_cli import refusal_of

PGBOUNCER = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
Connection = psycopg.Connection[Any]

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")


@pytest.fixture
def pooler(
    server: Server, database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], str]]:
    """Give the URI of a role through pgbouncer, in transaction mode if no other is asked for."""
    ignored, _, mode = getattr(request, "param", "").partition("|")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    names = {login_name(role) for role in ("payout_app", "payout_worker", "payout_operator")}
    users = "".join(f'"{name}" "{PASSWORD}"\n' for name in sorted(names))
    (tmp_path / "users.txt").write_text(users, encoding="ascii")
    (tmp_path / "pgbouncer.ini").write_text(
        f"""
[databases]
{database} = host={server.host} port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {tmp_path}/users.txt
pool_mode = {mode or "transaction"}
ignore_startup_parameters = extra_float_digits{ignored}
""",
        encoding="ascii",
    )
    for path in (tmp_path, *tmp_path.parents):
        if (
            path.stat().st_uid == os.getuid()
            and path != path.parent
            and path.is_relative_to("/tmp")
        ):
            path.chmod(0o755)
    assert PGBOUNCER is not None
    with subprocess.Popen(
        [PGBOUNCER, str(tmp_path / "pgbouncer.ini")],
        user="nobody" if os.getuid() == 0 else None,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "pgbouncer does not listen"
                time.sleep(0.05)
        yield lambda role: f"postgresql://{login_name(role)}:{PASSWORD}@127.0.0.1:{port}/{database}"
        process.terminate()


@pytest.mark.parametrize(
    "pooler",
    ["", ", options", ", options|session", ", options|statement"],
    indirect=True,
    ids=["as is", "ignoring", "session", "statement"],
)
@pytest.mark.parametrize(
    "command", [["worker"], ["doctor"], ["execute", "1"], ["reconcile"], ["migrate"]]
)
def test_a_worker_refuses_a_pooler_in_one_sentence(
    pooler: Callable[[str], str],
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It would repeat a warning for ever, or lose its settings silently (FIELD B5)."""
    monkeypatch.setenv("DATABASE_URL", pooler("payout_worker"))
    monkeypatch.setenv("STRIPE_API_KEY", CANARY)
    told = refusal_of(command, capsys)
    assert told.startswith(
        "payout-engine: a pooler (such as pgbouncer in transaction mode) stands "
    )
    assert len(told.splitlines()) == 1


def test_the_application_settles_and_reads_through_a_pooler(pooler: Callable[[str], str]) -> None:
    with psycopg.connect(
        pooler("payout_app"), autocommit=True, prepare_threshold=None
    ) as connection:
        for number in range(1, 21):
            with connection.transaction():
                connection.execute(
                    "select payout_api.register_payee(%s, %s)",
                    [f"seller_{number}", f"acct_{number}"],
                )
                connection.execute(
                    "insert into payout.settlements (settlement_id, currency, total_minor) "
                    "values (%s, 'usd', 700)",
                    [f"set_{number}"],
                )
                connection.execute(
                    "insert into payout.settlement_lines values (%s, '1', %s, 700)",
                    [f"set_{number}", f"seller_{number}"],
                )
                connection.execute(
                    "update payout.settlements set state = 'complete' where settlement_id = %s",
                    [f"set_{number}"],
                )
        told = connection.execute(
            "select count(*) from payout_api.payout_status where status = 'scheduled'"
        ).fetchone()
        assert told == (20,)
        assert connection.execute("select * from payout_api.outcomes_since(0)").fetchall() == []
