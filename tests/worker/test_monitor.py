"""A worker tells monitors that it is alive, that it is ready, and its metrics; nothing secret."""

from __future__ import annotations

import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from payout_engine import cli, metrics
from payout_engine.errors import UserError
from payout_engine.settings import http_address
from payout_engine_sandbox.stripe_double import StripeDouble
from tests.crash.workers import CANARY, OURS, Worker, wait_until
from tests.engine import Engine
from tests.worker.fakes import make_order

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
# Labels whose values are few, whatever happens.
LABELS: Final = {
    "answer", "currency", "for", "function", "kind", "le", "reason", "release", "result", "scope",
    "state", "verdict",
}  # fmt: skip


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


def get(port: int, path: str) -> tuple[int, str]:
    """Return status and body; 0 while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def scrape(port: int) -> Samples:
    """Return each sample by its name and labels, from one scrape."""
    _, text = get(port, "/metrics")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(port: int, name: str, **labels: str) -> float | None:
    return scrape(port).get((name, tuple(sorted(labels.items()))))


@pytest.fixture
def double() -> Iterator[StripeDouble]:
    with StripeDouble.in_thread() as double:
        yield double


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def start(
    shared_engine: Engine,
    dsn: Callable[..., str],
    launch: Callable[..., Worker],
    double: StripeDouble,
) -> Callable[..., Worker]:
    """Run a worker that serves metrics, on the test's database."""

    def start_one(port: int, **changes: str) -> Worker:
        command = (*OURS, "--http", f"127.0.0.1:{port}")
        url = changes.pop("database_url", dsn("payout_worker"))
        return launch(command, database_url=url, stripe=double.url, **changes)

    return start_one


def test_a_worker_tells_what_it_did_and_the_gauges_of_the_engine(
    shared_engine: Engine,
    double: StripeDouble,
    start: Callable[..., Worker],
    port: int,
    tmp_path: Path,
) -> None:
    alarm = tmp_path / "alarm.json"
    double.set_balance(currency="eur", available_minor=0)
    shared_engine.settle("seller_1", "seller_2")
    shared_engine.settle("seller_3", settlement_id="set_2", currency="eur")
    worker = start(port, PAYOUT_ALARM_COMMAND=f"tee {alarm}")
    wait_until(lambda: get(port, "/readyz") == (200, "ready\n"), tell=worker.log)
    assert get(port, "/healthz") == (200, "alive\n")
    wait_until(lambda: value(port, "payout_reports_total", verdict="ok", state="paid") == 2)
    wait_until(lambda: value(port, "payout_reports_total", verdict="ok", state="failed") == 1)
    assert value(port, "payout_sends_total", answer="2xx") == 2
    assert value(port, "payout_sends_total", answer="4xx") == 1
    assert value(port, "payout_claimed_transfers_total") == 3
    assert value(port, "payout_alarms_total") == 1
    wait_until(lambda: value(port, "payout_alarm_deliveries_total", result="delivered") == 1)
    assert '"alarm": "balance_insufficient"' in alarm.read_text(encoding="utf-8")
    assert value(port, "payout_settlement_to_stripe_seconds_count") == 3
    assert value(port, "payout_settlement_to_paid_seconds_count") == 2
    assert value(port, "payout_sends_under_way") == 0
    assert value(port, "payout_unreported_outcomes") == 0
    assert value(port, "payout_worker_ready") == 1
    gauge = ("payout_open_reasons", {"state": "failed", "reason": "balance_insufficient"})
    wait_until(lambda: value(port, gauge[0], **gauge[1]) == 1, tell=lambda: scrape(port))
    assert value(port, "payout_workers", release="1.0.0.dev0") == 1
    text = get(port, "/metrics")[1]
    used = {name for _, labels in scrape(port) for name, _ in labels}
    assert used <= LABELS
    for secret in (CANARY, "seller_", "acct_", "tr_", "set_2", "postgresql:"):
        assert secret not in text
    assert get(port, "/")[0] == 404
    worker.stop()
    assert get(port, "/healthz") == (0, "")


def test_one_of_two_workers_tells_the_gauges(start: Callable[..., Worker], port: int) -> None:
    ports = (port, free_port())
    workers = [start(each) for each in ports]

    def tell() -> list[bool]:
        return [value(each, "payout_due_transfers") is not None for each in ports]

    wait_until(lambda: sum(tell()) == 1)
    for _ in range(5):
        assert sum(tell()) == 1
        time.sleep(0.2)
    for worker in workers:
        worker.stop()


def test_a_worker_without_its_database_is_alive_and_not_ready(
    start: Callable[..., Worker], port: int
) -> None:
    worker = start(port, database_url=f"postgresql://x@127.0.0.1:{free_port()}/x")
    wait_until(lambda: get(port, "/healthz")[0] == 200, tell=worker.log)
    assert get(port, "/readyz") == (503, "database: no connection to it yet\n")
    assert value(port, "payout_worker_ready") == 0
    worker.stop()


def test_a_worker_to_which_stripe_does_not_answer_is_not_ready(
    shared_engine: Engine, double: StripeDouble, start: Callable[..., Worker], port: int
) -> None:
    shared_engine.settle()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()[1]
    worker = start(port, STRIPE_API_BASE=f"http://127.0.0.1:{nobody}")
    wait_until(lambda: "claims: " in get(port, "/readyz")[1], tell=lambda: get(port, "/readyz"))
    problem = get(port, "/readyz")[1]
    assert problem.startswith("claims: ")
    assert CANARY not in problem
    assert value(port, "payout_claims_total", result="failed")
    worker.kill()


def test_a_worker_on_hold_is_not_ready(
    shared_engine: Engine, start: Callable[..., Worker], port: int
) -> None:
    worker = start(port)
    wait_until(lambda: get(port, "/readyz")[0] == 200, tell=worker.log)
    shared_engine.db.execute(
        "select payout.place_hold('worker', (select worker from payout.workers), 'a test')"
    )
    wait_until(lambda: get(port, "/readyz")[0] == 503)
    held = "worker: Stripe refused its key, and it is on hold\n"
    assert get(port, "/readyz") == (503, held)
    worker.stop()


def test_a_worker_that_is_being_stopped_says_so_while_it_finishes(
    shared_engine: Engine, double: StripeDouble, start: Callable[..., Worker], port: int
) -> None:
    worker = start(port)
    wait_until(lambda: get(port, "/readyz")[0] == 200, tell=worker.log)
    double.set_latency(seconds=4.0)
    shared_engine.settle()
    wait_until(lambda: value(port, "payout_sends_under_way") == 1)
    worker.terminate()
    wait_until(lambda: get(port, "/readyz") == (503, "process: it is being stopped\n"))
    assert value(port, "payout_sends_under_way") == 1
    assert worker.wait() == 0
    assert shared_engine.progress(1).state == "paid"


def test_a_port_that_is_taken_ends_the_worker_with_a_sentence(
    start: Callable[..., Worker], port: int
) -> None:
    with socket.create_server(("127.0.0.1", port)):
        worker = start(port)
        assert worker.wait() == 2
    assert re.fullmatch(
        rf"payout-engine: --http 127\.0\.0\.1:{port} cannot be had: .*; give an address of this "
        "machine and a port that is free\n",
        worker.log(),
    )


def test_an_address_is_a_host_and_a_port() -> None:
    assert http_address("127.0.0.1:9464") == ("127.0.0.1", 9464)
    assert http_address("[::1]:0") == ("::1", 0)
    for text in ("9464", ":9464", "127.0.0.1:", "127.0.0.1:99999", "http://x:1"):
        with pytest.raises(UserError, match="--http must be a host and a port"):
            http_address(text)


def test_a_wrong_address_is_told_in_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql:///x")
    monkeypatch.setenv("STRIPE_API_KEY", CANARY)
    monkeypatch.delenv("STRIPE_API_KEY_FILE", raising=False)
    assert cli.main(["worker", "--http", "9464"]) == 2
    assert capsys.readouterr().err == (
        "payout-engine: --http must be a host and a port, for example 127.0.0.1:9464\n"
    )


def test_gauges_that_are_old_are_told_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    gauges = metrics.EngineGauges()
    gauges.tell([{"metric": "payout_x", "meaning": "A test.", "labels": {}, "value": 1.0}])
    assert [family.name for family in gauges.collect()] == ["payout_x"]
    monkeypatch.setattr(metrics, "GAUGES_LAST_SECONDS", 0.0)
    assert list(gauges.collect()) == []


def test_counting_costs_a_transfer_next_to_nothing() -> None:
    """Some 20 microseconds, beside a request to Stripe of 100,000 and more."""
    order = make_order()
    outcome = {**order, "signal": "response", "http_status": 200}
    report = {**order, "verdict": "ok", "state": "paid"}
    began_at = time.process_time()
    for _ in range(1000):
        metrics.note_send(order, due_at=0.0, now=1.0)
        with metrics.UNDER_WAY.track_inprogress():
            pass
        metrics.note_answer(outcome, seconds=0.1)  # type: ignore[arg-type]
        metrics.note_report(report, due_at=0.0, now=2.0)  # type: ignore[arg-type]
    assert (time.process_time() - began_at) / 1000 < 0.0005
