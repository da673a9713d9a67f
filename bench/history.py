"""Times of everything that people and workers read, behind a long history of settled transfers.

python -m bench.history [--settled 10000000] [--open 10000]: fills a fresh database set-wise, then
reads every view, `explain`, the doctor, the summary, a sweep, claims and a report several times.
--plans prints the plan of each. --serve keeps the server until Enter,
and --uri measures a database that was filled before, after a change of the code for example.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from bench.fill import fill, tell
from bench.measure import probe
from bench.stand import COMPARE_NEWEST, ROOT, SETTINGS, database

CONSOLE = ROOT / "sql" / "ops" / "psqlrc"
FUNCTIONS = """
select schemaname || '.' || funcname, calls, total_time, self_time
from pg_stat_xact_user_functions where self_time > 1 order by self_time desc
"""
VIEWS = (
    "discrepancies", "not_ours", "open_transfers", "overview", "overview_by_age", "proposals",
    "reconcile_progress", "reversed_money", "trial_balance", "unpaid_by_reason",
    "workers",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Read:
    """A statement, the role that runs it, and the milliseconds that it may take."""

    name: str
    statement: str
    role: str = "payout_operator"
    most_ms: int | None = 50


def reads() -> list[Read]:
    """Return all that is measured."""
    found = [Read(name=v, statement=f"select * from payout_api.{v}") for v in VIEWS]
    for name, condition in (
        ("payout_status of a settlement", "settlement_id = 'order_000000101'"),
        ("payout_status of a payee", "payee_id = 'seller_17'"),
    ):
        statement = f"select * from payout_api.payout_status where {condition}"
        found.append(Read(name=name, statement=statement, role="payout_app"))
    for name, selected in (
        ("transfer, paid", "5001"),
        ("transfer, open", "(select max(payout_transfer_id) from payout.payout_transfers)"),
        ("settlement", "p_settlement_id => 'order_000000101'"),
        ("payee", "p_payee_id => 'seller_17'"),
    ):
        statement = f"select * from payout_api.explain({selected})"
        found.append(Read(name=f"explain a {name}", statement=statement))
    for name, statement in (
        ("ledger_balances, of every payee", "select * from payout_api.ledger_balances"),
        ("unpaid, all", "select * from payout_api.unpaid"),
        ("unpaid, of a payee", "select * from payout_api.unpaid where payee_id = 'seller_17'"),
    ):
        found.append(Read(name=name, statement=statement, most_ms=None))
    for name, statement in console_reads():
        found.append(Read(name=f":{name}", statement=statement))
    doctor = "select * from payout_api.doctor()"
    found.append(Read(name="doctor()", statement=doctor, most_ms=2000))
    found.append(
        Read(name="summary()", statement="select * from payout_api.summary()", most_ms=None)
    )
    worker = "payout_worker"
    for name, statement, most_ms in (
        ("measure()", "select * from payout_api.measure('bench')", 50),
        ("sweep()", "select * from payout_api.sweep()", 10),
        ("an empty claim", "select * from payout_api.claim_transfers('held', 20)", 10),
        ("a claim of 20", "select * from payout_api.claim_transfers('bench', 20)", None),
    ):
        found.append(Read(name=name, statement=statement, role=worker, most_ms=most_ms))
    outcomes = "select * from payout_api.outcomes_since(%s)"
    for name, cursor in (("the oldest", "0"), ("the newest", "(select max(outcome_id) - 100 from "
            "payout.outcomes)")):  # fmt: skip
        found.append(Read(name=f"outcomes_since, {name} 100", statement=outcomes % cursor,
            role="postgres"))  # fmt: skip
    return found


def console_reads() -> Iterator[tuple[str, str]]:
    """Give the queries of the console, those left out that change or verify everything."""
    for name, text in re.findall(r"^\\set (\w+) '(select .*)'$", CONSOLE.read_text(), re.M):
        if name not in ("verify", "doctor", "sweep"):
            for statement in text.replace(r"\'", "'").replace(r"\\gx", ";").split(";"):
                if statement.strip():
                    yield name, statement


def measure(connection: psycopg.Connection, *, runs: int, plans: bool) -> None:
    """Print the first and the median time of each read, and whether it is as fast as it should."""
    print(f"{'':44} {'first':>9} {'median':>9} ms")
    for read in reads():
        connection.execute(f"set role {read.role}".encode())
        times = []
        rows = 0
        for _ in range(runs):
            with connection.transaction(force_rollback=True):
                began = time.perf_counter()
                rows = len(connection.execute(read.statement.encode()).fetchall())
                times.append((time.perf_counter() - began) * 1000)
        middle = statistics.median(times)
        slow = read.most_ms is not None and middle > read.most_ms
        asked = f"slow: asked for {read.most_ms}" if slow else ""
        print(f"{read.name:44} {times[0]:9.1f} {middle:9.1f} ms {rows:7} rows {asked}", flush=True)
        if plans:
            show_plan(connection, read)
        connection.execute("reset role")


def show_plan(connection: psycopg.Connection, read: Read) -> None:
    """Print the plan, and the functions within, whose plans it does not have, with their times."""
    with connection.transaction(force_rollback=True):
        explained = connection.execute(f"explain (analyze, buffers) {read.statement}".encode())
        for (line,) in explained.fetchall():
            print(f"    {line}")
        for name, calls, total, own in connection.execute(FUNCTIONS):
            print(f"    {name}: {calls} calls, {total:.1f} ms, of which {own:.1f} ms by itself")


def prepare(connection: psycopg.Connection) -> None:
    """Let claims be allowed, a worker be known, and another one be on hold."""
    connection.execute("set track_functions = 'all'")
    connection.execute(COMPARE_NEWEST)
    connection.execute("select payout_api.heartbeat('bench', payout_api.release() || '.0')")
    connection.execute(
        "insert into payout.holds (scope, subject, reason) values ('worker', 'held', 'bench') "
        "on conflict do nothing"
    )
    # The first sweeps mark what is on hold and queue wake-up jobs; then they find nothing to do.
    for _ in range(20):
        connection.execute("select * from payout_api.sweep()")


def main() -> None:
    """Fill and measure as the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__)
    parser.add_argument("--settled", type=int, default=10_000_000)
    parser.add_argument("--open", type=int, default=10_000)
    parser.add_argument("--payees", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--plans", action="store_true")
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--uri")
    options = parser.parse_args()
    if options.uri:
        _measure(options.uri, runs=options.runs, plans=options.plans)
        return
    with database(SETTINGS | {"max_wal_size": "8GB"}) as server:
        fill(server.uri(), settled=options.settled, open_=options.open, payees=options.payees)
        _measure(server.uri(), runs=options.runs, plans=options.plans)
        if options.serve:
            print(server.uri(), flush=True)
            sys.stdin.readline()


def _measure(uri: str, *, runs: int, plans: bool) -> None:
    with psycopg.connect(uri, autocommit=True) as connection:
        prepare(connection)
        size = connection.execute(
            "select pg_size_pretty(pg_database_size(current_database()))"
        ).fetchone()
        assert size is not None
        cpu, flush = probe()
        print(f"database {size[0]}; CPU probe {cpu:.1f} ms, flush {flush:.2f} ms")
        measure(connection, runs=runs, plans=plans)
        tell("done")


if __name__ == "__main__":
    main()
