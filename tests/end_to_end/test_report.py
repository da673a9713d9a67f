"""`payout-engine report`: one page that a person reads on paper, on a phone, by day and by night.

Looked at in Chromium, on books with transfers in many states and names that try to be more.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from payout_engine import cli
from tests.audit.sealing import seal_everything
from tests.browser import Browser, Seen, browser
from tests.busy import FORMULA, SCRIPT, fill
from tests.engine import Engine

__all__ = ["browser"]

# Chromium is started several times for a test.
pytestmark = [pytest.mark.long, pytest.mark.proof]

PHONE: Final = 390
DESK: Final = 1100
WIDTHS: Final = (320, PHONE, 600, 768, DESK, 1600)
MINUS: Final = "\u2212"
PNG: Final = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def busy(shared_engine: Engine) -> Engine:
    fill(shared_engine)
    seal_everything(shared_engine.db)
    shared_engine.db.execute(
        "insert into payout.discrepancies (kind, stripe_transfer_id, theirs, advice) values "
        "('unknown_at_stripe', 'tr_<b>', '{\"amount_minor\": 12345678, \"currency\": \"usd\"}', "
        "'Look the id up.')"
    )
    return shared_engine


@pytest.fixture
def page(
    busy: Engine, dsn: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The page, made under an auditor's login and without a key."""
    monkeypatch.setenv("DATABASE_URL", dsn("payout_auditor"))
    monkeypatch.delenv("STRIPE_API_KEY", raising=False)
    file = tmp_path / "report.html"
    assert cli.main(["report", "--output", str(file)]) == 0
    return file


def lines(seen: Seen, section: str) -> list[dict[str, str]]:
    """Return the lines of a table, each with the group that it belongs to."""
    found, group = [], ""
    for row in seen["sections"][section]:
        group = row.get("group", group)
        if "group" not in row:
            found.append(row | {"group": group.lower()})
    return found


def number(told: str) -> Decimal:
    return Decimal(told.replace(",", "").replace(MINUS, "-"))


def test_nothing_is_cut_off_on_a_phone_or_a_desk(page: Path, browser: Browser) -> None:
    for width, seen in zip(WIDTHS, browser.look(page, *WIDTHS), strict=True):
        assert seen["beyond"] == [], width
        assert seen["width"] == seen["scroll_width"] == width
        assert seen["overlapping"] == [], width


def test_numbers_are_those_of_the_views(busy: Engine, page: Path, browser: Browser) -> None:
    [seen] = browser.look(page, DESK)
    money = {
        (row["group"], row["State"].lower().replace(" ", "_")): (
            number(row["below Amount"].split()[0]),
            number(row["Amount"]),
        )
        for row in lines(seen, "money")
    }
    overview = busy.db.execute(
        "select currency, state, transfers, amount from payout_api.overview"
    ).fetchall()
    assert money == {
        (currency, state): (count, amount) for currency, state, count, amount in overview
    }
    ages = [
        (row["group"], row["State"].lower().replace(" ", "_"), row[heading])
        for row in lines(seen, "money")
        for heading in ("under 1 h", "1 h to 1 day", "1 to 7 days", "over 7 days")
        if row[heading]
    ]
    assert sorted(ages) == sorted(
        (currency, state, f"{amount:,}")
        for currency, state, amount in busy.db.execute(
            "select currency, state, amount from payout_api.overview_by_age "
            "where since_at_least is not null"
        )
    )
    balances = {
        (row["group"], row["Account"].split(" ")[0]): tuple(
            number(row[name]) for name in ("Debit", "Credit", "Balance")
        )
        for row in lines(seen, "balances")
        if "Account" in row
    }
    assert balances == {
        (currency, account): (debit, credit, balance)
        for currency, account, debit, credit, balance in busy.db.execute(
            "select currency, account, debit, credit, balance from payout_api.ledger_balances"
        )
    }
    flow = {
        row["Currency"].lower(): tuple(
            number(row[name]) for name in ("Settled", "Paid", "Declined", "Taken back")
        )
        for row in lines(seen, "flow")
        if "Day" not in row
    }
    assert flow == {
        currency: tuple(amounts)
        for currency, *amounts in busy.db.execute(
            "select currency, sum(settled), sum(paid), sum(failed), sum(taken_back) "
            "from payout_api.money_flow(now() - interval '29 days', 'infinity') group by currency"
        )
    }
    assert [row["Worker"] for row in lines(seen, "workers")] == ["worker_1"]
    [(head,)] = busy.db.execute("select payout_api.seal_head()").fetchall()
    assert head in seen["text"]


def test_reasons_are_told_in_words(busy: Engine, page: Path, browser: Browser) -> None:
    [seen] = browser.look(page, DESK)
    reasons = busy.db.execute(
        "select advice, next_call, amount, currency from payout_api.unpaid_by_reason"
    ).fetchall()
    assert len(reasons) >= 5
    for advice, next_call, amount, currency in reasons:
        assert advice in seen["text"]
        assert next_call is None or next_call in seen["text"]
        assert f"{amount:,} {currency.upper()}" in seen["text"]


def test_a_bar_is_as_high_as_its_amount(page: Path, browser: Browser) -> None:
    for seen in browser.look(page, PHONE, DESK):
        assert len(seen["bars"]) == 3
        for days in seen["bars"]:
            assert len(days) == 30
            pairs = [
                (number(told), height)
                for day in days
                for told, height in zip(
                    re.findall(r"(?:settled|paid) ([0-9][0-9.,]*)", day["told"]),
                    day["heights"],
                    strict=True,
                )
            ]
            highest, of_all = max(pairs)
            assert highest > 0
            assert 0.5 <= of_all <= 1.01
            for amount, height in pairs:
                assert height == pytest.approx(float(amount / highest) * of_all, abs=0.006)


def test_dark_and_light_differ_and_both_can_be_read(page: Path, browser: Browser) -> None:
    by_day, by_night = (browser.look(page, DESK, dark=dark)[0] for dark in (False, True))
    assert (by_day["is_dark"], by_night["is_dark"]) == (False, True)
    assert by_day["colors"]["body"] != by_night["colors"]["body"]
    for seen in (by_day, by_night):
        colors = seen["colors"]
        paper = colors["body"][1]
        assert contrast(colors["body"][0], paper) > 10
        assert contrast(colors["lead"][0], paper) > 4.5
        assert len(colors["checks"]) == 4
        assert min(contrast(*pair) for pair in colors["checks"]) > 7
    assert luminance(by_day["colors"]["body"][1]) > luminance(by_night["colors"]["body"][1])
    pictures = [
        browser.picture(page, width=width, height=1400, dark=dark)
        for width, dark in ((DESK, False), (DESK, True), (PHONE, False))
    ]
    assert all(picture.startswith(PNG) and len(picture) > 30_000 for picture in pictures)
    assert len(set(pictures)) == 3


def test_it_is_printed(page: Path, browser: Browser) -> None:
    printed = browser.printed(page)
    assert printed.startswith(b"%PDF-")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 8


def test_names_stay_names(page: Path, browser: Browser) -> None:
    [seen] = browser.look(page, DESK)
    assert seen["scripts"] == 0
    assert SCRIPT in seen["text"]
    assert FORMULA not in page.read_text(encoding="utf-8")  # its quotes are escaped
    assert "tr_<b>" in seen["text"]


def test_amounts_stand_right_in_figures_of_one_width(page: Path, browser: Browser) -> None:
    [seen] = browser.look(page, DESK)
    assert seen["alignment"] == []
    assert seen["numerals"] == "tabular-nums"


def test_the_page_needs_no_network_and_no_script(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert re.findall(r"<script|<link|<img|\bsrc=|\bhref=|url\(|@import", text) == []


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colors, as the guidelines for accessible pages count it."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
