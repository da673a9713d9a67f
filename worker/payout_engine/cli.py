"""The command `payout-engine`: migrate, worker, doctor, reconcile, report, export, execute, demo.

A user's mistake is answered with a sentence and exit code 2, never with a traceback.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import sys
import textwrap
from collections.abc import Callable
from importlib.metadata import version
from typing import Final

import aiohttp
import psycopg
from yoyo.exceptions import LockTimeout

from payout_engine import export as ledger_export
from payout_engine import logs
from payout_engine.app import run_until_stopped
from payout_engine.database import (
    Database,
    apply_queue_grants,
    apply_queue_schema,
    connection_string,
    inspect_database,
)
from payout_engine.engine import open_engine
from payout_engine.errors import MigrationError, NotReady, PayoutError, QueueSchemaError, redact
from payout_engine.migrate import apply_all
from payout_engine.output import OutputError, written_to
from payout_engine.progress import ExportProgress, Progress
from payout_engine.reading import Reader
from payout_engine.reconcile import READ_FAILURES, NewestUnread
from payout_engine.report import page
from payout_engine.reporter import describe
from payout_engine.rows import Check, OpenDiscrepancies, Outcome, Report
from payout_engine.settings import ENVIRONMENT, Settings, SettingsError, database_url
from payout_engine.sql_files import sql_root
from payout_engine.stripe_payout_adapter import (
    AccountUnknown,
    Refused,
    StripePayoutAdapter,
    Unreadable,
)

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
    OutputError,
    ledger_export.ExportError,
    LockTimeout,
    psycopg.Error,
)


def migrate(options: argparse.Namespace) -> int:
    """bring the database to this version: the queue's schema, ours, the grants"""
    url = connection_string(database_url(os.environ), statement_timeout="0")
    sql_root()  # nothing is begun without the files that end it
    is_new = apply_queue_schema(url)
    print(f"queue: procrastinate {version('procrastinate')} {'applied' if is_new else 'is there'}")
    for name in apply_all(url):
        print(f"migration: {name} applied")
    apply_queue_grants(url)
    print("the database is up to date")
    return 0


def worker(options: argparse.Namespace) -> int:
    """carry payouts until SIGTERM or Ctrl-C"""
    settings = Settings.read(os.environ)
    lines = logs.start(options.log_level)
    try:
        asyncio.run(run_until_stopped(settings))
    finally:
        logs.finish(lines)
    os._exit(0)  # an ordinary exit would wait for a log that is not read


def doctor(options: argparse.Namespace) -> int:
    """check the installation; exit code 1 if a check fails, 0 if there are only warnings"""
    return asyncio.run(_doctor(_settings_that_connect()))


async def _doctor(settings: Settings) -> int:
    print(", ".join(f"{name} {version(name)}" for name in ("stripe", "procrastinate", "psycopg")))
    key: Check = {
        "check_name": "Stripe key",
        "status": "ok",
        "detail": f"{settings.key_mode} mode",
        "hint": None,
    }
    account_id, answers = await _check_stripe(settings)
    async with Database(settings.database_url) as database:
        found: list[Check] = await database.call(
            "doctor", p_stripe_account_id=account_id, p_is_livemode=settings.is_livemode
        )
    checks = [key, *answers, *found]
    width = max(len(check["check_name"]) for check in checks)
    for check in checks:
        print(MARKS[check["status"]], f"{check['check_name']:{width}}", check["detail"])
        if check["status"] != "ok" and check["hint"]:
            print(" " * 4, " " * width, check["hint"])
    return 1 if any(check["status"] == "failure" for check in checks) else 0


async def _check_stripe(settings: Settings) -> tuple[str | None, list[Check]]:
    """Return the account that the key belongs to, if Stripe says it, and checks to print."""
    answers: Check = {"check_name": "Stripe answers", "status": "ok", "detail": "", "hint": None}
    lists: Check = answers | {"check_name": "Stripe lists transfers"}
    async with StripePayoutAdapter(
        api_key=settings.stripe_api_key, api_base=settings.stripe_api_base
    ) as adapter:
        try:
            account_id = await adapter.account_id()
        except AccountUnknown as error:
            hint = "See STRIPE_API_KEY and STRIPE_API_BASE."
            return None, [_failed(answers, error, hint)]
        answers["detail"] = f"account {account_id} at {settings.stripe_api_base}"
        try:
            await adapter.list_page("/v1/transfers", {})
        except READ_FAILURES as error:
            hint = "Nothing is claimed before Stripe's newest transfers can be compared: the key "
            hint += "needs the right to read transfers."
            return account_id, [answers, _failed(lists, error, hint)]
    lists["detail"] = "the newest can be compared with the books"
    return account_id, [answers, lists]


def _failed(check: Check, error: Exception, hint: str) -> Check:
    return check | {"status": "failure", "detail": redact(str(error)), "hint": hint}


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


def report(options: argparse.Namespace) -> int:
    """write the state of all payouts as one HTML page, under a login in payout_auditor"""
    with Reader(database_url(os.environ)) as reader:
        html = page(reader.call("summary"))
    with written_to(options.output) as output:
        output.write(html)
    return 0


def export(options: argparse.Namespace) -> int:
    """write the ledger of some days (UTC) for accounting; exit code 1 if its sums are not right"""
    interval = ledger_export.Interval.read(options.begin, options.end)
    try:
        with (
            Reader(database_url(os.environ)) as reader,
            written_to(options.output) as output,
            ExportProgress(sys.stderr) as progress,
        ):
            count, totals = ledger_export.export(
                reader, interval, form=options.format, output=output, show=progress.show
            )
    except ledger_export.BooksDiffer as error:
        print("payout-engine:", error, file=sys.stderr)
        return 1
    print(f"{count:,} entries {interval}", *ledger_export.table(totals), sep="\n", file=sys.stderr)
    if not interval.is_over():
        print("these days are not over: more may still be booked in them", file=sys.stderr)
    return 0


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


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    parser = argparse.ArgumentParser(prog="payout-engine")
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
    add(worker).add_argument("--log-level", choices=levels, default="INFO")
    add(doctor)
    add(reconcile)
    add(report).add_argument("--output", metavar="FILE", help="instead of standard output")
    exported = add(export)
    exported.add_argument("book", choices=["ledger"])
    for option, name, told in (
        ("--from", "begin", "the first day, as 2026-01-31"),
        ("--to", "end", "the day after the last one: it is left out"),
    ):
        exported.add_argument(option, dest=name, metavar="DATE", required=True, help=told)
    exported.add_argument("--format", choices=["csv", "jsonl"], default="csv")
    exported.add_argument("--output", metavar="FILE", help="instead of standard output")
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
