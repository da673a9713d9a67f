"""The command `payout-engine`: migrate, worker, doctor, reconcile, demo, execute.

A user's mistake is answered with a sentence and exit code 2, never with a traceback: to start the
command again does not help. A fault of ours ends it with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import sys
import textwrap
from collections.abc import Callable
from importlib.metadata import version
from typing import Final

import aiohttp
import psycopg
from yoyo.exceptions import LockTimeout

from payout_engine import logs, processes
from payout_engine.app import run_until_stopped
from payout_engine.database import (
    Database,
    apply_queue_grants,
    apply_queue_schema,
    connection_string,
    inspect_database,
    worker_name,
)
from payout_engine.engine import open_engine
from payout_engine.errors import MigrationError, NotReady, PayoutError, QueueSchemaError, redact
from payout_engine.migrate import apply_all
from payout_engine.progress import Progress
from payout_engine.reconcile import READ_FAILURES, NewestUnread
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

logger = logging.getLogger(__name__)

INDENT: Final = " " * 11
MOST_PROCESSES: Final = 64
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
    lines = logs.start(options.log_level, form=options.log_format, worker=worker_name())
    if options.parent:
        processes.end_with(options.parent)
    code = 0
    try:
        settings = Settings.read(os.environ)
        if options.processes > 1:
            code = asyncio.run(processes.run(_alone(options), count=options.processes))
        else:
            asyncio.run(run_until_stopped(settings))
    except EXPECTED as error:
        if options.log_format == "text":
            raise
        logger.critical("%s", _sentence(error), extra={"event": "refused"})
        code = 2
    except Exception:
        logger.critical("the worker ends by a fault", exc_info=True, extra={"event": "fault"})
        code = 1
    finally:
        logs.finish(lines)
    os._exit(code)  # an ordinary exit would wait for a log that is not read


def _alone(options: argparse.Namespace) -> list[str]:
    """Return the command for one of several workers."""
    form, level = options.log_format, options.log_level
    # With -P as the command itself: nothing is imported from the current directory.
    command = [sys.executable, "-P", "-m", "payout_engine.cli", "worker"]
    parent = f"--parent={os.getpid()}"
    return [*command, parent, f"--log-level={level}", f"--log-format={form}"]


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


def _sentence(error: Exception) -> str:
    return " ".join((redact(str(error)) or type(error).__name__).split())


def _number_of_processes(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_PROCESSES:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {MOST_PROCESSES}")
    if int(text) > 1 and sys.platform != "linux":
        raise argparse.ArgumentTypeError("several processes need Linux")
    return int(text)


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
    worker_options = add(worker).add_argument
    worker_options("--log-level", choices=levels, default="INFO")
    worker_options("--log-format", choices=logs.FORMATS, default="text", help="text, or JSON lines")
    several = "run so many worker processes under one parent (1)"
    worker_options("--processes", metavar="N", type=_number_of_processes, default=1, help=several)
    worker_options("--parent", type=int, help=argparse.SUPPRESS)
    add(doctor)
    add(reconcile)
    add(demo).add_argument("--keep", action="store_true", help="leave it running, to look around")
    add(execute).add_argument("payout_job_id", metavar="JOB_ID", type=int)
    options = parser.parse_args(arguments)
    logs.start_plain()  # the worker goes on with a log of its own
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except EXPECTED as error:
        print("payout-engine:", _sentence(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


if __name__ == "__main__":
    sys.exit(main())
