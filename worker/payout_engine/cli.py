"""The command `payout-engine`: migrate, worker, doctor, reconcile, demo, execute.

A user's mistake is answered with a sentence and exit code 2, never with a traceback.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import re
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from typing import ClassVar, Final, NoReturn

import aiohttp
import psycopg

from payout_engine import logs
from payout_engine.app import run_until_stopped
from payout_engine.database import connection_string, inspect_database
from payout_engine.doctor import examine
from payout_engine.engine import open_engine
from payout_engine.errors import MigrationError, NotReady, PayoutError, QueueSchemaError, redact
from payout_engine.migrate import bring_to_date
from payout_engine.progress import Progress
from payout_engine.reconcile import NewestUnread
from payout_engine.reporter import describe
from payout_engine.rows import Check, OpenDiscrepancies, Outcome, Report
from payout_engine.settings import (
    ENVIRONMENT,
    Settings,
    SettingsError,
    database_url,
    http_address,
)
from payout_engine.sql_files import sql_root
from payout_engine.stripe_payout_adapter import AccountUnknown, Refused, Unreadable

INDENT: Final = " " * 11
MARKS: Final = {"ok": "ok  ", "warning": "warn", "failure": "FAIL"}
EXPECTED: Final = (
    SettingsError,
    NotReady,
    PayoutError,
    AccountUnknown,
    NewestUnread,
    Refused,
    Unreadable,
    aiohttp.ClientError,
    TimeoutError,
    QueueSchemaError,
    MigrationError,
    psycopg.Error,
)


def migrate(options: argparse.Namespace) -> int:
    """bring the database to this version: the queue's schema, ours, the grants"""
    sql_root()  # nothing is begun without the files that end it
    for line in bring_to_date(
        connection_string(
            database_url(os.environ),
            statement_timeout="0",
            idle_in_transaction_session_timeout="0",
            search_path="public",
        )
    ):
        print(line, flush=True)
    return 0


def worker(options: argparse.Namespace) -> int:
    """carry payouts until SIGTERM or Ctrl-C"""
    settings = Settings.read(os.environ)
    if options.http:
        settings = replace(settings, http=http_address(options.http))
    lines = logs.start(options.log_level)
    try:
        asyncio.run(run_until_stopped(settings))
    finally:
        logs.finish(lines)
    os._exit(0)  # an ordinary exit would wait for a log that is not read


def doctor(options: argparse.Namespace) -> int:
    """check the installation; exit code 1 if a check fails, 0 if there are only warnings"""
    return asyncio.run(_doctor(options))


async def _doctor(options: argparse.Namespace) -> int:
    settings = Settings.read(os.environ, needs_key=False)
    (await inspect_database(settings.database_url)).check_engine()
    checks = await examine(settings)
    if options.quiet:
        checks = [check for check in checks if check["status"] != "ok"]
    found = {check["status"] for check in checks}
    status = next((level for level in ("failure", "warning") if level in found), "ok")
    if options.json:
        told = {"status": status, "versions": _versions(), "checks": checks}
        print(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        _print_checks(checks, with_versions=not options.quiet)
    fails = ("failure", "warning") if options.fail_on == "warning" else ("failure",)
    return 1 if status in fails else 0


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("payout-engine", "stripe", "procrastinate", "psycopg")}


def _print_checks(checks: list[Check], *, with_versions: bool) -> None:
    if with_versions:
        print(", ".join(f"{name} {number}" for name, number in _versions().items()))
    width = max((len(check["check_name"]) for check in checks), default=0)
    for check in checks:
        print(MARKS[check["status"]], f"{check['check_name']:{width}}", check["detail"])
        if check["status"] != "ok" and check["hint"]:
            print(" " * 4, " " * width, check["hint"])


def reconcile(options: argparse.Namespace) -> int:
    """compare everything with Stripe's lists; exit code 1 if a discrepancy is open"""
    try:
        return asyncio.run(_reconcile(_settings_that_connect()))
    except KeyboardInterrupt:
        print("interrupted: the next one, or a worker, goes on from here", file=sys.stderr)
        raise


async def _reconcile(settings: Settings) -> int:
    async with open_engine(settings) as engine:
        with Progress(sys.stdout) as progress:
            found = await engine.reconciler.run(progress.show)
        waiting: list[OpenDiscrepancies] = await engine.database.call("open_discrepancies")
    for name, count in found.items():
        print(f"{name:22}", "   failed" if count is None else f"{count:9,}")
    if not waiting and None not in found.values():
        print("nothing is open: Stripe and the books agree")
        return 0
    if waiting:
        print("\nopen discrepancies: select * from payout_api.discrepancies")
    for row in waiting:
        print(f"{row['open_count']:9,}  {row['kind']}, since {row['since']:%Y-%m-%d %H:%M %Z}")
        print(textwrap.fill(row["advice"], 96, initial_indent=INDENT, subsequent_indent=INDENT))
    return 1


def demo(options: argparse.Namespace) -> int:
    """show the engine at work, with a database and a Stripe of its own"""
    arguments = ["--keep"] if options.keep else []
    code: int = importlib.import_module("payout_engine_sandbox.demo").main(arguments)
    return code


def execute(options: argparse.Namespace) -> int:
    """pay now the transfers of one payout job that are due, and tell the outcome"""
    return asyncio.run(_execute(_settings_that_connect(), options.payout_job_id))


async def _execute(settings: Settings, payout_job_id: int) -> int:
    carried = 0

    def tell(outcome: Outcome, report: Report) -> None:
        nonlocal carried
        carried += 1
        print(f"{describe(outcome)} -> {report['verdict']}, {report['state']}")

    async with open_engine(settings, on_reported=tell) as engine:
        await engine.pump.execute(payout_job_id)
    if not carried:
        print(f"nothing of payout job {payout_job_id} is due, or there is no such job")
    return 0


def _settings_that_connect() -> Settings:
    """Read the settings; a database that is not there is told at once, by psycopg's own error."""
    settings = Settings.read(os.environ)
    asyncio.run(inspect_database(settings.database_url)).check_engine()
    return settings


class Parser(argparse.ArgumentParser):
    """Repeats no argument that may be a key or a password in a wrong place."""

    given: ClassVar[list[str]] = []

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, in which only short words of the user are repeated."""
        words = [part for word in self.given for part in (word, word.partition("=")[2])]
        for word in sorted(words, key=len, reverse=True):
            if word and not re.fullmatch("-{0,2}[a-z-]{1,16}", word):
                message = message.replace(repr(word), "***").replace(word, "***")
        super().error(message)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    Parser.given = sys.argv[1:] if arguments is None else arguments
    parser = Parser(prog="payout-engine")
    told_version = f"payout-engine {version('payout-engine')}"
    parser.add_argument("--version", action="version", version=told_version)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        command = commands.add_parser(
            run.__name__,
            help=run.__doc__,
            description=run.__doc__,
            epilog=ENVIRONMENT,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run)
        return command

    add(migrate)
    levels = ["DEBUG", "INFO", "WARNING", "ERROR"]
    working = add(worker)
    working.add_argument("--log-level", choices=levels, default="INFO")
    working.add_argument(
        "--http", metavar="HOST:PORT", help="answer /healthz, /readyz and /metrics there"
    )
    examined = add(doctor)
    examined.add_argument("--json", action="store_true", help="print one JSON object")
    examined.add_argument("--quiet", action="store_true", help="print only what is not ok")
    examined.add_argument(
        "--fail-on",
        choices=["failure", "warning"],
        default="failure",
        help="exit with code 1 for warnings too (default: failure)",
    )
    add(reconcile)
    add(demo).add_argument("--keep", action="store_true", help="leave it running, to look around")
    add(execute).add_argument("payout_job_id", metavar="JOB_ID", type=int)
    options = parser.parse_args(arguments)
    logs.start_plain()  # the worker goes on with a log of its own
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except EXPECTED as error:
        told = redact(str(error)) or type(error).__name__
        print("payout-engine:", *told.split(), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


if __name__ == "__main__":
    sys.exit(main())
