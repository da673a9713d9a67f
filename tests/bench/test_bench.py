"""The benchmarks run, on sizes that say nothing about speed, and print every figure."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from bench import reconcile, settle, stand
from bench.__main__ import main
from payout_engine_sandbox import embedded_postgres
from tests.conftest import Connection


@pytest.mark.proof
@pytest.mark.long
def test_every_figure_is_measured_and_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--rounds", "1", "--seconds", "0", "--transfers", "20", "--payees", "20"]
    # Small and in memory: no assertion depends on the cost of a commit.
    monkeypatch.setattr(embedded_postgres, "BASES_ON_DISK", embedded_postgres.BASES)
    monkeypatch.setattr(settle, "CLIENTS", 2)
    monkeypatch.setattr(stand, "SETTINGS", {"max_wal_size": "1GB"})
    monkeypatch.setattr("sys.argv", ["bench", *sizes, "--latencies", "0"])
    main()
    printed = capsys.readouterr().out
    for figure in ("settle by inserts", "settle by call", "one large settlement", "engine, 0 ms"):
        assert f"  {figure}" in printed
    assert printed.count("ratio") == 10


def test_a_comparison_is_measured_and_printed(
    dsn: Callable[..., str],
    db: Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = SimpleNamespace(
        uri=lambda user=None: dsn("payout_worker" if user else None), pid=os.getpid()
    )
    db.execute(
        "select payout_api.register_payee('seller_' || n, 'acct_' || n) "
        "from generate_series(1, 20) as n"
    )
    monkeypatch.setattr(reconcile, "database", lambda: nullcontext(server))
    monkeypatch.setattr(reconcile, "PAYEES", 20)
    monkeypatch.setattr("sys.argv", ["bench.reconcile", "--transfers", "20"])
    reconcile.main()
    printed = capsys.readouterr().out
    assert f"{20 + reconcile.BY_HAND} transfers at Stripe, {reconcile.BY_HAND} disc" in printed
    assert printed.count("a page") == 2
