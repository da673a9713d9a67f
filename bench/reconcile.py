"""The cost of comparing all of Stripe's transfers with the books, in time, CPU and memory.

python -m bench.reconcile [--transfers 10000 100000]: Stripe and the books hold so many transfers,
which agree but for a few; then a worker process of its own compares them, at full speed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.types.json import Jsonb

from bench.measure import cpu_seconds
from bench.stand import PAYEES, ROOT, database
from payout_engine.database import Database, Row
from payout_engine.reconcile import Reconciler
from payout_engine.settings import Settings
from payout_engine.stripe_payout_adapter import StripePayoutAdapter
from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from payout_engine_sandbox.stripe_books import PLATFORM_ACCOUNT
from payout_engine_sandbox.stripe_double import StripeDouble

SETTLE = """
    select payout_api.complete_settlement('reconcile_' || %s, 'usd', (
        select jsonb_agg(jsonb_build_object(
            'line_id', n::text, 'payee_id', 'seller_' || n, 'amount_minor', 1500))
        from generate_series(1, %s) as n))
    """
BY_HAND = 10


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The cost of one run in a process of its own; `mebibytes` is the peak of its memory."""

    seen: int
    found: int
    seconds: float
    worker_cpu_seconds: float
    server_cpu_seconds: float
    mebibytes: float


def main() -> None:
    """Measure at each size, or be the process that is measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.reconcile", description=__doc__)
    parser.add_argument("--transfers", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--carry", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.carry:
        asyncio.run(carry())
        return
    held = 0
    with database() as server, StripeDouble.in_thread() as double:
        for number in range(BY_HAND):
            double.transfer(destination=f"acct_{number + 1}", amount_minor=1500)
        for transfers in sorted(options.transfers):
            began = time.perf_counter()
            pay(server, double, first=held // PAYEES, last=transfers // PAYEES)
            held = transfers // PAYEES * PAYEES
            told = f"{held:,} transfers paid in {time.perf_counter() - began:.0f} s, to compare"
            print(told, file=sys.stderr, flush=True)
            report(compare(server, double))


def pay(server: EmbeddedPostgres, double: StripeDouble, *, first: int, last: int) -> None:
    """Settle for all payees so many times, and let Stripe and the books know it as paid."""
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        for number in range(first, last):
            connection.execute(SETTLE, [number, PAYEES])
            claimed = connection.execute(
                "select payout_transfer_id, generation, attempt, idempotency_key, "
                "claim_token, request "
                "from payout_api.claim_transfers('bench', %s, null, %s, false)",
                [PAYEES, PLATFORM_ACCOUNT],
            ).fetchall()
            outcomes = [outcome(double, *claim) for claim in claimed]
            connection.execute("select payout_api.report_outcomes(%s)", [Jsonb(outcomes)])
        connection.execute("analyze")


def outcome(
    double: StripeDouble,
    transfer: int,
    generation: int,
    attempt: int,
    key: str,
    token: str,
    request: Row,
) -> Row:
    """Let the double make a transfer, and return the worker's report of it."""
    made = double.transfer(
        destination=request["destination"],
        amount_minor=request["amount"],
        currency=request["currency"],
        metadata=request["metadata"],
        transfer_group=request["transfer_group"],
    )
    return {
        "payout_transfer_id": transfer,
        "generation": generation,
        "attempt": attempt,
        "idempotency_key": key,
        "claim_token": token,
        "signal": "response",
        "http_status": 200,
        "body": made,
    }


def compare(server: EmbeddedPostgres, double: StripeDouble) -> Comparison:
    """Run one comparison in a process of its own."""
    environment = {
        **os.environ,
        "DATABASE_URL": server.uri(user="bench_worker"),
        "STRIPE_API_BASE": double.url,
        "STRIPE_API_KEY": "sk_test_bench",
        "PYTHONPATH": str(ROOT),
    }
    server_before = cpu_seconds(server.pid)
    worker = subprocess.run(
        [sys.executable, "-m", "bench.reconcile", "--carry"],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seen, found, seconds, cpu, mebibytes = worker.stdout.split()
    return Comparison(
        seen=int(seen),
        found=int(found),
        seconds=float(seconds),
        worker_cpu_seconds=float(cpu),
        server_cpu_seconds=cpu_seconds(server.pid) - server_before,
        mebibytes=float(mebibytes),
    )


async def carry() -> None:
    """Compare everything once, as the worker does it but without its pace; print its cost."""
    settings = Settings.read(os.environ)
    async with (
        Database(settings.database_url) as connections,
        StripePayoutAdapter(
            api_key=settings.stripe_api_key, api_base=settings.stripe_api_base
        ) as adapter,
    ):
        reconciler = Reconciler(database=connections, adapter=adapter)
        began, cpu_began = time.perf_counter(), time.process_time()
        [row] = await reconciler.read("comparison")
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    print(row["objects_seen"], row["objects_found"], seconds, cpu, most_mebibytes())


def most_mebibytes() -> float:
    """Return the most memory this process ever had; `getrusage` would count its parent's too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def report(run: Comparison) -> None:
    """Print every figure of a comparison."""
    pages = run.seen / 100
    print(f"\n{run.seen:,} transfers at Stripe, {run.found} discrepancies")
    print(f"  {'time':24} {run.seconds:8.1f} s")
    print(f"  {'pages of 100':24} {pages / run.seconds:8.0f} a second")
    print(f"  {'CPU of the worker':24} {1000 * run.worker_cpu_seconds / pages:8.1f} ms a page")
    print(f"  {'CPU of the server':24} {1000 * run.server_cpu_seconds / pages:8.1f} ms a page")
    print(f"  {'most memory':24} {run.mebibytes:8.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
