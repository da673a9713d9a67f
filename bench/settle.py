"""How fast settlements commit, beside transactions that only defer one procrastinate job."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from dataclasses import dataclass

import psycopg

from bench.measure import cpu_seconds
from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres

CLIENTS = 8
INSERTS = r"""
\set payee random(1, 1000)
\set number random(1, 1000000000000000000)
begin;
insert into payout.settlements (settlement_id, currency, total_minor, state)
    values ('set_' || :number, 'usd', 1500, 'complete');
insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor)
    values ('set_' || :number, '1', 'seller_' || :payee, 1500);
commit;
"""
CALL = r"""
\set payee random(1, 1000)
\set number random(1, 1000000000000000000)
select payout_api.complete_settlement('set_' || :number, 'usd',
    ('[{"line_id":"1","payee_id":"seller_' || :payee || '","amount_minor":1500}]')::jsonb);
"""
DEFER = """
select procrastinate.procrastinate_defer_jobs_v1(array[row(
    'bench', 'bench.pay', 0, null, null, '{"transfer_id": 1}', null
)::procrastinate.procrastinate_job_to_defer_v1]);
"""
DEFER_IN_TRANSACTION = f"begin;{DEFER}commit;\n"


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Transactions a second, and server CPU in milliseconds for each."""

    per_second: float
    cpu_ms: float


def rate(server: EmbeddedPostgres, script: str, *, user: str, seconds: int) -> Rate:
    """Run a pgbench script with prepared statements on eight connections.

    For no seconds it runs ten times on each, which says nothing about speed.
    """
    length = f"--time={seconds}" if seconds else "--transactions=10"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        before = cpu_seconds(server.pid)
        command = [server.bin("pgbench"), "--no-vacuum", "--protocol=prepared"]
        command += [f"--client={CLIENTS}", "--jobs=2", length, f"--file={file.name}"]
        command.append(server.uri(user=user))
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        used = cpu_seconds(server.pid) - before
    assert "number of failed transactions: 0 " in run.stdout, run.stdout
    done = re.search(r"actually processed: (\d+)", run.stdout)
    assert done is not None, run.stdout
    found = re.search(r"tps = ([\d.]+)", run.stdout)
    assert found is not None, run.stdout
    return Rate(per_second=float(found[1]), cpu_ms=1000 * used / int(done[1]))


def large(server: EmbeddedPostgres, *, payees: int, number: int) -> tuple[float, float]:
    """Return the seconds of one settlement of many payees, and of bare inserts of its rows.

    The bare tables have the same columns and indexes, and no checks, triggers or foreign keys.
    """
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        connection.execute(
            "select payout_api.register_payee('crowd_' || n, 'acct_' || n) "
            "from generate_series(1, %s) as n",
            [payees],
        )
        connection.execute("set role payout_app")
        began = time.perf_counter()
        with connection.transaction():
            connection.execute(
                "insert into payout.settlements (settlement_id, currency, total_minor, state) "
                "values (%s, 'usd', %s, 'complete')",
                [f"large_{number}", 100 * payees],
            )
            connection.execute(
                "insert into payout.settlement_lines "
                "(settlement_id, line_id, payee_id, amount_minor) "
                "select %s, n::text, 'crowd_' || n, 100 from generate_series(1, %s) as n",
                [f"large_{number}", payees],
            )
        settled = time.perf_counter() - began
        connection.execute("reset role")
        return settled, _bare(connection, settlement=f"large_{number}")


def _bare(connection: psycopg.Connection, *, settlement: str) -> float:
    connection.execute("drop schema if exists bare cascade")
    connection.execute("create schema bare")
    rows = {
        "settlements": "settlement_id = %(settlement)s",
        "settlement_lines": "settlement_id = %(settlement)s",
        "payout_jobs": "settlement_id = %(settlement)s",
        "payout_transfers": "settlement_id = %(settlement)s",
        "transfer_states": "payout_transfer_id in (select payout_transfer_id from "
        "payout.payout_transfers where settlement_id = %(settlement)s)",
        "ledger_entries": "payout_transfer_id in (select payout_transfer_id from "
        "payout.payout_transfers where settlement_id = %(settlement)s)",
    }
    inserts = []
    for table, condition in rows.items():
        connection.execute(
            f"create table bare.{table} (like payout.{table} including all excluding constraints)"
        )
        connection.execute(
            f"create temporary table rows_{table} as select * from payout.{table} "
            f"where {condition}",
            {"settlement": settlement},
        )
        names = [
            name
            for (name,) in connection.execute(
                "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 "
                "and not attisdropped and attgenerated = '' order by attnum",
                [f"payout.{table}"],
            )
        ]
        columns = ", ".join(names)
        inserts.append(
            f"insert into bare.{table} ({columns}) overriding system value "
            f"select {columns} from rows_{table}"
        )
    began = time.perf_counter()
    with connection.transaction():
        for insert in inserts:
            connection.execute(insert)
    bare = time.perf_counter() - began
    for table in rows:
        connection.execute(f"drop table rows_{table}")
    return bare
