"""psql as operators use it: each query fits in 120 columns, with amounts to read."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from typing import Final

import pytest

from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from tests.conftest import ROOT
from tests.engine import Engine, success, unfunded
from tests.settle.marketplace import complete, line

PSQLRC: Final = ROOT / "sql/ops/psqlrc"
QUERIES: Final = re.findall(r"^\\set ([a-z_]+) '", PSQLRC.read_text(encoding="utf-8"), re.MULTILINE)
COLUMNS: Final = 120


@pytest.fixture
def busy(shared_engine: Engine) -> Engine:
    """An engine with transfers in many states, and long names."""
    engine = shared_engine
    engine.settle("seller_1", "seller_2", settlement_id="order-2026-11-29-0000001042")
    engine.settle("seller_3", settlement_id="a-settlement-" + 150 * "x", currency="jpy")
    engine.settle("seller_4", settlement_id="set_4", currency="kwd", amount_minor=10**9)
    right, wrong, poor, _ = engine.claim()
    engine.report(success(right), success(wrong, amount_minor=1), unfunded(poor))
    engine.app.execute("select payout_api.register_payee('newcomer')")
    complete(engine.app, "set_5", [line("1", "newcomer", 123_456_789)])
    engine.app.execute("select payout_api.report_edit('set_5', 'usd', '[]')")
    engine.hold("payee", "seller_4")
    return engine


def run(dsn: str, query: str) -> list[str]:
    done = subprocess.run(
        [EmbeddedPostgres().bin("psql"), dsn, "--quiet"],
        input=f"\\pset columns {COLUMNS}\n\\pset pager off\n:{query}\n",
        env={**os.environ, "PSQLRC": str(PSQLRC)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()[1:]


def test_each_query_runs_and_fits(busy: Engine, dsn: Callable[..., str]) -> None:
    assert len(QUERIES) > 10
    for query in QUERIES:
        printed = run(dsn("payout_operator"), query)
        assert [text for text in printed if len(text) > COLUMNS] == [], query


def test_amounts_are_those_that_people_read(busy: Engine, dsn: Callable[..., str]) -> None:
    shown = {
        name: "\n".join(run(dsn("payout_operator"), name))
        for name in ("overview", "unpaid", "alarms", "balances", "books")
    }
    assert re.search(r"paid +│ +1 │ 15\.00 usd ", shown["overview"])
    for amount in ("1500 jpy", "1000000.000 kwd", "1234567.89 usd"):
        assert f"│ {amount} " in shown["unpaid"]
    assert re.search(r"ours +│ 15\.00 usd *\ntheirs +│ 0\.01 usd", shown["alarms"])
    assert re.search(r"ours +│ 1234567\.89 usd *\ntheirs +│ -", shown["alarms"])
    assert re.search(r"stripe_balance +│ usd +│ +0\.00 │ +15\.00 │ +15\.00", shown["balances"])
    assert re.search(r"usd +│ +0\.00 │ +1234582\.89 │ +1234582\.89", shown["books"])
