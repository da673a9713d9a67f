"""The worker as a process: it pays settlements, and leaves in order."""

from __future__ import annotations

import json
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

from payout_engine_sandbox.stripe_double import Fault, Latch, StripeDouble
from tests.conftest import PASSWORD, ROOT, login_name
from tests.crash.workers import CANARY, OURS, PLAIN, Worker
from tests.engine import Engine

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
    command: tuple[str, ...],
    uri: str,
    dsn: Callable[..., str],
    double: StripeDouble,
    start: StartWorker,
) -> None:
    worker = start(uri, command, is_fresh=True)
    settle(uri, "set_1")
    wait_until_paid(uri, 1)
    settle(uri, "set_2")
    wait_until_paid(uri, 2)
    stop(worker)
    assert len(double.transfers()) == 2
    assert wakeup_jobs(uri) == 0
    with psycopg.connect(dsn()) as connection:  # within the minute for which it seemed alive
        alive = connection.execute("select is_alive from payout_api.workers").fetchall()
    assert alive == [(False,)]


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


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_stripe_refuses_at_the_start_ends_the_worker_with_one_sentence(
    uri: str, double: StripeDouble, start: StartWorker, status: int
) -> None:
    """To start it again does not help: exit code 2, on which a service manager gives up."""
    double.inject(Fault(method="GET", path="/v1/account", effect="none", status=status, times=None))
    settle(uri, "set_1")
    worker = start(uri)
    assert worker.wait() == 2
    [sentence] = [line for line in worker.log().splitlines() if line.startswith("payout-engine: ")]
    assert f" {worker.pid} stops, because Stripe refuses its key: " in sentence
    assert f"HTTP status {status}" in sentence
    assert CANARY not in worker.log()
    assert double.sends == []


@pytest.mark.parametrize("status", [401, 500])
def test_one_refusal_among_answers_that_take_the_key_stops_no_worker(
    uri: str, double: StripeDouble, start: StartWorker, status: int
) -> None:
    worker = start(uri)
    worker.wait_for_log(" mode\n")
    double.inject(Fault(effect="none", status=status))
    settle(uri, "set_1")
    double.wait_for_requests(1, where=lambda request: request.status == status)
    double.wait_for_requests(
        2 if status == 401 else 1, where=lambda request: request.path == "/v1/account"
    )
    assert worker.is_alive
    stop(worker)


def test_a_worker_whose_key_is_revoked_stops_and_is_named_while_the_other_pays(
    uri: str, double: StripeDouble, start: StartWorker, launch: Callable[..., Worker]
) -> None:
    """FIELD B12: it paused the whole fleet, again and again, and nothing told which it was."""
    old = start(uri)
    old.wait_for_log(" mode\n")
    fresh = launch(database_url=uri, stripe=double.url, STRIPE_API_KEY="sk_test_the_new_one")
    fresh.wait_for_log(" mode\n")
    fresh.freeze()
    double.revoke_key(api_key=CANARY)
    settle(uri, "set_1")
    assert old.wait() == 2
    fresh.thaw()
    assert f" {old.pid} stops, because Stripe refuses its key: " in old.log()
    settle(uri, "set_2")
    with psycopg.connect(uri, autocommit=True) as connection:
        held = connection.execute(
            "select scope, subject from payout.holds where released_at is null"
        ).fetchall()
        assert [(scope, subject.split()[-1]) for scope, subject in held] == [
            ("worker", str(old.pid))
        ]
        connection.execute(
            "update payout.transfer_states set next_attempt_at = now() where state = 'retry_wait'"
        )
    wait_until_paid(uri, 2)
    stop(fresh)


def test_a_json_line_about_an_answer_names_transfer_settlement_attempt_and_request(
    uri: str, double: StripeDouble, start: StartWorker
) -> None:
    for number, status in ((1, 429), (2, 409)):
        fault = Fault(effect="none", status=status, headers={"Request-Id": f"req_sent_{number}"})
        double.inject(fault)
    worker = start(uri, (*OURS, "--log-level", "DEBUG", "--log-format", "json"))
    settle(uri, "set_1")
    with psycopg.connect(uri, autocommit=True) as connection:
        engine = Engine(connection)
        for state in ("retry_wait", "unknown"):
            worker.wait_for_log(f'"state": "{state}"')
            engine.make_due()
            engine.sweep()
    wait_until_paid(uri, 1)
    stop(worker)
    lines = [json.loads(line) for line in worker.log().splitlines()]
    told = [line for line in lines if line["event"] == "outcome"]
    found = [
        (line["payout_transfer_id"], line["generation"], line["attempt"], line["settlement_id"])
        for line in told
    ]
    assert found == [(1, 1, attempt, "set_1") for attempt in (1, 2, 3)]
    assert [line["state"] for line in told] == ["retry_wait", "unknown", "paid"]
    assert {line["verdict"] for line in told} == {"ok"}
    assert [line["stripe_request_id"] for line in told[:2]] == ["req_sent_1", "req_sent_2"]
    assert told[2]["stripe_request_id"].startswith("req_")
    events = {line["event"] for line in lines if line["logger"].startswith("procrastinate")}
    assert {"start_worker", "start_job", "job_success"} <= events


def test_an_alarm_in_json_names_its_transfer(
    uri: str, double: StripeDouble, start: StartWorker
) -> None:
    double.inject(Fault(effect="none", status=400, error_code="parameter_missing"))
    worker = start(uri, (*OURS, "--log-format", "json"))
    settle(uri, "set_1")
    worker.wait_for_log("payout alarm: ")
    stop(worker)
    lines = [json.loads(line) for line in worker.log().splitlines()]
    [alarm] = [line for line in lines if line["event"] == "alarm"]
    assert (alarm["level"], alarm["payout_transfer_id"]) == ("ERROR", 1)


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


def test_a_login_that_may_not_call_the_functions_ends_the_worker_with_one_line(
    dsn: Callable[..., str], db: Connection, start: StartWorker
) -> None:
    """A restore without rights leaves roles and memberships as they were."""
    db.execute(
        "revoke execute on function payout_api.heartbeat(text, text, boolean) from payout_worker"
    )
    worker = start(dsn("payout_worker"))
    assert worker.wait() == 2
    assert worker.log().endswith("payout-engine: permission denied for function heartbeat\n")


def test_a_fault_of_ours_ends_the_worker_with_exit_code_1_and_its_traceback(
    uri: str, launch: Callable[..., Worker]
) -> None:
    code = (
        "import os\n"
        "from payout_engine import cli\n"
        "async def fail(settings): raise RuntimeError('with ' + os.environ['STRIPE_API_KEY'])\n"
        "cli.run_until_stopped = fail\n"
        "cli.main(['worker'])"
    )
    worker = launch(("-c", code), database_url=uri, stripe="http://127.0.0.1:1")
    assert worker.wait() == 1
    assert "CRITICAL payout_engine.cli: the worker ends by a fault\nTraceback" in worker.log()
    assert worker.log().endswith("RuntimeError: with ***\n")


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
    code = "import payout_engine.app; print(sorted(payout_engine.app.app.tasks))"
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
