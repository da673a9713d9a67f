"""The command tells what it did, and answers what a user gets wrong with a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from sandbox.stripe_double import StripeDouble
from tests.worker.fakes import CANARY
from worker import cli
from worker.settings import Settings

Connection = psycopg.Connection[Any]
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
DOCTOR = """
create or replace function payout_api.doctor(
    p_stripe_account_id text default null, p_is_livemode boolean default null)
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql as $$ values ('guards', {}, 'all are ALWAYS', 'Run this.') $$
"""


@pytest.fixture
def double() -> Iterator[StripeDouble]:
    with StripeDouble.in_thread() as double:
        yield double


@pytest.fixture
def environment(dsn: Callable[..., str], double: StripeDouble, monkeypatch: Any) -> None:
    """What a worker of this test's database and double is given."""
    for name in ("STRIPE_API_KEY_FILE", "PAYOUT_MAX_IN_FLIGHT", "PAYOUT_CLAIM_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", dsn("payout_worker"))
    monkeypatch.setenv("STRIPE_API_KEY", CANARY)
    monkeypatch.setenv("STRIPE_API_BASE", double.url)


def test_migrate_brings_an_empty_database_to_date_and_then_finds_nothing_to_do(
    empty_database: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database())
    assert cli.main(["migrate"]) == 0
    first = capsys.readouterr().out
    assert "procrastinate 3.10.0 applied\n" in first
    assert "migration: 0001-foundation applied\n" in first
    assert cli.main(["migrate"]) == 0
    assert capsys.readouterr().out == (
        "queue: procrastinate 3.10.0 is there\nthe database is up to date\n"
    )


@pytest.mark.usefixtures("environment")
def test_execute_carries_one_payout_job_and_tells_what_became_of_it(
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
    assert capsys.readouterr().out == f"nothing of payout job {job_id} is due\n"
    assert len(double.transfers()) == 1


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("is_ok", "line"),
    [(True, "ok   guards         all are ALWAYS"), (False, "FAIL guards         all are ALWAYS")],
)
def test_doctor_tells_what_is_not_as_it_should_be(
    db: Connection, capsys: pytest.CaptureFixture[str], is_ok: bool, line: str
) -> None:
    db.execute(DOCTOR.format(is_ok).encode())
    assert cli.main(["doctor"]) == (0 if is_ok else 1)
    told = capsys.readouterr().out
    assert line in told
    assert ("Run this." in told) is not is_ok
    assert "ok   Stripe key     test mode" in told
    assert "ok   Stripe answers account acct_" in told
    assert "stripe 16.1.0" in told
    assert CANARY not in told


@pytest.mark.usefixtures("environment")
def test_doctor_tells_that_stripe_does_not_take_the_key(
    db: Connection, double: StripeDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    db.execute(DOCTOR.format(True).encode())
    double.revoke_key(api_key=CANARY)
    assert cli.main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "FAIL Stripe answers Stripe does not say whose key it is: Refused: HTTP status" in told
    assert "See STRIPE_API_KEY and STRIPE_API_BASE." in told
    assert CANARY not in told


@pytest.mark.usefixtures("environment")
def test_doctor_compares_the_key_with_the_account_that_is_fixed(
    db: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    db.execute("update payout.engine_settings set stripe_account_id = 'acct_1', is_livemode = true")
    assert cli.main(["doctor"]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "ok the gate is open adopted by" in told
    assert (
        "FAIL the key is of the fixed account fixed: acct_1 in live mode; "
        "the key: acct_platform in test mode" in told
    )


@pytest.mark.usefixtures("environment")
def test_execute_tells_why_the_gate_is_closed_and_what_to_do(
    db: Connection, double: StripeDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    db.execute(SETTLED.encode())
    db.execute("insert into payout.epochs (reason) values ('a test')")
    assert cli.main(["execute", "1"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(
        "payout-engine: no transfer is handed out: this database is not where it was adopted. "
        "The gate was closed: a test. docs/restore.md: "
    )
    assert double.sends == []


@pytest.mark.usefixtures("environment")
def test_execute_tells_that_stripe_does_not_take_the_key(
    double: StripeDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    double.revoke_key(api_key=CANARY)
    assert cli.main(["execute", "1"]) == 2
    assert "Stripe does not say whose key it is: Refused: HTTP" in capsys.readouterr().err


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("command", [["worker"], ["doctor"], ["execute", "1"], ["migrate"]])
def test_a_missing_database_is_told_in_one_sentence(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    assert cli.main(command) == 2
    assert capsys.readouterr().err == (
        "payout-engine: DATABASE_URL is not set: set it to a libpq URI, for example "
        "postgresql://payouts@localhost:5432/shop\n"
    )


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("command", [["doctor"], ["execute", "1"], ["migrate"]])
def test_a_database_that_is_not_there_is_told_without_its_password(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hidden@127.0.0.1:1/none")
    assert cli.main(command) == 2
    told = capsys.readouterr().err
    assert told.startswith("payout-engine: connection")
    assert "Connection refused" in told
    assert len(told.splitlines()) == 1
    assert "hidden" not in told


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["pay"], "invalid choice: 'pay'"),
        (["execute", "one"], "invalid int value: 'one'"),
        (["execute"], "the following arguments are required: JOB_ID"),
    ],
)
def test_a_command_that_is_none_is_explained(
    command: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(command)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["migrate", "worker", "doctor", "execute"])
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
