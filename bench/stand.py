"""The servers that the benchmarks run on: an embedded Postgres on disk, and a Stripe double."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import sql

from payout_engine import migrate
from payout_engine.queue_schema import apply_queue_grants, apply_queue_schema
from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "4GB"}
PAYEES = 1000
# Stripe has nothing yet: claims are refused before a worker says so.
COMPARE_NEWEST = (
    "select payout_api.report_page(read_id, token, parameters, '[]', false) "
    "from payout_api.claim_reads('bench', p_kind => 'newest')"
)


@contextmanager
def database(settings: Mapping[str, str] = SETTINGS) -> Iterator[EmbeddedPostgres]:
    """A durable server on disk with the engine installed and some payees registered."""
    with EmbeddedPostgres.start(settings=settings, is_on_disk=True) as server:
        uri = server.uri()
        apply_queue_schema(uri)
        migrate.apply_all(uri)
        apply_queue_grants(uri)
        with psycopg.connect(uri, autocommit=True) as connection:
            for role in ("app", "worker"):
                connection.execute(f"create role bench_{role} login")
                connection.execute(f"grant payout_{role} to bench_{role}")
            connection.execute("alter role bench_worker set search_path = procrastinate")
            connection.execute(
                "select payout_api.register_payee('seller_' || n, 'acct_' || n) "
                f"from generate_series(1, {PAYEES}) as n"
            )
            connection.execute(COMPARE_NEWEST)
        yield server


@contextmanager
def listening(server: EmbeddedPostgres, *, workers: int) -> Iterator[None]:
    """Some connections that listen for queue jobs as procrastinate's workers do, and fetch none."""
    with ExitStack() as stack:
        for _ in range(workers):
            connection = psycopg.connect(server.uri(user="bench_worker"), autocommit=True)
            stack.callback(connection.close)
            for channel in ("any_queue_v1", "queue_v1#payouts", "queue_v1#bench"):
                connection.execute(
                    sql.SQL("listen {}").format(sql.Identifier(f"procrastinate_{channel}"))
                )
            threading.Thread(target=_hear, args=[connection], daemon=True).start()
        yield


def _hear(connection: psycopg.Connection) -> None:
    with suppress(psycopg.OperationalError):
        for _ in connection.notifies():
            pass


@contextmanager
def stripe(latency_ms: int, *, limit: int | None = None) -> Iterator[str]:
    """A Stripe double in a process of its own, with a limit a second; gives its URL."""
    command = [sys.executable, "-m", "payout_engine_sandbox.stripe_double", "--port", "0"]
    command += ["--latency-ms", str(latency_ms)]
    if limit is not None:
        command += ["--limit-per-second", str(limit)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as double:
        assert double.stdout is not None
        try:
            yield double.stdout.readline().split()[-1]
        finally:
            double.terminate()
