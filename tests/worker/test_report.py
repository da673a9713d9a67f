"""The page says what is wrong first, and of each list how much it leaves out."""

from __future__ import annotations

import html
import re
from importlib import resources
from typing import Any, Final

import pytest

from payout_engine.report import page
from payout_engine.rows import Section

NOW: Final = "2026-11-30T12:00:00+00:00"
INSTALLATION: Final[dict[str, Any]] = {
    "taken_at": NOW,
    "first_day": "2026-11-01",
    "last_day": "2026-11-30",
    "database_name": "shop",
    "login": "lead",
    "release": "1.0",
    "installation_id": "0" * 32,
    "stripe_account_id": "acct_1",
    "is_livemode": True,
    "seal_head": "17:abcdef",
    "sealed_at": NOW,
    "workers_alive": 1,
    "compared_at": "2026-11-30T11:30:00+00:00",
    "transfers_compared": 1,
}
BOOKS: Final[dict[str, Any]] = {
    "currency": "usd",
    "difference_minor": 0,
    "in_flight_minor": 500,
    "open_transfers_minor": 500,
}
ACCOUNT: Final[dict[str, Any]] = {
    "account": "in_flight",
    "currency": "usd",
    "meaning": "Reserved.",
    "debit": 0,
    "credit": 5,
    "balance": 5,
}
HOLD: Final[dict[str, Any]] = {
    "scope": "engine",
    "subject": None,
    "reason": "stripe_key_refused",
    "placed_by": "anna",
    "placed_at": "2026-11-28T12:00:00+00:00",
}


def shown(*sections: Section, **changes: Any) -> str:
    """Return the text of a page, without its style and its elements."""
    installation = section("installation", INSTALLATION | changes)
    text = page([installation, *sections])
    body = text[text.index("<body>") :]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def section(name: str, *content: dict[str, Any], row_count: int | None = None) -> Section:
    return {"section": name, "row_count": row_count or len(content), "content": list(content)}


def test_an_installation_without_a_transfer_has_a_page() -> None:
    text = shown(seal_head=None, sealed_at=None, compared_at=None, workers_alive=0)
    for sentence in (
        "There is no transfer yet.",
        "Nothing was settled or paid in these days.",
        "Every transfer is paid or closed.",
        "There is no entry yet.",
        "Nothing is owed that is not being sent.",
        "Stripe has never been compared with these books.",
        "No worker is alive nothing is sent",
        "Nothing is sealed yet.",
    ):
        assert sentence in text


def test_all_is_well() -> None:
    text = shown(section("books", BOOKS), section("accounts", ACCOUNT))
    for sentence in (
        "The books balance USD",
        "No discrepancy compared with Stripe 30 min ago",
        "1 worker is alive",
        "Nothing is on hold",
        "Taken 30 Nov 2026, 12:00 UTC, by lead",
        "acct_1 live mode",
        "began on 30 Nov 2026, 11:30 and saw 1 transfer.",
        "Seal head 17:abcdef , sealed 30 Nov 2026, 12:00",
    ):
        assert sentence in text
    assert "acct_1 test mode" in shown(is_livemode=False)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"difference_minor": -1},
            "the balances differ by \u22121, in flight is 500, open transfers are 500.",
        ),
        (
            {"open_transfers_minor": 1_500},
            "the balances differ by 0, in flight is 500, open transfers are 1,500.",
        ),
    ],
)
def test_books_that_do_not_balance_are_told_first(changes: dict[str, int], told: str) -> None:
    text = shown(section("books", BOOKS | changes), section("accounts", ACCOUNT))
    assert "The books do not balance USD" in text
    assert f"The books do not balance: in minor units {told}" in text


def test_a_hold_on_the_engine_stops_everything() -> None:
    text = shown(section("holds", HOLD))
    assert "1 hold the engine is on hold: nothing is sent" in text
    assert "engine Stripe key refused anna 2 days" in text
    assert "the engine is on hold" not in shown(
        section("holds", HOLD | {"scope": "payee", "subject": "seller_1"})
    )


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("R&amp;D", "R&amp;amp;D"),
        ('" onload="x', "&#34; onload=&#34;x"),
        ("it's", "it&#39;s"),
        ("{{ 7 * 7 }}", "{{ 7 * 7 }}"),
        ("Müller 東京 🎈 \u05d0", "Müller 東京 🎈 \u05d0"),
        ("a\u200db", "a\u200db"),
        ("\u202eabc", "\\u202eabc"),
        ("a\x00\x1b[31m\x85", "a\\u0000\\u001b[31m\\u0085"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("\U000e0041", "\\ue0041"),
    ],
)
def test_no_text_becomes_an_element_or_changes_the_text_around_it(told: str, shown: str) -> None:
    text = page(
        [
            section("installation", INSTALLATION | {"database_name": told}),
            section("payees", {"payee_id": told, "currency": "usd", "balance": 5, "rank": 1}),
            section("holds", HOLD | {"scope": "payee", "subject": "seller_1", "reason": told}),
        ]
    )
    assert f"<title>Payout report, {shown}</title>" in text
    assert text.count(f'<bdi class="name">{shown}</bdi>') == 2


def test_the_template_passes_by_no_escaping() -> None:
    template = resources.files("payout_engine").joinpath("report.html").read_text("utf-8")
    assert not re.search(r"\bsafe\b|autoescape", template)


def test_each_list_says_how_many_more_there_are() -> None:
    text = shown(
        section("holds", HOLD, row_count=1235),
        section(
            "payees",
            {"payee_id": "seller_1", "currency": "usd", "balance": 5, "rank": 1},
            row_count=50_000,
        ),
    )
    assert "and 1,234 more: select * from payout.holds where released_at is null" in text
    assert "and 49,999 more: select * from payout_api.payees_owed" in text
    assert "1,235 holds" in text
