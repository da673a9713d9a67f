"""Transfers a second of one worker process, beside plain procrastinate."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass

import psycopg

from bench import plain_procrastinate
from bench.measure import cpu_seconds
from bench.stand import PAYEES, ROOT
from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres

TIME_LIMIT_SECONDS = 180


@dataclass(frozen=True, kw_only=True)
class Drain:
    """Transfers a second between the first and the last tenth, and CPU in ms for each."""

    per_second: float
    worker_cpu_ms: float
    server_cpu_ms: float


def engine(server: EmbeddedPostgres, *, stripe_url: str, transfers: int, round_: str) -> Drain:
    """Settle so many single transfers, then let one `payout-engine worker` pay them."""
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        connection.execute(
            "select payout_api.complete_settlement('drain_' || %s || '_' || n, 'usd', "
            "jsonb_build_array(jsonb_build_object('line_id', '1', "
            "'payee_id', 'seller_' || (1 + n %% %s), 'amount_minor', 1500))) "
            "from generate_series(1, %s) as n",
            [round_, PAYEES, transfers],
        )
        connection.execute("analyze")
    return _drain(
        server,
        [sys.executable, "-m", "payout_engine", "worker", "--log-level", "WARNING"],
        stripe_url=stripe_url,
        transfers=transfers,
        paid="select observed_at as at from payout.transfer_observations where moved_to = 'paid' "
        "and payout_transfer_id in (select payout_transfer_id from payout.payout_transfers "
        f"where settlement_id like 'drain_{round_}_%')",
    )


def peer(server: EmbeddedPostgres, *, stripe_url: str, transfers: int) -> Drain:
    """Defer so many jobs, then let one plain procrastinate worker carry them."""
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        connection.execute("drop schema if exists plain cascade")
        connection.execute(plain_procrastinate.SCHEMA)
        connection.execute(
            "insert into plain.transfers (transfer_id, destination, amount_minor) "
            "select n, 'acct_' || (1 + n %% %s), 1500 from generate_series(1, %s) as n",
            [PAYEES, transfers],
        )
        connection.execute("set search_path = procrastinate")
        connection.execute(
            "select procrastinate_defer_jobs_v1(array(select row('plain', 'plain.pay', 0, null, "
            "null, jsonb_build_object('transfer_id', n), null)::procrastinate_job_to_defer_v1 "
            "from generate_series(1, %s) as n))",
            [transfers],
        )
        connection.execute("analyze")
    return _drain(
        server,
        [sys.executable, "-m", "bench.plain_procrastinate"],
        stripe_url=stripe_url,
        transfers=transfers,
        paid="select paid_at as at from plain.transfers where paid_at is not null",
    )


def _drain(
    server: EmbeddedPostgres, command: list[str], *, stripe_url: str, transfers: int, paid: str
) -> Drain:
    environment = {
        **os.environ,
        "DATABASE_URL": server.uri(user="bench_worker"),
        "STRIPE_API_BASE": stripe_url,
        "STRIPE_API_KEY": "sk_test_bench",
        "PYTHONPATH": str(ROOT),
    }
    server_before = cpu_seconds(server.pid)
    worker = subprocess.Popen(command, env=environment, cwd=ROOT)
    try:
        worker_before = _cpu_once_started(worker.pid)
        deadline = time.monotonic() + TIME_LIMIT_SECONDS
        with psycopg.connect(server.uri(), autocommit=True) as connection:
            while True:
                row = connection.execute(f"select count(*) from ({paid}) as p").fetchone()
                worker_cpu = cpu_seconds(worker.pid) if worker.poll() is None else worker_before
                if row is not None and row[0] >= transfers:
                    break
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{row} of {transfers} paid when the time was over")
                time.sleep(0.1)
            per_second = _steady_rate(connection, paid)
    finally:
        worker.terminate()
        worker.wait()
    return Drain(
        per_second=per_second,
        worker_cpu_ms=1000 * (worker_cpu - worker_before) / transfers,
        server_cpu_ms=1000 * (cpu_seconds(server.pid) - server_before) / transfers,
    )


def _cpu_once_started(pid: int) -> float:
    """Return the cost of importing and connecting, roughly: the CPU of the first second."""
    time.sleep(1.0)
    return cpu_seconds(pid)


def _steady_rate(connection: psycopg.Connection, paid: str) -> float:
    row = connection.execute(
        "select 0.8 * count(*) / greatest(extract(epoch from "
        "percentile_disc(0.9) within group (order by p.at) - "
        f"percentile_disc(0.1) within group (order by p.at)), 0.001) from ({paid}) as p"
    ).fetchone()
    assert row is not None
    return float(row[0])
