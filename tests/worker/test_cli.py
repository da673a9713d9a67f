"""The command prints its results, and answers each mistake of a user with a sentence."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from payout_engine import cli
from payout_engine.app import run_until_stopped
from payout_engine.database import inspect_database
from payout_engine.errors import UserError
from payout_engine.reconcile import Reconciler
from payout_engine.settings import Settings
from payout_engine.sql_files import migration_names, sql_root
from payout_engine.stripe_payout_adapter import Refused, Unreadable
from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from payout_engine_sandbox.stripe_double import Fault, StripeDouble
from tests.conftest import PASSWORD, ROOT, Server
from tests.engine import unguarded
from tests.worker.fakes import CANARY

Connection = psycopg.Connection[Any]
EXPORT = ["export", "ledger", "--from", "2026-01-01", "--to", "2026-02-01"]
SETTLED = """
do $$ begin
    perform payout_api.register_payee(
        p_payee_id => 'seller_' || n, p_stripe_account_id => 'acct_' || n)
    from generate_series(1, 2) as n;
    perform payout_api.complete_settlement(
        p_settlement_id => 'set_1', p_currency => 'usd',
        p_lines => '[{"line_id": "1", "payee_id": "seller_1", "amount_minor": 700},
                     {"line_id": "2", "payee_id": "seller_2", "amount_minor": 800}]');
end $$
"""


def refusal_of(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the sentence with which a command ends; a worker's without the log that it starts."""
    if command == ["worker"]:
        with pytest.raises(UserError) as caught:
            asyncio.run(run_until_stopped(Settings.read(os.environ)))
        return f"payout-engine: {caught.value}\n"
    assert cli.main(command) == 2
    return capsys.readouterr().err


DOCTOR = """
create or replace function payout_api.doctor(
    p_stripe_account_id text default null, p_is_livemode boolean default null)
returns table (check_name text, status text, detail text, hint text)
language sql as $$ values ('guards', '{}', 'all are ALWAYS', 'Run this.') $$
"""


MAY_NOT_LIST = Fault(
    method="GET",
    effect="none",
    status=403,
    error_message="The key may not read transfers.",
    times=None,
)


@pytest.fixture
def double() -> Iterator[StripeDouble]:
    with StripeDouble.in_thread() as double:
        yield double


@pytest.fixture
def key(double: StripeDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of a worker of this test's double."""
    for name in ("STRIPE_API_KEY_FILE", "PAYOUT_MAX_IN_FLIGHT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STRIPE_API_KEY", CANARY)
    monkeypatch.setenv("STRIPE_API_BASE", double.url)


@pytest.fixture
def environment(key: None, dsn: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of a worker of this test's database and double."""
    monkeypatch.setenv("DATABASE_URL", dsn("payout_worker"))


def test_migrate_brings_an_empty_database_to_date_and_then_finds_nothing_to_do(
    server: Server,
    empty_database: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database())
    with server.migrating():
        assert cli.main(["migrate"]) == 0
    first = capsys.readouterr().out
    queue = f"queue: procrastinate {version('procrastinate')}"
    assert first.startswith(f"{queue} applied\n")
    for name in migration_names(ROOT / "migrations"):
        assert f"migration: {name} applied\n" in first
    assert cli.main(["migrate"]) == 0
    assert capsys.readouterr().out == f"{queue} is there\nthe database is up to date\n"


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"payout-engine {version('payout-engine')}\n"


def test_the_demo_without_its_extra_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "rich" else find(name)
    )
    assert cli.main(["demo"]) == 2
    assert capsys.readouterr() == (
        "",
        "payout-engine: the demo needs rich: pip install rich\n",
    )


def test_migrate_touches_nothing_where_its_files_are_missing(
    empty_database: Callable[[], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uri = empty_database()
    monkeypatch.setenv("DATABASE_URL", uri)
    monkeypatch.setattr(cli, "sql_root", lambda: sql_root(tmp_path / "lib" / "payout_engine"))
    assert cli.main(["migrate"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        f"payout-engine: {tmp_path}/lib/payout_engine lacks its SQL files: "
        "install payout-engine again, from its wheel or a checkout\n"
    )
    with psycopg.connect(uri) as connection:
        assert connection.execute("select to_regnamespace('procrastinate')").fetchone() == (None,)


@pytest.mark.usefixtures("environment")
def test_execute_carries_one_payout_job_and_prints_its_states(
    db: Connection, double: StripeDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    db.execute(SETTLED.encode())
    [(job_id,)] = db.execute("select payout_job_id from payout.payout_jobs").fetchall()
    double.set_account(account_id="acct_2", state="closed")
    assert cli.main(["execute", str(job_id)]) == 0
    told = sorted(capsys.readouterr().out.splitlines())
    assert len(told) == 2
    assert "response 200 tr_" in told[0]
    assert told[0].endswith("-> ok, paid")
    assert "response 400" in told[1]
    assert cli.main(["execute", str(job_id)]) == 0
    assert capsys.readouterr().out == (
        f"nothing of payout job {job_id} is due, or there is no such job\n"
    )
    assert len(double.transfers()) == 1


def age_comparisons(db: Connection) -> None:
    """Let Stripe's newest transfers have been compared an hour ago."""
    with unguarded(db, "payout.stripe_reads"):
        db.execute("update payout.stripe_reads set begun_at = begun_at - interval '1 hour'")


@pytest.mark.usefixtures("environment")
def test_execute_with_a_key_that_may_not_read_transfers_says_so_and_claims_nothing(
    db: Connection, double: StripeDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    db.execute(SETTLED.encode())
    age_comparisons(db)
    double.inject(MAY_NOT_LIST)
    assert cli.main(["execute", "1"]) == 2
    assert capsys.readouterr() == (
        "",
        "payout-engine: nothing is claimed, because Stripe's newest transfers cannot be compared "
        "with the books: Refused: HTTP status 403: The key may not read transfers.; the key needs "
        "the right to read transfers\n",
    )
    assert double.sends == []


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("status", "mark", "exit_code"),
    [("ok", "ok  ", 0), ("warning", "warn", 0), ("failure", "FAIL", 1)],
)
def test_doctor_prints_each_check_and_what_to_do(
    db: Connection, capsys: pytest.CaptureFixture[str], status: str, mark: str, exit_code: int
) -> None:
    db.execute(DOCTOR.format(status).encode())
    assert cli.main(["doctor"]) == exit_code
    told = capsys.readouterr().out
    assert ("Run this." in told) is (status != "ok")
    lines = [" ".join(line.split()) for line in told.splitlines()]
    assert f"{mark.strip()} guards all are ALWAYS" in lines
    assert "ok Stripe key test mode" in lines
    assert any(line.startswith("ok Stripe answers account acct_") for line in lines)
    assert "ok Stripe lists transfers the newest can be compared with the books" in lines
    assert f"stripe {version('stripe')}" in told
    assert CANARY not in told


@pytest.mark.usefixtures("environment")
def test_doctor_says_that_stripe_does_not_take_the_key(
    db: Connection, double: StripeDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    db.execute(DOCTOR.format("ok").encode())
    double.revoke_key(api_key=CANARY)
    assert cli.main(["doctor"]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "FAIL Stripe answers Stripe does not say whose key it is: Refused: HTTP status" in told
    assert "See STRIPE_API_KEY and STRIPE_API_BASE." in told
    assert CANARY not in told


@pytest.mark.usefixtures("environment")
def test_doctor_says_that_the_key_may_not_read_transfers(
    db: Connection, double: StripeDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    db.execute(DOCTOR.format("ok").encode())
    double.inject(MAY_NOT_LIST)
    assert cli.main(["doctor"]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "FAIL Stripe lists transfers HTTP status 403: The key may not read transfers." in told
    assert "can be compared: the key needs the right to read transfers." in told


@pytest.mark.usefixtures("environment")
def test_doctor_compares_the_key_with_the_account_that_is_fixed(
    db: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    db.execute("update payout.engine_settings set stripe_account_id = 'acct_1', is_livemode = true")
    assert cli.main(["doctor"]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "ok the database is adopted by" in told
    assert (
        "FAIL the key is of the fixed account fixed: acct_1 in live mode; "
        "the key: acct_platform in test mode" in told
    )


@pytest.mark.usefixtures("environment")
def test_execute_says_why_claims_are_refused_and_how_to_go_on(
    db: Connection, double: StripeDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    db.execute(SETTLED.encode())
    db.execute("insert into payout.adoptions (reason) values ('a test')")
    assert cli.main(["execute", "1"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(
        "payout-engine: no transfer is handed out: this database is not the one that was adopted. "
        "Claims were stopped: a test. docs/restore.md: "
    )
    assert double.sends == []


@pytest.mark.usefixtures("environment")
def test_execute_says_that_stripe_does_not_take_the_key(
    double: StripeDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    double.revoke_key(api_key=CANARY)
    assert cli.main(["execute", "1"]) == 2
    assert "Stripe does not say whose key it is: Refused: HTTP" in capsys.readouterr().err


EXECUTE_AS_PROCESS_1 = (
    "import os; os.getpid = lambda: 1; from payout_engine import cli; cli.main(['execute', '1'])"
)


@pytest.mark.usefixtures("environment")
def test_a_refused_key_holds_up_no_later_process_that_gets_the_same_number(
    db: Connection, double: StripeDouble
) -> None:
    """The attack: in a container each process has the number 1."""

    def execute() -> str:
        command = [sys.executable, "-c", EXECUTE_AS_PROCESS_1]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    db.execute(SETTLED.encode())
    double.inject("key_expired", times=2)
    assert execute().count("response 401 api_key_expired -> ok, retry_wait") == 2
    assert db.execute("select scope, released_at from payout.holds").fetchall() == [
        ("worker", None)
    ]
    db.execute("update payout.transfer_states set next_attempt_at = now() - interval '1 second'")
    assert execute().count("-> ok, paid") == 2


INTERRUPTED = """
import signal, sys
from importlib.metadata import entry_points


class Finder:
    def find_spec(self, name, *more):
        if name == "psycopg":
            signal.raise_signal(signal.SIGINT)


sys.meta_path.insert(0, Finder())
[command] = entry_points(group="console_scripts", name="payout-engine")
sys.exit(command.load()())
"""


def test_ctrl_c_ends_a_command_that_is_still_being_imported_without_a_word() -> None:
    ended = subprocess.run(
        ["sh", "-c", f"'{sys.executable}' -c '{INTERRUPTED}' doctor; echo $?"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("130\n", "")


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize(
    "command",
    [["worker"], ["doctor"], ["execute", "1"], ["migrate"], ["reconcile"], ["report"], EXPORT],
)
def test_a_missing_database_is_reported_in_one_sentence(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert cli.main(command) == 2
    assert capsys.readouterr().err == (
        "payout-engine: DATABASE_URL is not set: set it to a libpq URI, for example "
        "postgresql://payouts@localhost:5432/shop, or set DATABASE_URL_FILE\n"
    )


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize(
    "command", [["doctor"], ["execute", "1"], ["reconcile"], ["report"], EXPORT]
)
def test_a_database_that_was_never_migrated_is_reported_with_the_command_to_run(
    command: list[str],
    empty_database: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database())
    assert cli.main(command) == 2
    told = capsys.readouterr().err
    assert re.fullmatch(
        r"payout-engine: the database payout_\w+ at [^ ]+ holds no payout engine: "
        r"run payout-engine migrate\n",
        told,
    )


FOUND: dict[str, int | None] = {"look-ups": 3, "new events": 0, "transfers compared": 12_345}


@pytest.fixture
def compare(environment: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the comparison end with a result, or raise it if it is an exception."""

    def end_with(found: dict[str, int | None] | BaseException) -> None:
        async def run(self: Reconciler, on_progress: Callable[..., None]) -> Any:
            on_progress(0, 12_000)
            if isinstance(found, BaseException):
                raise found
            return found

        monkeypatch.setattr(Reconciler, "run", run)

    return end_with


def test_reconcile_prints_how_much_was_read_and_that_nothing_is_open(
    db: Connection, compare: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    compare(FOUND)
    assert cli.main(["reconcile"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == [
        "[..............................] 0 of about 12,000 transfers, 0/s",
        "look-ups                       3",
        "new events                     0",
        "transfers compared        12,345",
        "nothing is open: Stripe and the books agree",
    ]


def test_reconcile_prints_open_discrepancies_by_kind_with_their_advice(
    db: Connection, compare: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    compare(FOUND)
    for kind, advice, is_resolved in (
        ("missing_at_stripe", "Look the id up.", False),
        ("missing_at_stripe", "Look this one up too.", False),
        ("differs_at_stripe", "Correct the difference.", False),
        ("over_and_done", "Nothing.", True),
    ):
        db.execute(
            "insert into payout.discrepancies (kind, advice, resolved_at, resolved_by, resolution) "
            "select %s, %s, r.at, r.by, r.by from (select case when %s then now() end, "
            "case when %s then 'me' end) as r (at, by)",
            [kind, advice, is_resolved, is_resolved],
        )
    assert cli.main(["reconcile"]) == 1
    told = capsys.readouterr().out
    assert re.search(
        r"\n        2  missing_at_stripe, since 20.*\n           Look the id up.\n"
        r"        1  differs_at_stripe, since 20.*\n           Correct the difference.\n$",
        told,
    )
    assert "over_and_done" not in told
    assert "nothing is open" not in told


def test_reconcile_does_not_say_that_all_is_well_when_something_could_not_be_read(
    db: Connection, compare: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    compare(FOUND | {"new events": None})
    assert cli.main(["reconcile"]) == 1
    told = capsys.readouterr().out
    assert "new events                failed" in told
    assert "nothing is open" not in told


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (Refused(401, f"Invalid API Key {CANARY}"), 2, "HTTP status 401: Invalid API Key ***"),
        (Unreadable("the body is not JSON"), 2, "the body is not JSON"),
        (aiohttp.ServerDisconnectedError(), 2, "Server disconnected"),
        (TimeoutError(), 2, "TimeoutError"),
    ],
)
def test_reconcile_says_in_a_line_that_stripe_cannot_be_read(
    db: Connection,
    compare: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
    message: str,
) -> None:
    compare(error)
    assert cli.main(["reconcile"]) == code
    assert capsys.readouterr().err == f"payout-engine: {message}\n"


def test_reconcile_can_be_interrupted(db: Connection, compare: Callable[..., None]) -> None:
    compare(KeyboardInterrupt())
    assert cli.main(["reconcile"]) == 130


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize(
    "command", [["doctor"], ["execute", "1"], ["migrate"], ["reconcile"], ["report"], EXPORT]
)
def test_an_unreachable_database_is_reported_without_its_password(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hidden@127.0.0.1:1/none")
    assert cli.main(command) == 2
    told = capsys.readouterr().err
    assert told.startswith("payout-engine: connection")
    assert "Connection refused" in told
    assert len(told.splitlines()) == 1
    assert "hidden" not in told


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("command", [["worker"], ["doctor"], ["migrate"], ["report"]])
@pytest.mark.parametrize(
    "url", ["postgresql://u:sec%ret@h/x", "postgresql://u:s ecret@h/x", "host=h password='secret"]
)
def test_a_malformed_database_url_shows_no_part_of_its_password(
    url: str,
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert cli.main(command) == 2
    told = capsys.readouterr().err
    assert told.startswith("payout-engine: ")
    assert len(told.splitlines()) == 1
    assert not re.search("sec|ret|ecret", told.replace("secret key", ""))


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize(
    "command",
    [["worker"], ["doctor"], ["reconcile"], ["execute", "1"], ["migrate"], ["report"]],
)
@pytest.mark.parametrize("part", ["dbname", "user"])
def test_what_cannot_pass_by_itself_ends_the_process_with_a_sentence(
    part: str,
    command: list[str],
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A service manager must not take a worker for alive that will never work (FIELD B23)."""
    wrong = {part: "nowhere_to_be_found"}
    monkeypatch.setenv("DATABASE_URL", make_conninfo(server.uri("postgres"), **wrong))
    told = refusal_of(command, capsys)
    assert re.fullmatch(
        r'payout-engine: no connection: (database|role) "nowhere_to_be_found" does not exist\n',
        told,
    )


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("command", [["worker"], ["doctor"], ["migrate"], ["report"]])
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"sslmode": "require"}, "server does not support SSL, but SSL was required"),
        ({"sslmode": "always"}, 'invalid sslmode value: "always"'),
        ({"service": "nowhere"}, 'definition of service "nowhere" not found'),
    ],
)
def test_a_connection_that_can_never_be_made_ends_the_process(
    wrong: dict[str, str],
    told: str,
    command: list[str],
    managed_uri: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A worker repeated a warning for ever, and looked active."""
    monkeypatch.setenv("DATABASE_URL", make_conninfo(managed_uri, **wrong))
    assert told in refusal_of(command, capsys)


@pytest.fixture(scope="module")
def managed_uri() -> Iterator[str]:
    """A server of its own: one that DATABASE_URL names may speak TLS."""
    with EmbeddedPostgres.start() as server:
        yield server.uri()


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("command", [["worker"], ["doctor"], ["migrate"], ["report"]])
def test_a_login_that_may_not_connect_ends_the_process(
    command: list[str],
    db: Connection,
    dsn: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = db.info.dbname
    db.execute(f"revoke connect on database {name} from public".encode())
    monkeypatch.setenv("DATABASE_URL", dsn("payout_worker"))
    assert refusal_of(command, capsys) == (
        f'payout-engine: no connection: permission denied for database "{name}" '
        "DETAIL: User does not have CONNECT privilege.\n"
    )


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("command", [["worker"], ["doctor"], ["reconcile"], ["report"]])
@pytest.mark.parametrize(
    ("release", "is_refused"), [("1.1", False), ("1.2", True), ("2.0", True), ("0.9", True)]
)
def test_another_release_of_the_schema_is_refused_save_the_next(
    release: str,
    is_refused: bool,
    command: list[str],
    db: Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    db.execute(
        "create or replace function payout_api.release() returns text language sql "
        f"as $$ select '{release}' $$".encode()
    )
    if not is_refused:
        asyncio.run(inspect_database(os.environ["DATABASE_URL"])).check_engine()
        return
    told = refusal_of(command, capsys)
    assert f"is of release {release} and this is payout-engine" in told


def test_the_schema_is_of_the_release_of_the_package(db: Connection) -> None:
    told = db.execute("select payout_api.release()").fetchone()
    assert told == (".".join(version("payout-engine").split(".")[:2]),)


@pytest.mark.usefixtures("environment")
def test_a_reader_that_has_seen_enough_ends_the_doctor_quietly(db: Connection) -> None:
    db.execute("select payout_api.heartbeat('worker_1', '1.0')")
    command = [sys.executable, "-m", "payout_engine", "doctor"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as doctor:
        assert doctor.stdout is not None
        assert doctor.stderr is not None
        doctor.stdout.close()
        assert doctor.stderr.read() == b""
        assert doctor.wait() == 0


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("command", ["doctor", "reconcile", f"{' '.join(EXPORT)}", "report"])
def test_standard_output_on_a_full_disk_is_told_in_a_sentence(
    command: str, dsn: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", dsn())
    ended = run(f"{command} > /dev/full")
    told = "payout-engine: standard output cannot be written: No space left on device"
    assert ended.stderr.splitlines()[-1] == told
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("closing", [">&-", "2>&-", ">&- 2>&-"])
def test_a_stream_that_is_closed_is_no_fault(
    closing: str, dsn: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", dsn())
    ended = run(f"report {closing}")
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 0


def run(command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a shell does."""
    return subprocess.run(
        ["sh", "-c", f"{sys.executable} -m payout_engine {command}"],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("login", ["payout_test_app", "a_new_login"])
@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("doctor", "may not examine the engine: grant payout_auditor to {}"),
        ("reconcile", "is no member of payout_worker: grant payout_worker to {}"),
        ("execute 1", "is no member of payout_worker: grant payout_worker to {}"),
    ],
)
def test_a_login_without_the_rights_of_a_command_is_told_the_grant(
    command: str,
    told: str,
    login: str,
    server: Server,
    database: str,
    db: Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It was "permission denied for function claim_reads", or "for schema payout_api"."""
    if login == "a_new_login":
        login += f"_{os.getpid()}"  # other processes test on the same server
        db.execute(f"create role {login} login password '{PASSWORD}'".encode())
    monkeypatch.setenv("DATABASE_URL", server.uri(database, user=login, password=PASSWORD))
    try:
        refusal = refusal_of(command.split(), capsys)
    finally:
        db.execute(f"drop role if exists a_new_login_{os.getpid()}".encode())
    assert refusal == f"payout-engine: login {login} {told.format(login)}\n"


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("command", ["reconcile", "execute 1"])
def test_a_database_that_takes_no_writes_is_told_in_a_sentence(
    command: str, db: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was followed by the whole statement, and by warnings of the connection pool."""
    name = db.info.dbname
    db.execute(f"alter database {name} set default_transaction_read_only = on".encode())
    ended = run(command)
    assert re.fullmatch(
        r"(ERROR reading [^\n]*\n)*payout-engine: cannot execute [A-Z ]+ in a read-only "
        r"transaction: payout-engine doctor says why the database takes no writes\n",
        ended.stderr,
    )
    assert ended.returncode == 2


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["pay"], "invalid choice: 'pay'"),
        (["execute", "one"], "JOB_ID: the number of a payout job, which complete_settlement"),
        (["execute", "-5"], "JOB_ID: the number of a payout job, which complete_settlement"),
        (["execute", str(1 << 63)], "JOB_ID: the number of a payout job, which complete_"),
        (["execute"], "the following arguments are required: JOB_ID"),
        (["export", "ledger"], "the following arguments are required: --from, --to"),
        (["export", "--from", "2026-11-01", "--to", "2026-12-01"], "are required: ledger"),
        (["export", "cash"], "invalid choice: 'cash'"),
        ([*EXPORT, "--format", "xls"], "invalid choice: 'xls'"),
    ],
)
def test_a_wrong_command_is_explained(
    command: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(command)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["migrate", "report", "export", "files", "demo"])
def test_help_names_no_setting_that_the_command_does_not_read(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    told = capsys.readouterr().out
    assert "STRIPE_API_KEY" not in told
    assert ("DATABASE_URL_FILE" in told) == (command not in ("files", "demo"))


@pytest.mark.parametrize("command", ["worker", "doctor", "reconcile", "execute"])
def test_help_names_every_setting_that_is_read(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: set[str] = set()

    class Environment(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            asked.add(name)
            return super().get(name, default)

    Settings.read(Environment(DATABASE_URL="postgresql:///x", STRIPE_API_KEY=CANARY))
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    told = capsys.readouterr().out
    assert asked
    assert [name for name in asked if name not in told] == []
