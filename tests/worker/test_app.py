"""The worker as a process: it pays settlements, and leaves in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import psycopg
import pytest

from payout_engine_sandbox.stripe_double import Latch, StripeDouble
from tests.conftest import PASSWORD, ROOT, login_name
from tests.crash.workers import CANARY, OURS, PLAIN, Worker

Connection = psycopg.Connection[Any]
StartWorker = Callable[..., Worker]
SETTLE = """
select payout_api.register_payee(p_payee_id => 'seller_1', p_stripe_account_id => 'acct_1');
select payout_api.complete_settlement(
    p_settlement_id => %s, p_currency => 'usd',
    p_lines => '[{"line_id": "1", "payee_id": "seller_1", "amount_minor": 1500}]')
"""


@pytest.fixture
def double() -> Iterator[StripeDouble]:
    with StripeDouble.in_thread() as double:
        yield double


@pytest.fixture
def uri(dsn: Callable[..., str]) -> str:
    return dsn()


@pytest.fixture
def start(launch: Callable[..., Worker], double: StripeDouble) -> StartWorker:
    """Run a worker on a database; see `launch`."""

    def start_one(uri: str, command: tuple[str, ...] = OURS, *, is_fresh: bool = False) -> Worker:
        return launch(command, is_fresh=is_fresh, database_url=uri, stripe=double.url)

    return start_one


def settle(uri: str, settlement_id: str) -> None:
    with psycopg.connect(uri) as connection:
        for statement in SETTLE.split(";\n"):
            parameters = [settlement_id] if "%s" in statement else None
            connection.execute(statement.encode(), parameters)


def wait_until_paid(uri: str, count: int, *, seconds: float = 30) -> None:
    """Return when so many transfers are paid."""
    query = "select count(*) from payout.transfer_states where state = 'paid'"
    deadline = time.monotonic() + seconds
    with psycopg.connect(uri, autocommit=True) as connection:
        while (found := connection.execute(query).fetchone()) != (count,):
            assert time.monotonic() < deadline, f"paid: {found}"
            time.sleep(0.02)


def wakeup_jobs(uri: str) -> int:
    query = "select from procrastinate.procrastinate_jobs where task_name = 'payout.execute'"
    with psycopg.connect(uri) as connection:
        return connection.execute(query).rowcount


def open_transactions(uri: str) -> list[Any]:
    query = (
        "select application_name from pg_stat_activity"
        " where datname = current_database() and state like 'idle in transaction%'"
    )
    with psycopg.connect(uri) as connection:
        return connection.execute(query).fetchall()


def stop(worker: Worker) -> None:
    """End a worker with SIGTERM; it leaves in order, without a failure in its log."""
    worker.stop()
    assert "Traceback" not in worker.log()


@pytest.mark.parametrize(
    "command",
    [OURS, (*OURS, "--log-level", "DEBUG"), PLAIN],
    ids=["payout-engine", "debug", "procrastinate"],
)
def test_a_settlement_is_paid_soon_and_the_worker_leaves_in_order(
    command: tuple[str, ...], uri: str, double: StripeDouble, start: StartWorker
) -> None:
    worker = start(uri, command, is_fresh=True)
    settle(uri, "set_1")
    wait_until_paid(uri, 1)
    settle(uri, "set_2")
    wait_until_paid(uri, 2)
    stop(worker)
    assert len(double.transfers()) == 2
    assert wakeup_jobs(uri) == 0


def test_the_log_begins_with_version_database_account_and_mode(
    dsn: Callable[..., str], double: StripeDouble, start: StartWorker
) -> None:
    uri = dsn("payout_worker")
    at = psycopg.conninfo.conninfo_to_dict(uri)
    worker = start(uri)
    worker.wait_for_log(" mode\n")
    first, *_ = worker.log().splitlines()
    assert first.endswith(
        f" INFO payout_engine.app: payout-engine {version('payout-engine')}: "
        f"database {at['dbname']} at {at['host']}:{at['port']} as {login_name('payout_worker')}, "
        "Stripe account acct_platform in test mode"
    )
    assert PASSWORD not in worker.log()
    stop(worker)


def test_the_log_says_when_stripe_does_not_name_the_account(
    uri: str, double: StripeDouble, start: StartWorker
) -> None:
    double.revoke_key(api_key=CANARY)
    worker = start(uri)
    worker.wait_for_log(" mode\n")
    assert "Stripe account unknown in test mode" in worker.log()


def test_a_login_that_is_no_member_of_payout_worker_ends_the_worker_with_one_line(
    dsn: Callable[..., str], start: StartWorker
) -> None:
    worker = start(dsn("payout_app"))
    assert worker.wait() == 2
    login = login_name("payout_app")
    assert worker.log() == (
        f"payout-engine: login {login} is no member of payout_worker: "
        f"grant payout_worker to {login}\n"
    )


def test_a_database_that_was_never_migrated_ends_the_worker_with_one_line(
    empty_database: Callable[[], str], start: StartWorker
) -> None:
    worker = start(empty_database())
    assert worker.wait() == 2
    assert worker.log().endswith(" holds no payout engine: run payout-engine migrate\n")
    assert len(worker.log().splitlines()) == 1


def test_a_worker_that_waits_for_its_database_leaves_at_sigterm(
    start: StartWorker,
) -> None:
    worker = start("postgresql://u@127.0.0.1:1/none")
    worker.wait_for_log("error connecting")
    worker.terminate()
    assert worker.wait() == 0


def test_a_request_under_way_is_finished_and_reported_before_the_worker_leaves(
    uri: str, double: StripeDouble, start: StartWorker
) -> None:
    latch = Latch()
    double.inject("answer_delayed", hold_after=latch)
    worker = start(uri)
    settle(uri, "set_1")
    latch.wait_until_reached()
    worker.terminate()
    worker.wait_for_log("finishing the requests under way")
    settle(uri, "set_2")
    assert open_transactions(uri) == []
    latch.open()
    assert worker.wait() == 0
    with psycopg.connect(uri) as connection:
        rows = connection.execute(
            "select t.settlement_id, s.state from payout.transfer_states as s"
            " join payout.payout_transfers as t using (payout_transfer_id) order by 1"
        ).fetchall()
    assert rows == [("set_1", "paid"), ("set_2", "scheduled")]


def test_a_second_signal_ends_the_worker_at_once(
    uri: str, double: StripeDouble, start: StartWorker
) -> None:
    latch = Latch()
    double.inject("answer_delayed", hold_after=latch)
    worker = start(uri)
    settle(uri, "set_1")
    latch.wait_until_reached()
    worker.terminate()
    worker.wait_for_log("finishing the requests under way")
    worker.terminate()
    assert worker.wait(seconds=5) == 128 + signal.SIGTERM
    latch.open()


def test_the_sweep_alone_pays_when_the_queue_has_lost_its_wakeups(
    uri: str, double: StripeDouble, start: StartWorker
) -> None:
    settle(uri, "set_1")
    with psycopg.connect(uri) as connection:
        connection.execute("truncate procrastinate.procrastinate_jobs cascade")
    worker = start(uri)
    wait_until_paid(uri, 1)
    stop(worker)
    assert len(double.transfers()) == 1


def test_a_worker_that_was_stopped_and_continued_lives_on_and_sends_nothing_twice(
    uri: str, double: StripeDouble, start: StartWorker
) -> None:
    latch = Latch()
    double.inject("answer_delayed", hold_after=latch)
    worker = start(uri)
    settle(uri, "set_1")
    latch.wait_until_reached()
    worker.freeze()
    latch.open()
    worker.thaw()
    wait_until_paid(uri, 1)
    stop(worker)
    assert len(double.sends) == 1


def test_importing_the_app_needs_no_environment() -> None:
    code = "import payout_engine.tasks; print(sorted(payout_engine.app.app.tasks))"
    environment = {"PATH": os.environ["PATH"]}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert "payout.execute" in run.stdout
    assert "payout.sweep" in run.stdout


def test_the_plain_command_names_the_missing_setting() -> None:
    environment = {"PATH": os.environ["PATH"]}
    run = subprocess.run(
        [sys.executable, *PLAIN], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 1
    assert "DATABASE_URL is not set" in run.stderr
    assert "Traceback" not in run.stderr
