"""The command `doctor`: levels, forms of output, Stripe's rights, and the machine."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from payout_engine import cli, doctor
from payout_engine_sandbox.stripe_double import Fault, StripeDouble
from tests.conftest import Connection
from tests.operate.checks import REVOKE_TEMPORARY
from tests.worker.fakes import CANARY

RIGHTS: Final = {
    "transfer_read": "Stripe lists transfers",
    "event_read": "Stripe lists events",
    "balance_read": "Stripe tells the balance",
    "transfer_write": "Stripe takes transfers",
}


@pytest.fixture
def double() -> Iterator[StripeDouble]:
    with StripeDouble.in_thread() as double:
        yield double


@pytest.fixture
def healthy(
    db: Connection,
    double: StripeDouble,
    dsn: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> Connection:
    """A database in order, with the settings of a worker, and a worker that is alive."""
    name = psycopg.sql.Identifier(db.info.dbname)
    db.execute(psycopg.sql.SQL(REVOKE_TEMPORARY).format(name))
    db.execute("select payout_api.heartbeat('worker_1', '1.0.0')")
    monkeypatch.delenv("STRIPE_API_KEY_FILE", raising=False)
    monkeypatch.setenv("STRIPE_API_KEY", CANARY)
    monkeypatch.setenv("STRIPE_API_BASE", double.url)
    monkeypatch.setenv("DATABASE_URL", dsn("payout_operator"))
    return db


def examined(
    capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the exit code of `doctor --json` and its checks by name."""
    code = cli.main(["doctor", "--json", *options])
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"status", "versions", "checks"}
    assert set(told["versions"]) == {"payout-engine", "stripe", "procrastinate", "psycopg"}
    return code, {check["check_name"]: check for check in told["checks"]}


def test_a_deliberate_hold_is_a_warning_in_word_and_exit_code(
    healthy: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 for ever (FIELD B29)."""
    healthy.execute("select payout_api.register_payee('seller_1', 'acct_1')")
    healthy.execute("select payout_api.hold('payee', 'asked to wait', 'seller_1')")
    code, checks = examined(capsys)
    assert checks["nothing is on hold"]["status"] == "warning"
    assert {check["status"] for check in checks.values()} == {"ok", "warning"}
    assert code == 0
    assert cli.main(["doctor", "--fail-on", "warning"]) == 1
    told = capsys.readouterr().out
    assert "warn nothing is on hold" in told
    assert "\nok   " in told


def test_quiet_prints_only_what_is_not_ok(
    healthy: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["doctor", "--quiet"]) == 0
    told = capsys.readouterr().out
    assert {line[:4] for line in told.splitlines()} <= {"warn", "    "}
    healthy.execute("update payout.workers set last_seen_at = now() - interval '1 hour'")
    assert cli.main(["doctor", "--quiet"]) == 1
    assert "FAIL a worker is alive" in capsys.readouterr().out


def test_nothing_at_all_is_printed_where_all_is_well(
    healthy: Connection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def nothing(settings: object) -> list[Any]:
        return [{"check_name": "x", "status": "ok", "detail": "y", "hint": None}]

    monkeypatch.setattr(cli, "examine", nothing)
    assert cli.main(["doctor", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_without_a_key_all_is_told_that_needs_none(
    healthy: Connection,
    double: StripeDouble,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("STRIPE_API_KEY")
    code, checks = examined(capsys)
    assert code == 0
    assert checks["Stripe key"]["detail"] == "none is set: Stripe is not asked"
    assert "Stripe answers" not in checks
    assert checks["the clock is Stripe's"]["detail"] == "not compared"
    assert checks["everything is as it was deployed"]["status"] == "ok"
    assert double.requests == []


@pytest.mark.parametrize("missing", [None, *RIGHTS])
def test_each_right_of_the_key_is_tried_and_nothing_is_moved(
    healthy: Connection,
    double: StripeDouble,
    capsys: pytest.CaptureFixture[str],
    missing: str | None,
) -> None:
    """The comparison failed for ever, and doctor found all well."""
    rights: Collection[str] = set(RIGHTS) - {missing}
    double.limit_key(api_key=CANARY, rights=rights)
    code, checks = examined(capsys)
    refused = {name: check for name, check in checks.items() if "rak_" in check["detail"]}
    assert [*refused] == ([RIGHTS[missing]] if missing else [])
    for check in refused.values():
        assert check["status"] == ("warning" if missing == "balance_read" else "failure")
        assert f"rak_{missing}" in check["detail"]
        assert "the right to" in check["hint"]
    assert code == (0 if missing in (None, "balance_read") else 1)
    assert double.transfers() == []
    assert CANARY not in repr(checks)


def test_a_stripe_that_takes_an_empty_transfer_is_a_failure(
    healthy: Connection, double: StripeDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    double.inject(Fault(effect="none", status=200, body="{}"))
    code, checks = examined(capsys)
    assert checks["Stripe takes transfers"]["status"] == "failure"
    assert "was not refused" in checks["Stripe takes transfers"]["detail"]
    assert code == 1


@pytest.mark.parametrize(("minutes", "status"), [(4, "ok"), (6, "failure"), (-6, "failure")])
def test_a_clock_that_is_not_stripes_is_a_failure(
    healthy: Connection,
    double: StripeDouble,
    capsys: pytest.CaptureFixture[str],
    minutes: int,
    status: str,
) -> None:
    date = format_datetime(datetime.now(tz=UTC) + timedelta(minutes=minutes), usegmt=True)
    for path in ("/v1/account", "/v1/transfers", "/v1/events"):
        double.inject(Fault(method="GET", path=path, headers={"Date": date}))
    _, checks = examined(capsys)
    assert checks["the clock is Stripe's"]["status"] == status


@pytest.mark.parametrize(
    ("key", "days", "status", "told"),
    [
        ("sk_test_a", None, "ok", "a secret key in the environment"),
        ("sk_live_a", None, "warning", "a secret key in the environment"),
        ("rk_live_a", None, "ok", "a restricted key in the environment"),
        ("rk_live_a", 10, "ok", "a restricted key in a file that was written 10 days ago"),
        ("rk_live_a", 400, "warning", "a restricted key in a file that was written 400 days ago"),
    ],
)
def test_a_key_that_is_old_or_may_do_too_much_is_a_warning(
    healthy: Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    key: str,
    days: int | None,
    status: str,
    told: str,
) -> None:
    if days is None:
        monkeypatch.setenv("STRIPE_API_KEY", key)
    else:
        file = tmp_path / "key"
        file.write_text(key, encoding="ascii")
        at = time.time() - days * 86_400 - 60
        os.utime(file, (at, at))
        monkeypatch.delenv("STRIPE_API_KEY")
        monkeypatch.setenv("STRIPE_API_KEY_FILE", str(file))
    _, checks = examined(capsys)
    check = checks["the key is rotated"]
    assert (check["status"], check["detail"]) == (status, told)
    assert "without a restart" in check["hint"]


@pytest.mark.parametrize(("free", "status"), [(20, "ok"), (9, "warning")])
def test_a_disk_that_fills_is_a_warning(free: int, status: str) -> None:
    now = datetime.now(tz=UTC)
    check = doctor._disk((free * 2**30, 100 * 2**30))
    assert check["status"] == status
    assert check["detail"] == f"{free}.0 of 100.0 GB are free"
    assert doctor._disk(None)["detail"].startswith("not known from here")
    assert doctor._clock(now, now - timedelta(minutes=6))["status"] == "failure"
