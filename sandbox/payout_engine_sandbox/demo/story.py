"""The demo's course: set up, load, watch, kill a worker, wait for the rest, reconcile, tell.

Ctrl-C or SIGTERM ends it at any moment, with one line and without a process left behind.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from urllib.error import URLError

import psycopg
from rich.console import Console

from payout_engine_sandbox.demo.fix import show_a_fix
from payout_engine_sandbox.demo.processes import DemoError, Processes, Stop, Stopped
from payout_engine_sandbox.demo.progress import Progress
from payout_engine_sandbox.demo.reconciliation import find_problems, read_facts
from payout_engine_sandbox.demo.report import show_report, show_verdict
from payout_engine_sandbox.demo.run import Run
from payout_engine_sandbox.demo.scenario import draw_batches
from payout_engine_sandbox.demo.stand import AUDITOR, OPERATOR, Stand, set_up
from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError

EXPECTED = (DemoError, EmbeddedPostgresError, psycopg.Error, URLError)
WIDEST = 100


def tell(arguments: list[str] | None) -> int:
    """Run the demo; return 0 if everything reconciles, 1 if not, 2 if it could not be run."""
    options = _parse(arguments)
    stop = Stop()
    console = Console(highlight=False, emoji=False, markup=False)
    console.width = min(console.width, WIDEST) if console.is_terminal else WIDEST
    try:
        stop.listen()
        code = _play(options, console, stop)
    except Stopped:
        assert stop.signal is not None
        console.print(f"\nStopped by {stop.signal.name}; every process of the demo has ended.")
        return 128 + stop.signal
    except EXPECTED as error:
        print(f"payout-engine demo: {error}", file=sys.stderr)
        return 2
    if stop.signal is not None:
        console.print("\nEvery process of the demo has ended.")
    return code


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="payout-engine demo")
    parser.add_argument("--keep", action="store_true", help="leave it running, to look around")
    parser.add_argument("--settlements", type=int, default=300, help="about so many (%(default)s)")
    parser.add_argument(
        "--crowd", type=int, default=2000, help="payees of the large settlement (%(default)s)"
    )
    parser.add_argument(
        "--lease-seconds", type=float, default=30, help="how long a claim holds (%(default)s)"
    )
    return parser.parse_args(arguments)


def _play(options: argparse.Namespace, console: Console, stop: Stop) -> int:
    began_at = time.monotonic()
    console.print("payout-engine demo", style="bold")
    for name in _forget_other_servers():
        console.print(f"{name} is set and not used: the demo has servers of its own.")
    with EmbeddedPostgres.start() as server, Processes() as processes:
        batches = draw_batches(settlements=options.settlements, crowd=options.crowd)
        stand = set_up(
            server=server,
            processes=processes,
            batches=batches,
            lease_seconds=options.lease_seconds,
        )
        _introduce(console, stand, seconds=time.monotonic() - began_at)
        with stand.connect(AUDITOR) as auditor:
            run = Run(stand=stand, auditor=auditor, progress=Progress(console), stop=stop)
            run.play(batches)
            facts = read_facts(auditor, stand.double)
            problems = run.find_problems() + find_problems(facts, batches)
            show_report(console, facts)
            run.show_crash(console)
        show_verdict(console, facts, problems)
        for problem in show_a_fix(console, stand, stop):
            problems.append(problem)
            console.print(f"  {problem}", style="red")
        if options.keep:
            _keep(console, stand, stop)
    return 1 if problems else 0


def _forget_other_servers() -> list[str]:
    """Remove variables that point to other servers; return the names worth a line."""
    names = [
        name
        for name in os.environ
        if name == "DATABASE_URL" or name.startswith(("PG", "STRIPE_", "PAYOUT_"))
    ]
    for name in names:
        del os.environ[name]
    return [name for name in names if name in ("DATABASE_URL", "STRIPE_API_KEY", "STRIPE_API_BASE")]


def _introduce(console: Console, stand: Stand, *, seconds: float) -> None:
    server = stand.server
    console.print(f"  database  a scratch PostgreSQL on {server.host}:{server.port}, migrated")
    console.print(f"  Stripe    a double on {stand.double.url}, some of its accounts in trouble")
    console.print(f"  logins    {', '.join(stand.passwords)}; none of them is superuser")
    console.print(f"  set up in {seconds:.1f} s\n")


def _keep(console: Console, stand: Stand, stop: Stop) -> None:
    """Leave everything running until a signal comes."""
    psql = stand.server.bin("psql")
    console.print(
        "\nServers and workers go on running. To look around, as operator and as auditor:"
    )
    for login in (OPERATOR, AUDITOR):
        console.print(f"  {psql} {stand.uri(login)}", soft_wrap=True)
    console.print("  select * from payout_api.overview;  select * from payout_api.unpaid limit 9;")
    console.print("Ctrl-C ends it.")
    try:
        while True:
            time.sleep(0.2)
            stop.check()
    except Stopped:
        return
