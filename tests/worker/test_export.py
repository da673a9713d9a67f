"""`payout-engine export ledger`: each entry once, and totals that agree with the trial balance."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from payout_engine import cli
from payout_engine import export as ledger_export
from payout_engine.database import Call, reading
from payout_engine.errors import UserError
from payout_engine.export import BooksDiffer, Interval
from tests.audit.sealing import seal_everything
from tests.busy import FORMULA, SCRIPT, age, fill
from tests.engine import Engine, unguarded

EVER: Final = ("--from", "2001-01-01", "--to", "2101-01-01")
ENTRIES: Final = (
    "select ledger_entry_id, e.created_at, kind, debit_account, credit_account, e.amount_minor, "
    "e.currency, t.settlement_id, t.payee_id, payout_transfer_id, s.stripe_transfer_id "
    "from payout.ledger_entries as e join payout.payout_transfers as t using (payout_transfer_id) "
    "join payout.transfer_states as s using (payout_transfer_id) order by 1"
)


@pytest.fixture
def busy(shared_engine: Engine, dsn: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Books to export under an auditor's login, without a key."""
    fill(shared_engine)
    monkeypatch.setenv("DATABASE_URL", dsn("payout_auditor"))
    monkeypatch.delenv("STRIPE_API_KEY", raising=False)
    return shared_engine


@pytest.fixture
def call(busy: Engine, dsn: Callable[..., str]) -> Iterator[Call]:
    with reading(dsn("payout_auditor")) as call:
        yield call


def export(*options: str) -> int:
    return cli.main(["export", "ledger", *options])


def rows_of(text: str, form: str) -> list[dict[str, Any]]:
    """Return the entries of a file, as a program of accounting reads them."""
    if form == "jsonl":
        return [json.loads(line) for line in text.splitlines()]
    return [
        {name: cell.removeprefix("'") or None for name, cell in row.items()}
        for row in csv.DictReader(io.StringIO(text))
    ]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_each_entry_is_written_with_its_amount_in_both_units(
    busy: Engine, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(*EVER, "--format", form) == 0
    rows = rows_of(capsys.readouterr().out, form)
    assert [
        (
            int(row["entry_id"]),
            datetime.fromisoformat(row["booked_at"]),
            *(row[name] for name in ("kind", "debit_account", "credit_account")),
            int(row["amount_minor"]),
            *(row[name] for name in ("currency", "settlement_id", "payee_id")),
            int(row["transfer_id"]),
            row["stripe_transfer_id"],
        )
        for row in rows
    ] == busy.db.execute(ENTRIES.encode()).fetchall()
    assert all(row["booked_at"].endswith("Z") for row in rows)
    amounts = {(row["currency"], row["amount_minor"]): row["amount"] for row in rows}
    minor = (lambda amount: amount) if form == "jsonl" else str
    assert amounts["jpy", minor(1_234_567)] == "1234567"
    assert amounts["usd", minor(150_000)] == "1500.00"
    assert amounts["kwd", minor(10**9)] == "1000000.000"
    assert [row["stripe_reversal_id"] for row in rows if row["kind"] == "reversal"] == ["trr_1"]


def test_totals_agree_with_the_file_the_balances_and_the_trial_balance(
    busy: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(*EVER) == 0
    out, told = capsys.readouterr()
    sums: defaultdict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    for row in rows_of(out, "csv"):
        for side in ("debit", "credit"):
            account = row[f"{side}_account"].partition(":")[0]
            sums[side, account, row["currency"]] += Decimal(row["amount"])
    first, headings, *lines = told.splitlines()[:-1]
    assert first == (
        f"{len(rows_of(out, 'csv'))} entries from 2001-01-01 to the end of the day before "
        "2101-01-01 (UTC)"
    )
    assert headings.split() == ["account", "currency", "opening", "debit", "credit", "closing"]
    totals = {}
    for line in lines:
        account, currency, *amounts = re.sub(r" \([\d,]+ payees?\)", "", line).split()
        opening, debit, credit, closing = (Decimal(told.replace(",", "")) for told in amounts)
        assert opening == 0
        assert debit == sums["debit", account, currency]
        assert credit == sums["credit", account, currency]
        totals[account, currency] = closing
    balances = busy.db.execute(
        "select account, currency, balance from payout_api.ledger_balances"
    ).fetchall()
    assert totals == {(account, currency): balance for account, currency, balance in balances}
    for currency, difference, in_flight in busy.db.execute(
        "select currency, payout_api.major_units(difference_minor, currency), "
        "payout_api.major_units(in_flight_minor, currency) from payout_api.trial_balance"
    ):
        assert totals["in_flight", currency] == in_flight
        of_currency = [closing for (_, of), closing in totals.items() if of == currency]
        assert sum(of_currency) == difference == 0
    assert "payable (5 payees)" in told


def test_the_first_day_counts_and_the_day_of_the_end_does_not(
    busy: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    days = [
        day
        for (day,) in busy.db.execute(
            "select distinct (created_at at time zone 'UTC')::date from payout.ledger_entries "
            "order by 1"
        )
    ]
    assert len(days) >= 3
    written: list[str] = []
    for begin, end in zip(days, [*days[1:], days[-1] + timedelta(days=1)], strict=True):
        assert export("--from", str(begin), "--to", str(end), "--format", "jsonl") == 0
        out, told = capsys.readouterr()
        rows = rows_of(out, "jsonl")
        assert {row["booked_at"][:10] for row in rows} == {str(begin)}
        assert (f"before {end}" in told, "these days are not over" in told) == (
            True,
            end > datetime.now(UTC).date(),
        )
        written += out.splitlines()
    assert export(*EVER, "--format", "jsonl") == 0
    assert capsys.readouterr().out.splitlines() == written


def test_midnight_belongs_to_the_day_that_it_begins(
    busy: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    for moment, id_rank in (("2026-01-31 23:59:59.999999+00", 0), ("2026-02-01 00:00+00", 1)):
        with unguarded(busy.db, "payout.ledger_entries"):
            busy.db.execute(
                "update payout.ledger_entries set created_at = %s where ledger_entry_id = "
                "(select ledger_entry_id from payout.ledger_entries order by 1 offset %s limit 1)",
                [moment, id_rank],
            )
    found = []
    for begin, end in (("2026-01-31", "2026-02-01"), ("2026-02-01", "2026-02-02")):
        assert export("--from", begin, "--to", end) == 0
        found += [row["booked_at"] for row in rows_of(capsys.readouterr().out, "csv")]
    assert found == ["2026-01-31T23:59:59.999999Z", "2026-02-01T00:00:00.000000Z"]


def test_no_cell_is_a_formula_and_each_can_be_read_back(
    busy: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(*EVER) == 0
    text = capsys.readouterr().out
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))] == []
    assert {f"'{FORMULA}", "'=1+1", SCRIPT} <= set(cells)
    assert {FORMULA, "=1+1"} <= {
        row[name] for row in rows_of(text, "csv") for name in ("payee_id", "settlement_id")
    }
    assert export(*EVER, "--format", "jsonl") == 0
    rows = rows_of(capsys.readouterr().out, "jsonl")
    assert FORMULA in {row["payee_id"] for row in rows}


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1", "'=1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@sum", "'@sum"),
        ("\uff1d1", "'\uff1d1"),
        ("'=1", "''=1"),
        ("a=1", "a=1"),
        (-5, -5),
        (None, None),
    ],
)
def test_a_text_that_begins_like_a_formula_is_marked(value: object, cell: object) -> None:
    assert ledger_export._cell(value) == cell


def test_pages_are_read_one_after_the_other_and_of_one_moment(
    busy: Engine, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_export, "PAGE_LIMIT", 4)
    interval = Interval.read("2001-01-01", "2101-01-01")
    [(before,)] = busy.db.execute("select count(*) from payout.ledger_entries").fetchall()
    output, shown = io.StringIO(), []

    def show(count: int, booked_at: datetime) -> None:
        shown.append((count, len(output.getvalue().splitlines()) - 1))
        busy.settle("seller_1", settlement_id=f"set_meanwhile_{count}")

    count, _ = ledger_export.export(call, interval, form="csv", output=output, show=show)
    assert count == before
    assert shown == [(number, number) for number in range(4, before + 1, 4)]


def test_a_file_gets_its_name_once_it_is_whole(
    busy: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "ledger.csv"
    file.write_text("the last one")
    with monkeypatch.context() as patch:
        patch.setattr(ledger_export, "_writer", lambda form, output: _fails)
        with pytest.raises(ZeroDivisionError):
            export(*EVER, "--output", str(file))
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [
        ("ledger.csv", "the last one")
    ]
    assert export(*EVER, "--output", str(file)) == 0
    assert capsys.readouterr().out == ""
    assert [each.name for each in tmp_path.iterdir()] == ["ledger.csv"]
    [(count,)] = busy.db.execute("select count(*) from payout.ledger_entries").fetchall()
    assert len(rows_of(file.read_text(encoding="utf-8"), "csv")) == count


def _fails(entry: object) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("command", [["export", "ledger", *EVER], ["report"]])
def test_a_file_that_cannot_be_written_is_named(
    busy: Engine, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nowhere" / "ledger.csv"
    assert cli.main([*command, "--output", str(file)]) == 2
    assert capsys.readouterr().err == (
        f"payout-engine: {file} cannot be written: No such file or directory\n"
    )


def test_a_device_keeps_its_place(busy: Engine) -> None:
    assert export(*EVER, "--output", "/dev/null") == 0
    assert Path("/dev/null").is_char_device()


def test_an_entry_that_was_changed_behind_the_guards_shows(
    busy: Engine, call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sub-totals of seals say what was booked: here the entries that they sum up are others."""
    age(busy, days=1)
    seal_everything(busy.db)
    file = tmp_path / "ledger.csv"
    change(busy, 1)
    assert export(*EVER, "--output", str(file)) == 1
    assert capsys.readouterr().err == (
        "payout-engine: the entries are not those of the books: the credit of stripe_balance in "
        "jpy (minor units) is 1234568 in the entries and 1234567 in the books; select * from "
        "payout_api.verify_seals() says which row was changed\n"
    )
    assert not file.exists()
    with pytest.raises(BooksDiffer):
        ledger_export.export(
            call,
            Interval.read("2001-01-01", "2101-01-01"),
            form="jsonl",
            output=io.StringIO(),
            show=lambda count, booked_at: None,
        )
    change(busy, -1)


def change(engine: Engine, amount_minor: int) -> None:
    with unguarded(engine.db, "payout.ledger_entries"):
        engine.db.execute(
            "update payout.ledger_entries set amount_minor = amount_minor + %s "
            "where kind = 'paid' and currency = 'jpy'",
            [amount_minor],
        )


@pytest.mark.parametrize(
    ("begin", "end", "message"),
    [
        ("2026-02-30", "2026-03-01", "--from '2026-02-30' is no date: write one as 2026-01-31"),
        ("2026-02-01", "yesterday", "--to 'yesterday' is no date: write one as 2026-01-31"),
        ("20260201", "2026-03-01", "--from '20260201' is no date: write one as 2026-01-31"),
        ("2026-02-01", "2026-03-01T00:00", "--to '2026-03-01T00:00' is no date: write one as"),
        ("", "2026-03-01", "--from '' is no date: write one as 2026-01-31"),
        ("2026-03-01", "2026-03-01", "--to 2026-03-01 is not after --from 2026-03-01: the day of"),
        ("2026-03-02", "2026-03-01", "--to 2026-03-01 is not after --from 2026-03-02: the day of"),
    ],
)
def test_a_wrong_date_is_refused_in_a_sentence(
    begin: str, end: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("--from", begin, "--to", end) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"payout-engine: {message}")
    assert len(told.err.splitlines()) == 1


@pytest.mark.parametrize("command", [["export", "ledger", *EVER], ["report"]])
def test_a_dash_is_standard_output(
    busy: Engine,
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It wrote a file of that name."""
    monkeypatch.chdir(tmp_path)
    assert cli.main([*command, "--output", "-"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 1
    assert list(tmp_path.iterdir()) == []


def test_a_reader_may_take_its_time(
    busy: Engine, dsn: Callable[..., str], db: psycopg.Connection[Any]
) -> None:
    """An export into a pipe that is read slowly was ended by the server."""
    limits = "-c idle_in_transaction_session_timeout=500ms"
    if db.info.server_version >= 170000:
        limits += " -c transaction_timeout=500ms"
    with reading(make_conninfo(dsn(), options=limits)) as call:
        call("summary")
        time.sleep(0.8)
        call("summary")


@pytest.mark.parametrize("command", [["export", "ledger", *EVER], ["report"]])
@pytest.mark.parametrize("role", ["payout_app", "payout_worker"])
def test_a_login_that_may_not_read_the_books_is_told_the_grant(
    busy: Engine,
    dsn: Callable[..., str],
    role: str,
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", dsn(role))
    login = role.replace("payout_", "payout_test_")
    assert cli.main(command) == 2
    assert capsys.readouterr().err == (
        f"payout-engine: login {login} may not read the books: grant payout_auditor to {login}\n"
    )


def test_a_session_that_reads_cannot_write(busy: Engine, dsn: Callable[..., str]) -> None:
    with (
        reading(dsn()) as call,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        call("heartbeat", p_worker="worker_1", p_release="1.0")


def test_a_database_without_the_engine_is_not_read(empty_database: Callable[[], str]) -> None:
    with pytest.raises(UserError, match="holds no payout engine"), reading(empty_database()):
        pass


@pytest.mark.parametrize("command", [["export", "ledger", *EVER], ["report"]])
def test_a_reader_that_has_seen_enough_ends_it_quietly(busy: Engine, command: list[str]) -> None:
    arguments = [sys.executable, "-m", "payout_engine", *command]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.close()
        assert program.stderr.read() == b""
        assert program.wait() == 0


def test_an_interval_says_its_days() -> None:
    interval = Interval.read("2026-01-01", "2026-02-01")
    assert interval == (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    assert str(interval) == "from 2026-01-01 to the end of the day before 2026-02-01 (UTC)"
