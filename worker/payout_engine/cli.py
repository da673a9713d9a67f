"""The command `payout-engine`, with a subcommand for each thing to do.

A user's mistake is answered with a sentence and exit code 2, never with a traceback: to start the
command again does not help. A fault of ours ends it with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import logging
import os
import re
import sys
import textwrap
from collections.abc import Callable
from importlib.metadata import version
from typing import ClassVar, Final, NoReturn

import psycopg

from payout_engine import RELEASE, logs, processes
from payout_engine import export as ledger_export
from payout_engine.app import run_until_stopped
from payout_engine.database import connection_string, inspect_database, reading, worker_name
from payout_engine.doctor import examine
from payout_engine.engine import open_engine
from payout_engine.errors import PayoutError, UserError, sentence
from payout_engine.migrate import bring_to_date
from payout_engine.output import (
    UNWRITABLE,
    Progress,
    open_closed_streams,
    print_no_more,
    written_to,
)
from payout_engine.reconcile import READ_FAILURES, NewestUnread
from payout_engine.reporter import describe
from payout_engine.rows import Check, OpenDiscrepancies, Outcome, Report
from payout_engine.settings import DATABASE, ENVIRONMENT, Settings, database_url
from payout_engine.sql_files import sql_root
from payout_engine.stripe_payout_adapter import AccountUnknown

logger = logging.getLogger(__name__)

INDENT: Final = " " * 11
MOST_PROCESSES: Final = 64
JOB_ID: Final = "the number of a payout job, which complete_settlement returns"
MARKS: Final = {"ok": "ok  ", "warning": "warn", "failure": "FAIL"}
EXPECTED: Final = (
    UserError,
    PayoutError,
    AccountUnknown,
    NewestUnread,
    *READ_FAILURES,
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
    lines = logs.start(options.log_level, form=options.log_format, worker=worker_name())
    if options.parent:
        processes.end_with(options.parent)
    code = 0
    try:
        settings = Settings.read(os.environ, http=options.http)
        if options.processes > 1:
            code = asyncio.run(processes.run(_each_alone(options, settings)))
        else:
            asyncio.run(run_until_stopped(settings))
    except EXPECTED as error:
        if options.log_format == "text":
            raise
        logger.critical("%s", sentence(error), extra={"event": "refused"})
        code = 2
    except Exception:
        logger.critical("the worker ends by a fault", exc_info=True, extra={"event": "fault"})
        code = 1
    finally:
        logs.finish(lines)
    os._exit(code)  # an ordinary exit would wait for a log that is not read


def _each_alone(options: argparse.Namespace, settings: Settings) -> list[list[str]]:
    """Return the command for each of several workers; monitors find them at ports in a row."""
    # With -P as the command itself: nothing is imported from the current directory.
    command = [sys.executable, "-P", "-m", "payout_engine", *Parser.given]
    command += ["--processes=1", f"--parent={os.getpid()}"]
    if settings.http is None:
        return [command] * options.processes
    host, port = settings.http
    host = f"[{host}]" if ":" in host else host
    return [[*command, f"--http={host}:{port + number}"] for number in range(options.processes)]


def doctor(options: argparse.Namespace) -> int:
    """check the installation; exit code 1 if a check fails, 0 if there are only warnings"""
    return asyncio.run(_doctor(options))


async def _doctor(options: argparse.Namespace) -> int:
    settings = Settings.read(os.environ, needs_key=False)
    login = await inspect_database(settings.database_url)
    login.check_engine()
    try:
        checks = await examine(settings)
    except psycopg.errors.InsufficientPrivilege:
        raise UserError(
            f"login {login.role} may not examine the engine: grant payout_auditor to {login.role}"
        ) from None
    if options.quiet:
        checks = [check for check in checks if check["status"] != "ok"]
    levels = [*MARKS]
    status = max((check["status"] for check in checks), key=levels.index, default="ok")
    if options.json:
        told = {"status": status, "versions": _versions(), "checks": checks}
        print(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        _print_checks(checks, with_versions=not options.quiet)
    return int(levels.index(status) >= levels.index(options.fail_on))


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
            found = await engine.reconciler.run(progress.compared)
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
    from payout_engine.report import page  # no other command needs its template

    with reading(database_url(os.environ)) as call:
        html = page(call("summary"))
    with written_to(options.output) as output:
        output.write(html)
    return 0


def export(options: argparse.Namespace) -> int:
    """write the ledger of some days (UTC) for accounting; exit code 1 if its sums are not right"""
    interval = ledger_export.Interval.read(options.begin, options.end)
    try:
        with (
            reading(database_url(os.environ)) as call,
            written_to(options.output) as output,
            Progress(sys.stderr, after_seconds=1.0) as progress,
        ):
            progress.exported(0, interval.begin)  # the rate counts from here
            count, totals = ledger_export.export(
                call, interval, form=options.format, output=output, show=progress.exported
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


def files(options: argparse.Namespace) -> int:
    """print the folder of the README, docs/, deploy/ and sql/ops/, which come with the program"""
    print(sql_root())
    return 0


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
    asyncio.run(inspect_database(settings.database_url)).check_worker()
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


def _number_of_processes(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_PROCESSES:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {MOST_PROCESSES}")
    if int(text) > 1 and sys.platform != "linux":
        raise argparse.ArgumentTypeError("several processes need Linux")
    return int(text)


def _job_id(text: str) -> int:
    if not re.fullmatch("[0-9]{1,19}", text) or not 0 < int(text) < 1 << 63:
        raise argparse.ArgumentTypeError(JOB_ID)
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    open_closed_streams()
    Parser.given = sys.argv[1:] if arguments is None else arguments
    parser = Parser(prog="payout-engine")
    told_version = f"payout-engine {RELEASE}"
    parser.add_argument("--version", action="version", version=told_version)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        run: Callable[[argparse.Namespace], int], settings: str = ENVIRONMENT
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(
            run.__name__,
            help=run.__doc__,
            description=run.__doc__,
            epilog=settings,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run)
        return command

    add(migrate, DATABASE)
    levels = ["DEBUG", "INFO", "WARNING", "ERROR"]
    worker_options = add(worker).add_argument
    worker_options("--log-level", choices=levels, default="INFO", help="the least that is logged")
    worker_options("--log-format", choices=logs.FORMATS, default="text", help="text, or JSON lines")
    worker_options(
        "--http",
        metavar="HOST:PORT",
        help="answer /healthz, /readyz and /metrics there; of several processes each has its port",
    )
    several = "run so many worker processes under one parent (1)"
    worker_options("--processes", metavar="N", type=_number_of_processes, default=1, help=several)
    worker_options("--parent", type=int, help=argparse.SUPPRESS)
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
    to_file = "the file to write; without it, or with -, standard output"
    add(report, DATABASE).add_argument("--output", metavar="FILE", help=to_file)
    exported = add(export, DATABASE)
    exported.add_argument("book", metavar="ledger", choices=["ledger"], help="all its entries")
    for option, name, told in (
        ("--from", "begin", "the first day, as 2026-01-31"),
        ("--to", "end", "the day after the last one: it is left out"),
    ):
        exported.add_argument(option, dest=name, metavar="DATE", required=True, help=told)
    exported.add_argument(
        "--format", choices=["csv", "jsonl"], default="csv", help="CSV, or JSON lines"
    )
    exported.add_argument("--output", metavar="FILE", help=to_file)
    add(demo, "").add_argument(
        "--keep", action="store_true", help="leave it running, to look around"
    )
    add(files, "")
    add(execute).add_argument("payout_job_id", metavar="JOB_ID", type=_job_id, help=JOB_ID)
    options = parser.parse_args(arguments)
    logs.start_plain()  # the worker goes on with a log of its own
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except EXPECTED as error:
        print("payout-engine:", sentence(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        print_no_more()
        return 0
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        print_no_more()
        print("payout-engine: standard output cannot be written:", error.strerror, file=sys.stderr)
        return 2
    return code
