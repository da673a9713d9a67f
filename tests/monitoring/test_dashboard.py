"""Every query of the dashboard is answered by a real Prometheus that scraped a real worker."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from payout_engine_sandbox.stripe_double import StripeDouble
from tests.conftest import ROOT
from tests.crash.workers import OURS, Worker, wait_until
from tests.engine import Engine
from tests.monitoring.programs import Prometheus, prometheus
from tests.worker.test_monitor import free_port, get

DASHBOARD: Final = json.loads((ROOT / "deploy/grafana/payouts.json").read_text(encoding="utf-8"))
SUBSTITUTES: Final = {"$job": "payouts", "$__rate_interval": "20s"}
OPEN: Final = """
select o.state::text, o.currency::text, o.amount::double precision
from payout_api.overview as o
where o.state not in ('paid', 'cancelled', 'settled_outside')
"""


def queries() -> list[tuple[str, str]]:
    """Return title and expression of each query, as Grafana would send it."""
    found = []
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name, text in SUBSTITUTES.items():
                expression = expression.replace(name, text)
            found.append((panel["title"], expression))
    return found


def test_the_dashboard_is_whole() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(queries()) > 30
    for title, expression in queries():
        assert "$" not in expression, title
        assert 'job="payouts"' in expression, title
    covered: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & covered, panel["title"]
        assert at["x"] + at["w"] <= 24
        covered |= cells


@pytest.fixture
def double() -> Iterator[StripeDouble]:
    with StripeDouble.in_thread() as double:
        double.set_balance(currency="eur", available_minor=0)
        yield double


@pytest.mark.proof
@pytest.mark.long
def test_a_real_prometheus_answers_every_query_with_the_numbers_of_the_views(
    shared_engine: Engine,
    dsn: Callable[..., str],
    launch: Callable[..., Worker],
    double: StripeDouble,
    tmp_path: Path,
) -> None:
    engine, port = shared_engine, free_port()
    worker = launch(
        (*OURS, "--http", f"127.0.0.1:{port}"),
        database_url=dsn("payout_worker"),
        stripe=double.url,
    )
    wait_until(lambda: get(port, "/readyz")[0] == 200, tell=worker.log)
    with prometheus(tmp_path, port) as server:
        wait_until(lambda: server.values("payout_worker_ready") == {(): 1})
        # Counters are seen to rise only from a value that was scraped before.
        engine.settle("seller_1", "seller_2", "seller_3")
        engine.settle("seller_4", settlement_id="set_eur", currency="eur", amount_minor=700)
        engine.settle("seller_5", settlement_id="later", pay_after="2100-01-01")
        engine.hold("payee", "seller_5")
        wait_until(lambda: server.values('payout_reports_total{state="paid"}') == {(): 3})
        wait_until(lambda: server.values('payout_open_amount{state="failed"}') == {(): 7.0})
        check_queries(server)
        check_numbers(server, engine)
        worker.stop()
        wait_until(lambda: server.values("absent(payout_worker_info)") == {(): 1})
        wait_until(lambda: "PayoutWorkersAbsent" in pending(server), tell=lambda: pending(server))


def check_queries(server: Prometheus) -> None:
    """Check that each query gives a number at least, within some seconds."""
    for title, expression in queries():
        wait_until(
            lambda expression=expression: server.values(expression),  # type: ignore[misc]
            tell=lambda title=title, expression=expression: (title, expression),  # type: ignore[misc]
        )


def check_numbers(server: Prometheus, engine: Engine) -> None:
    """Check that the dashboard's money, holds and workers are the views'."""
    shown = dict(queries())
    rows = engine.db.execute(OPEN).fetchall()
    money = {(state, currency): amount for state, currency, amount in rows}
    assert money == {("failed", "eur"): 7.0, ("scheduled", "usd"): 15.0}
    assert server.values(shown["Open money"], "state", "currency") == money
    assert server.values(shown["Open holds"]) == {(): 1}
    assert server.values(shown["Workers alive"]) == {(): 1}
    assert server.values(shown["Open discrepancies"]) == {(): 0}
    reasons: Any = server.values(shown["Reasons of failed, parked and waiting transfers"], "reason")
    assert reasons == {("balance_insufficient",): 1}


def pending(server: Prometheus) -> set[str]:
    """Return the alerts that are about to fire, or do."""
    return {alert["labels"]["alertname"] for alert in server.get("alerts")["data"]["alerts"]}


def test_the_dashboard_names_no_installation() -> None:
    text = json.dumps(DASHBOARD)
    assert not re.search(r"https?://|127\.0\.0\.1", text)
