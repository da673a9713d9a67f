"""Times of everything that people and workers read, behind a long history of settled transfers.

python -m bench.history [--settled 10000000] [--open 10000]: fills a fresh database set-wise, then
reads every view, `explain`, the console, the doctor, the page of `payout-engine report`, a sweep
and claims several times, and verifies a range, and with --verify everything.
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
from typing import cast

import psycopg
from psycopg.rows import dict_row

from bench.fill import fill, tell
from bench.measure import probe
from bench.stand import COMPARE_NEWEST, ROOT, SETTINGS, database
from payout_engine.report import page
from payout_engine.rows import Section

CONSOLE = ROOT / "sql" / "ops" / "psqlrc"
FUNCTIONS = """
select schemaname || '.' || funcname, calls, total_time, self_time
from pg_stat_xact_user_functions where self_time > 1 order by self_time desc
"""
VIEWS = (
    "discrepancies", "ledger_balances", "not_ours", "open_transfers", "overview",
    "overview_by_age", "proposals", "reconcile_progress", "reversed_money", "trial_balance",
    "unpaid_by_reason", "workers",
)  # fmt: skip
# The console changes or verifies everything by these.
NOT_READ = ("verify", "doctor", "sweep")
PARTS = ("ids_of_transfer", "transfers_shown")
# The console asks about one thing by these, with an id of each kind that it takes.
PAYEE, SETTLEMENT, TRANSFER = "seller_17", "order_000000101", "5001"
OF_ONE = {"explain": (PAYEE, SETTLEMENT, TRANSFER), "payee": (PAYEE,),
    "settlement": (SETTLEMENT,), "transfer": (TRANSFER,)}  # fmt: skip
# The middle of the history, in the numbers or ids of each, and how many of them are verified. The
# digests of old seals are made up.
RANGES = {
    "verify_settlements": (1_000, "select settlement_id from payout.payout_jobs where payout_job_id"
        " = (select max(payout_job_id) / 2 from payout.payout_jobs) + %s"),
    "verify_books": (10_000, "select max(payout_transfer_id) / 2 + %s from "
        "payout.payout_transfers"),
    "verify_projection": (10_000, "select max(payout_transfer_id) / 2 + %s from "
        "payout.payout_transfers"),
    "verify_seals": (10, "select max(seal_id) - 10 + %s from payout.seals"),
}  # fmt: skip


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
        ("balances, of every payee", "select * from payout_api.balances_as_of('infinity')"),
        (
            "balances, of a payee",
            "select * from payout_api.balances_as_of('infinity', 'seller_17')",
        ),
        ("unpaid, all", "select * from payout_api.unpaid"),
        ("unpaid, of a payee", "select * from payout_api.unpaid where payee_id = 'seller_17'"),
    ):
        found.append(Read(name=name, statement=statement, most_ms=None))
    for name, statement in console_reads():
        found.append(Read(name=f":{name}", statement=statement))
    doctor = "select * from payout_api.doctor()"
    found.append(Read(name="doctor()", statement=doctor, most_ms=2000))
    summary = "select * from payout_api.summary()"
    found.append(Read(name="summary()", statement=summary, most_ms=None))
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
    """Give the queries of the console."""
    variables = {
        name: text.replace(r"\'", "'").replace(r"\\", "\\")
        for name, text in re.findall(r"^\\set (\w+) '(.*)'$", CONSOLE.read_text(), re.M)
    }
    for name, text in variables.items():
        if name in OF_ONE or (text.startswith("select ") and name not in NOT_READ + PARTS):
            for of in OF_ONE.get(name, ("",)):
                for statement in statements(expanded(text, variables, of=of)):
                    yield f"{name} {of}".strip(), statement


def expanded(text: str, variables: dict[str, str], *, of: str) -> str:
    """Return a query of the console as psql would send it, with `:id` set."""
    text = text.replace(":'id'", f"'{of}'")
    while found := re.search(r"(?<!:):([a-z_]+)", text):
        text = text.replace(found[0], variables[found[1]].replace(":'id'", f"'{of}'"))
    return text


def statements(text: str) -> Iterator[str]:
    """Take a line apart at its semicolons outside of quotes, and at psql's own commands."""
    for part in re.split(r"\\gx|\\\\", text):
        for statement in re.findall(r"(?:'[^']*'|[^';])+", part):
            if statement.strip():
                yield statement.strip()


def verified(connection: psycopg.Connection) -> Iterator[Read]:
    """Give the reads that verify a part of the history."""
    for name, (count, bound) in RANGES.items():
        first, last = (connection.execute(bound.encode(), [n]).fetchone() for n in (0, count))
        assert first is not None
        assert last is not None
        arguments = f"p_from => {first[0]!r}, p_to => {last[0]!r}"
        yield Read(
            name=f"{name}, {count:,}",
            statement=f"select * from payout_api.{name}({arguments})",
            most_ms=None,
        )


def report(connection: psycopg.Connection, *, runs: int) -> None:
    """Print the time of `payout-engine report`: its one statement, and the page of it."""
    times = []
    for _ in range(runs):
        with connection.transaction(force_rollback=True):
            connection.execute("set transaction isolation level repeatable read, read only")
            connection.execute("set local role payout_auditor")
            began = time.perf_counter()
            with connection.cursor(row_factory=dict_row) as cursor:
                found = cursor.execute("select * from payout_api.summary()").fetchall()
            html = page(cast(list[Section], found))
            times.append((time.perf_counter() - began) * 1000)
    told(name="payout-engine report", times=times, rows=f"{len(html):7} characters", most_ms=None)


def told(*, name: str, times: list[float], rows: str, most_ms: int | None) -> None:
    """Print the first and the median time, and whether it is as fast as it should."""
    middle = statistics.median(times)
    slow = most_ms is not None and middle > most_ms
    asked = f" slow: asked for {most_ms}" if slow else ""
    print(f"{name:44} {times[0]:9.1f} {middle:9.1f} ms {rows}{asked}", flush=True)


def verify_everything(connection: psycopg.Connection) -> None:
    """Print the time of each function that verifies everything, and how far it says it is.

    Not of seals: the old ones are made up, and each would be named.
    """
    connection.add_notice_handler(lambda notice: tell(str(notice.message_primary)))
    for name in [name for name in RANGES if name != "verify_seals"]:
        began = time.perf_counter()
        rows = len(connection.execute(f"select * from payout_api.{name}()".encode()).fetchall())
        times = [(time.perf_counter() - began) * 1000]
        told(name=f"{name}, all", times=times, rows=f"{rows:7} rows", most_ms=None)


def measure(connection: psycopg.Connection, *, runs: int, plans: bool) -> None:
    """Print the times of each read."""
    print(f"{'':44} {'first':>9} {'median':>9} ms")
    for read in [*reads(), *verified(connection)]:
        connection.execute(f"set role {read.role}".encode())
        times = []
        rows = 0
        for _ in range(runs):
            with connection.transaction(force_rollback=True):
                began = time.perf_counter()
                rows = len(connection.execute(read.statement.encode()).fetchall())
                times.append((time.perf_counter() - began) * 1000)
        told(name=read.name, times=times, rows=f"{rows:7} rows", most_ms=read.most_ms)
        if plans:
            show_plan(connection, read)
        connection.execute("reset role")
    report(connection, runs=runs)


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
    parser.add_argument("--verify", action="store_true")
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--uri")
    options = parser.parse_args()
    if options.uri:
        _measure(options.uri, options)
        return
    with database(SETTINGS | {"max_wal_size": "8GB"}) as server:
        fill(server.uri(), settled=options.settled, open_=options.open, payees=options.payees)
        _measure(server.uri(), options)
        if options.serve:
            print(server.uri(), flush=True)
            sys.stdin.readline()


def _measure(uri: str, options: argparse.Namespace) -> None:
    with psycopg.connect(uri, autocommit=True) as connection:
        prepare(connection)
        size = connection.execute(
            "select pg_size_pretty(pg_database_size(current_database()))"
        ).fetchone()
        assert size is not None
        cpu, flush = probe()
        print(f"database {size[0]}; CPU probe {cpu:.1f} ms, flush {flush:.2f} ms")
        measure(connection, runs=options.runs, plans=options.plans)
        if options.verify:
            verify_everything(connection)
        tell("done")


if __name__ == "__main__":
    main()
