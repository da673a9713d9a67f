"""The surroundings of the demo: a scratch server, a Stripe double, four logins and as many workers.

Only setting up happens as superuser; everything after it as a login in one of the engine's roles.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row

from payout_engine import migrate
from payout_engine.queue_schema import apply_queue_grants, apply_queue_schema
from payout_engine_sandbox.demo.processes import Processes
from payout_engine_sandbox.demo.scenario import EVENTS, Batch
from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres

DATABASE: Final = "marketplace"
APP: Final = "demo_app"
WORKER: Final = "demo_worker"
OPERATOR: Final = "demo_operator"
AUDITOR: Final = "demo_auditor"
LOGINS: Final = (APP, WORKER, OPERATOR, AUDITOR)
# About the time that Stripe takes for a transfer; with 40 under way, a worker makes 100 a second.
STRIPE_LATENCY_MS: Final = 400
REQUESTS_IN_FLIGHT: Final = 40


class DoubleClient:
    """Governs the Stripe double, which runs as a process of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        # The double is on this machine: no proxy of the environment is used.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def view(self, name: str) -> Any:
        """Return one of the double's views: ``summary`` or ``effects``."""
        return self._request(name, None)

    def command(self, name: str, /, **arguments: object) -> None:
        """Change the world that the double stands for."""
        self._request(name, json.dumps(arguments).encode())

    def _request(self, name: str, body: bytes | None) -> Any:
        with self._opener.open(f"{self.url}/_double/{name}", data=body, timeout=30) as answer:
            return json.load(answer)


@dataclass(frozen=True, kw_only=True)
class Stand:
    """The running parts, and how to reach them."""

    server: EmbeddedPostgres
    processes: Processes
    double: DoubleClient
    passwords: Mapping[str, str]

    def uri(self, login: str) -> str:
        """Return the libpq URI of the demo's database for one of its logins."""
        where = f"{self.server.host}:{self.server.port}/{DATABASE}"
        return f"postgresql://{login}:{self.passwords[login]}@{where}"

    def connect(self, login: str) -> psycopg.Connection[DictRow]:
        """Open an autocommit connection as one of the logins."""
        return psycopg.connect(self.uri(login), autocommit=True, row_factory=dict_row)

    def start_worker(self, name: str) -> int:
        """Start a worker process and return its pid."""
        command = (sys.executable, "-m", "payout_engine", "worker")
        process = self.processes.start(
            name,
            *command,
            DATABASE_URL=self.uri(WORKER),
            STRIPE_API_KEY="sk_test_demo",
            STRIPE_API_BASE=self.double.url,
            PAYOUT_MAX_IN_FLIGHT=str(REQUESTS_IN_FLIGHT),
        )
        return process.pid

    def register_payees(self, batches: list[Batch]) -> int:
        """Make every payee known, as the application does; return how many they are."""
        payees = sorted({line.payee_id for batch in batches for line in batch.lines})
        with self.connect(APP) as app, app.transaction(), app.cursor() as cursor:
            cursor.executemany(
                "select payout_api.register_payee(p_payee_id => %s, p_stripe_account_id => %s)",
                [(payee, f"acct_{payee}") for payee in payees],
            )
        return len(payees)

    def load(self, batch: Batch) -> None:
        """Write a batch as CSV files and load them with psql. Raises DemoError."""
        directory = self.processes.directory / batch.name
        directory.mkdir()
        batch.write_csv(directory)
        psql = (self.server.bin("psql"), "--no-psqlrc", "--quiet", f"--dbname={self.uri(APP)}")
        script = Path(__file__).with_name("load.sql")
        self.processes.run(f"psql-{batch.name}", *psql, f"--file={script}", cwd=directory)


def set_up(
    *,
    server: EmbeddedPostgres,
    processes: Processes,
    batches: list[Batch],
    lease_seconds: float,
) -> Stand:
    """Install the engine in a new database, make the logins, start Stripe with its troubles."""
    command = (sys.executable, "-m", "payout_engine_sandbox.stripe_double")
    processes.start("stripe-double", *command, f"--latency-ms={STRIPE_LATENCY_MS}")
    with psycopg.connect(server.uri(), autocommit=True) as superuser:
        superuser.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
    passwords = {login: secrets.token_hex(8) for login in LOGINS}
    _install(server.uri(DATABASE), passwords=passwords, lease_seconds=lease_seconds)
    double = DoubleClient(_find_double(processes))
    for event, arguments in EVENTS:
        double.command(event, **arguments)
    for batch in batches:
        if batch.market.funded_percent is not None:
            available = batch.totals_minor.total() * batch.market.funded_percent // 100
            double.command("balance", currency=batch.market.currency, available_minor=available)
    return Stand(server=server, processes=processes, double=double, passwords=passwords)


def _install(url: str, *, passwords: Mapping[str, str], lease_seconds: float) -> None:
    """Migrate as `payout-engine migrate` does, and grant the roles to logins."""
    apply_queue_schema(url)
    migrate.apply_all(url)
    apply_queue_grants(url)
    with psycopg.connect(url) as superuser:
        for login, password in passwords.items():
            superuser.execute(
                sql.SQL("create role {} login password {} in role {}").format(
                    sql.Identifier(login),
                    sql.Literal(password),
                    sql.Identifier(login.replace("demo_", "payout_")),
                )
            )
        superuser.execute(
            "update payout.engine_settings set lease_for = make_interval(secs => %(seconds)s), "
            "http_deadline_for = make_interval(secs => %(seconds)s * 2 / 3)",
            {"seconds": lease_seconds},
        )


def _find_double(processes: Processes) -> str:
    """Wait until the double says where it listens."""
    while not (found := re.search(r"http://\S+", processes.log("stripe-double"))):
        processes.check()
        time.sleep(0.02)
    return found[0]
