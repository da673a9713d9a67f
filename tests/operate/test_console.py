"""psql as operators use it: each query fits in 120 columns, with amounts to read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from tests.conftest import PASSWORD, ROOT, Connection, Server
from tests.engine import Engine, success, unfunded
from tests.settle.marketplace import complete, line

PSQLRC: Final = ROOT / "sql/ops/psqlrc"
DEFINED: Final = dict(
    re.findall(r"^\\set ([a-z_]+) '(.*)'$", PSQLRC.read_text(encoding="utf-8"), re.MULTILINE)
)
# The names that it greets with; the others are parts of these.
QUERIES, OF_ONE = (
    re.findall(r" :([a-z_]+)", greeting)
    for greeting in "".join(
        re.findall(r"^\\echo '(.*)'$", PSQLRC.read_text(encoding="utf-8"), re.MULTILINE)
    ).split("One of them:")
)
PARTS: Final = {
    "id",
    "ids_of_transfer",
    "ids_of_settlement",
    "ids_of_payee",
    "transfers_shown",
    "in_order",
}
# One row for each currency, check or difference.
OF_FEW_ROWS: Final = {"books", "verify", "seal_head", "doctor", "sweep"}
COLUMNS: Final = 120


@pytest.fixture
def busy(shared_engine: Engine) -> Engine:
    """An engine with transfers in many states, and long names."""
    engine = shared_engine
    engine.settle("seller_1", "seller_2", settlement_id="order-2026-11-29-0000001042")
    engine.settle("seller_3", settlement_id="a-settlement-" + 150 * "x", currency="jpy")
    engine.settle("seller_4", settlement_id="set_4", currency="kwd", amount_minor=10**9)
    right, wrong, poor, _ = engine.claim()
    engine.report(success(right), success(wrong, amount_minor=1), unfunded(poor))
    engine.app.execute("select payout_api.register_payee('newcomer')")
    complete(engine.app, "set_5", [line("1", "newcomer", 123_456_789)])
    engine.app.execute("select payout_api.report_edit('set_5', 'usd', '[]')")
    engine.hold("payee", "seller_4")
    return engine


def run(dsn: str, query: str, named: str | None = None) -> list[str]:
    naming = "" if named is None else f"\\set id {named}\n"
    done = subprocess.run(
        [EmbeddedPostgres().bin("psql"), dsn, "--quiet"],
        input=f"\\pset columns {COLUMNS}\n\\pset pager off\n{naming}:{query}\n",
        env={**os.environ, "PSQLRC": str(PSQLRC)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    greeting, _, printed = done.stdout.partition("Pager usage is off.\n")
    assert [text for text in greeting.splitlines() if len(text) > COLUMNS] == []
    return printed.splitlines()


def test_each_query_is_greeted_with_and_bounded() -> None:
    assert {*QUERIES, *OF_ONE} == DEFINED.keys() - PARTS
    assert OF_ONE == ["explain", "payee", "settlement", "transfer"]
    for name, query in DEFINED.items():
        bounds = query.count("limit ") + query.count(":transfers_shown")
        assert bounds >= 1 or name in OF_FEW_ROWS | PARTS, name


def test_each_query_runs_and_fits(busy: Engine, dsn: Callable[..., str]) -> None:
    busy.app.execute("select payout_api.register_payee('it''s 1', 'acct_9')")
    named = ("seller_1", "seller_3", "order-2026-11-29-0000001042", "2", "-7", "'it''s 1'", None)
    runs = [(query, None) for query in QUERIES] + [(q, name) for q in OF_ONE for name in named]
    assert len(runs) > 30
    for query, name in runs:
        printed = run(dsn("payout_operator"), query, name)
        assert [text for text in printed if len(text) > COLUMNS] == [], query


def test_one_is_named_in_any_of_three_ways(busy: Engine, dsn: Callable[..., str]) -> None:
    operator = dsn("payout_operator")
    for name in ("seller_2", "2"):
        text = "\n".join(run(operator, "explain", name))
        assert "RECORD 2" not in text
        assert re.search(r"situation +│ shown_otherwise\n", text)
    both = "\n".join(run(operator, "explain", "order-2026-11-29-0000001042"))
    assert re.search(r"situation +│ paid\n", both)
    assert re.search(r"situation +│ shown_otherwise\n", both)
    assert run(operator, "explain", "seller_1") == ["(0 rows)", ""]
    accounts, transfers = "\n".join(run(operator, "payee", "seller_1")).split("(1 row)\n")[:2]
    assert "│ acct_1 " in accounts
    assert re.search(r"│ acct_1 +│ 15\.00 usd │ paid ", transfers)
    for name in ("1", "order-2026-11-29-0000001042"):
        history = "\n".join(run(operator, "transfer", name))
        assert re.search(r" 1 +│ .*│ response │ paid +│ tr_1", history)
        assert re.search(r" 1 +│ .*│ paid +│ in_flight +│ stripe_balance +│ 15\.00 usd", history)


def test_a_call_to_be_copied_stands_on_one_line(busy: Engine) -> None:
    """Beside the longest name of a column."""
    longest = busy.db.execute(
        "select max(length(replace(replace(next_call, '{transfer}', '123456789012'), "
        "'{hold}', '123456789012'))) from payout.situations"
    ).fetchone()
    assert longest is not None
    assert longest[0] + len("settlement_id │ ") <= COLUMNS


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        ("0", "now"),
        ("-119 s", "119 s ago"),
        ("2 min", "in 2 min"),
        ("-119 min", "119 min ago"),
        ("-3 h", "3 h ago"),
        ("49 h", "in 2 d"),
        ("infinity", "infinity"),
        (None, None),
    ],
)
def test_a_time_is_told_from_now(db: Connection, interval: str | None, text: str | None) -> None:
    at = "'infinity'::timestamptz" if interval == "infinity" else "now() + %(interval)s::interval"
    told = db.execute(
        f"select payout_api.time_from_now({at})".encode(), {"interval": interval}
    ).fetchone()
    assert told == (text,)


def test_the_line_of_the_readme_works_with_the_login_that_it_names(
    server: Server, database: str, db: Connection
) -> None:
    """The login is made as the README has it: with the role of its first block, and no more."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [create] = re.findall(r'-c "(create role my_operator_login .*?)"', readme)
    [line] = re.findall(r"^(PSQLRC=.* psql postgresql://my_operator_login@…) .*$", readme, re.M)
    [doctor] = re.findall(r"^PSQLRC.* (:doctor) …$", readme, re.M)
    uri = server.uri(database, user="my_operator_login", password=PASSWORD)
    psql, python = (str(Path(p).parent) for p in (EmbeddedPostgres().bin("psql"), sys.executable))
    db.execute(create.replace("…", PASSWORD).encode())
    try:
        done = subprocess.run(
            ["bash", "-c", line.replace("postgresql://my_operator_login@…", '"$URI"')],
            input=f"select current_user;\n{doctor}\n:overview\n",
            cwd=ROOT,
            env={
                **os.environ,
                "URI": uri,
                "PATH": os.pathsep.join([psql, python, os.environ["PATH"]]),
            },
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        db.execute("drop role my_operator_login")
    assert done.stderr == ""
    assert re.search(r"^ my_operator_login$", done.stdout, re.M)
    assert re.search(r"│ ok +│", done.stdout)
    assert "0 rows" in done.stdout


def test_amounts_are_those_that_people_read(busy: Engine, dsn: Callable[..., str]) -> None:
    shown = {
        name: "\n".join(run(dsn("payout_operator"), name))
        for name in ("overview", "unpaid", "alarms", "balances", "books")
    }
    assert re.search(r"paid +│ +1 │ 15\.00 usd ", shown["overview"])
    for amount in ("1500 jpy", "1000000.000 kwd", "1234567.89 usd"):
        assert f"│ {amount} " in shown["unpaid"]
    assert re.search(r"ours +│ 15\.00 usd *\ntheirs +│ 0\.01 usd", shown["alarms"])
    assert re.search(r"ours +│ 1234567\.89 usd *\ntheirs +│ -", shown["alarms"])
    assert re.search(r"stripe_balance +│ usd +│ +0\.00 │ +15\.00 │ +15\.00", shown["balances"])
    assert re.search(r"usd +│ +0\.00 │ +1234582\.89 │ +1234582\.89", shown["books"])
