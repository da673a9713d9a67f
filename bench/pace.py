"""How a fleet meets a limit of Stripe's rate: the pace that it finds, and the requests refused.

python -m bench.pace [--payees 3000] [--limit 250] [--workers 1]: one settlement, paid through a
double of Stripe that takes so many requests within any second, in turns without a setting, with
one below the limit, and with one above it. Time is not scaled.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg

from bench.stand import ROOT, database, stripe
from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres

SETTLE = """
    select payout_api.complete_settlement(%(name)s, 'usd', (
        select jsonb_agg(jsonb_build_object(
            'line_id', n::text, 'payee_id', 'paced_' || n, 'amount_minor', 1500))
        from generate_series(1, %(payees)s) as n))
    """
PACE = """
    select format('%s a second, refused last at %s',
        coalesce(round(per_second, 1)::text, 'any number'),
        coalesce(round(refused_per_second, 1)::text, 'none'))
    from payout.paces
    where kind = 'sends'
    """
BY_SECOND = """
    select floor(extract(epoch from o.observed_at - (
        select min(a.claimed_at) from payout.transfer_attempts as a)))::integer as second, count(*)
    from payout.transfer_observations as o
    where o.moved_to = %s or o.http_status = %s
    group by second
    order by second
    """


@dataclass(frozen=True, kw_only=True)
class Run:
    """The outcome of one settlement."""

    paid: int
    parked: int
    requests: int
    refused: int
    seconds: float
    by_second: list[int]
    refused_by_second: dict[int, int]
    pace: str

    def report(self, *, limit: int) -> None:
        """Print it for reading."""
        steady = sorted(self.by_second[1:-1])
        print(f"  {'paid, parked':32} {self.paid:,}, {self.parked}")
        share = 100 * self.refused / self.requests
        print(f"  {'requests, refused':32} {self.requests:,}, {self.refused} ({share:.2f} %)")
        print(f"  {'refused by second':32} {self.refused_by_second}")
        print(f"  {'pace at the end':32} {self.pace}")
        print(f"  {'time':32} {self.seconds:.1f} s, {self.paid / limit:.1f} s at the limit itself")
        if steady:
            middle = steady[len(steady) // 2]
            print(f"  {'paid a second, median':32} {middle} ({100 * middle / limit:.0f} % of it)")
        print("  " + " ".join(str(number) for number in self.by_second), flush=True)


def main() -> None:
    """Pay the settlements and print each."""
    parser = argparse.ArgumentParser(prog="python -m bench.pace", description=__doc__)
    parser.add_argument("--payees", type=int, default=3000)
    parser.add_argument("--limit", type=int, default=250, help="requests a second")
    parser.add_argument("--latency-ms", type=int, default=100)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=20, help="the longest time for each")
    parser.add_argument("--settings", nargs="*", default=["null", "0.8", "4"], help="of the limit")
    options = parser.parse_args()
    for setting in options.settings:
        per_second = None if setting == "null" else float(setting) * options.limit
        print(
            f"\n{options.payees:,} payees, {options.limit} requests a second, "
            f"{options.workers} workers, Stripe at {options.latency_ms} ms, "
            f"sends_per_second {'null' if per_second is None else f'{per_second:g}'}"
        )
        with database() as server, stripe(options.latency_ms, limit=options.limit) as url:
            run = pay(
                server,
                url,
                payees=options.payees,
                workers=options.workers,
                per_second=per_second,
                minutes=options.minutes,
            )
            run.report(limit=options.limit)


def pay(
    server: EmbeddedPostgres,
    url: str,
    *,
    payees: int,
    workers: int,
    per_second: float | None,
    minutes: float,
) -> Run:
    """Settle with so many payees, and let the workers pay all of them."""
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        connection.execute("update payout.engine_settings set sends_per_second = %s", [per_second])
        connection.execute(
            "select payout_api.register_payee('paced_' || n, 'acct_' || n) "
            "from generate_series(1, %s) as n",
            [payees],
        )
        with working(server, url, workers=workers):
            time.sleep(2.0)
            connection.execute(SETTLE, {"name": "paced", "payees": payees})
            connection.execute("analyze")
            began = time.monotonic()
            paid = 0
            while paid < payees and time.monotonic() - began < 60 * minutes:
                time.sleep(0.5)
                paid = count(connection, "paid")
                print(f"\r  {paid:,} paid", end="", file=sys.stderr, flush=True)
            seconds = time.monotonic() - began
        by_second = by_second_of(connection, "paid", None)
        refused_by_second = by_second_of(connection, None, 429)
        (pace,) = connection.execute(PACE).fetchall()[0]
        parked = count(connection, "parked")
    with urllib.request.urlopen(f"{url}/_double/summary") as answer:
        answers = json.load(answer)["answers"]
    return Run(
        paid=paid,
        parked=parked,
        requests=sum(answers.values()) - 1,  # one asks for the account
        refused=answers.get("429", 0),
        seconds=seconds,
        refused_by_second=refused_by_second,
        pace=pace,
        by_second=[by_second.get(second, 0) for second in range(max(by_second) + 1)],
    )


def by_second_of(
    connection: psycopg.Connection, moved_to: str | None, http_status: int | None
) -> dict[int, int]:
    """Return how many such outcomes came in each second since the first claim."""
    rows = connection.execute(BY_SECOND, [moved_to, http_status]).fetchall()
    return {int(second): int(number) for second, number in rows}


def count(connection: psycopg.Connection, state: str) -> int:
    """Return how many transfers ever came to a state."""
    row = connection.execute(
        "select count(*) from payout.transfer_observations where moved_to = %s", [state]
    ).fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def working(server: EmbeddedPostgres, url: str, *, workers: int) -> Iterator[None]:
    """Run so many workers."""
    environment = {
        **os.environ,
        "DATABASE_URL": server.uri(user="bench_worker"),
        "STRIPE_API_BASE": url,
        "STRIPE_API_KEY": "sk_test_bench",
        "PAYOUT_RECONCILE_MINUTES": "0",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "payout_engine", "worker", "--log-level", "WARNING"]
    with ExitStack() as stack:
        for _ in range(workers):
            worker = subprocess.Popen(command, env=environment, cwd=ROOT)
            stack.callback(worker.wait)
            stack.callback(worker.terminate)
        yield


if __name__ == "__main__":
    main()
