"""Makes the page of `payout-engine report` out of the sections that `payout_api.summary` returns.

The page needs no network and no script; every number on it is one that SQL has computed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from importlib import resources
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from payout_engine import RELEASE
from payout_engine.chart import Day, chart
from payout_engine.markup import Child, Markup, element
from payout_engine.rows import Section

Row = dict[str, Any]

# Currencies that have a chart of their own; the others stand in the table only.
MOST_CHARTS: Final = 4
AGES: Final = {
    "00:00:00": "under 1 h",
    "01:00:00": "1 h to 1 day",
    "1 day": "1 to 7 days",
    "7 days": "over 7 days",
}
TURNS: Final = {
    "engine": "The engine acts next, by itself",
    "operator": "An operator acts next",
    "payee": "The payee acts next",
    "stripe": "Waiting for Stripe",
}
NO_SCRIPT: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"


class Table:
    """A table whose cells know the heading of their column, for pages that are narrow."""

    def __init__(self, *headings: str, numbers: Iterable[int] = ()) -> None:
        self._headings = headings
        self._numbers = frozenset(numbers)
        self._groups: list[list[Markup]] = []

    def group(self, name: str) -> None:
        """Begin a group of lines, under a name."""
        heading = element("th", name, scope="colgroup", colspan=len(self._headings))
        self._groups.append([element("tr", heading, class_="group")])

    def line(self, *cells: Child) -> None:
        """Add a line, with a cell for each heading."""
        if not self._groups:
            self._groups.append([])
        told = (self._cell(place, cell) for place, cell in enumerate(cells))
        self._groups[-1].append(element("tr", told))

    def note(self, told: str) -> None:
        """Add a line that is a sentence about the group."""
        cell = element("td", told, colspan=len(self._headings))
        self._groups[-1].append(element("tr", cell, class_="bad"))

    def shown(self, none: str) -> Markup:
        """Return the table; if it has no line, the sentence `none`."""
        if not self._groups:
            return element("p", none, class_="none")
        columns = (
            element("th", name, scope="col", class_=self._class(place))
            for place, name in enumerate(self._headings)
        )
        bodies = (element("tbody", lines) for lines in self._groups)
        return element("table", element("thead", element("tr", columns)), bodies)

    def _cell(self, place: int, told: Child) -> Markup:
        kinds = self._class(place), "empty" if told is None or told == "" else None
        return element(
            "td",
            told,
            data_label=self._headings[place],
            class_=" ".join(kind for kind in kinds if kind) or None,
        )

    def _class(self, place: int) -> str | None:
        return "number" if place in self._numbers else None


class Summary:
    """The sections by name; a list that has no rows has no section."""

    def __init__(self, sections: Iterable[Section]) -> None:
        self._sections = {section["section"]: section for section in sections}

    def rows(self, name: str) -> list[Row]:
        """Return the rows of a section that are shown."""
        return self._sections[name]["content"] if name in self._sections else []

    def count(self, name: str) -> int:
        """Return the number of all its rows."""
        return self._sections[name]["row_count"] if name in self._sections else 0

    def more(self, name: str, view: str) -> Markup | None:
        """Say how many rows are not shown, and where they are."""
        hidden = self.count(name) - len(self.rows(name))
        if not hidden:
            return None
        return element("p", f"and {hidden:,} more: ", _code(view), class_="more")


def page(sections: Iterable[Section]) -> str:
    """Return the page as HTML."""
    summary = Summary(sections)
    [installation] = summary.rows("installation")
    title = f"Payout report, {installation['database_name']}"
    css = resources.files("payout_engine").joinpath("report.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=NO_SCRIPT),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        Markup(f"<style>\n{css}</style>"),
    )
    body = element(
        "body",
        _header(installation),
        element(
            "main",
            _checks(summary, installation),
            _money(summary),
            _flow(summary, installation),
            _unpaid(summary, installation),
            _reversed(summary),
            _balances(summary),
            _discrepancies(summary, installation),
            _holds(summary, installation),
            _workers(summary, installation),
        ),
        _footer(installation),
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n{head}\n{body}\n</html>\n'


def _header(installation: Row) -> Markup:
    account = installation["stripe_account_id"] or "none yet"
    mode = {True: "live mode", False: "test mode", None: "no mode yet"}[installation["is_livemode"]]
    facts = (
        ("Taken", f"{_moment(installation['taken_at'])} UTC, by {installation['login']}"),
        ("Database", installation["database_name"]),
        ("Stripe account", [account, " ", _tag(mode, "" if mode == "live mode" else "warn")]),
        ("Installation", installation["installation_id"]),
    )
    return element(
        "header",
        element("h1", "Payout report"),
        element("dl", (_fact(name, told) for name, told in facts), class_="facts"),
    )


def _fact(name: str, told: Child) -> Markup:
    return element("div", element("dt", name), element("dd", told))


def _checks(summary: Summary, installation: Row) -> Markup:
    """Say at a glance if anything is wrong."""
    alive = installation["workers_alive"]
    wrong = [row for row in summary.rows("books") if not _is_balanced(row)]
    open_count, held = summary.count("discrepancies"), summary.count("holds")
    compared = installation["compared_at"]
    engine = any(hold["scope"] == "engine" for hold in summary.rows("holds"))
    checks = (
        (
            "bad" if wrong else "good",
            "The books balance" if not wrong else "The books do not balance",
            ", ".join(row["currency"].upper() for row in wrong or summary.rows("books")),
        ),
        (
            "warn" if open_count else "good",
            _plural(open_count, "open discrepancy", "open discrepancies", none="No discrepancy"),
            f"compared with Stripe {_ago(compared, installation)}"
            if compared
            else "never compared with Stripe",
        ),
        (
            "good" if alive else "bad",
            _plural(alive, "worker is alive", "workers are alive", none="No worker is alive"),
            "" if alive else "nothing is sent",
        ),
        (
            "bad" if engine else "warn" if held else "good",
            _plural(held, "hold", "holds", none="Nothing is on hold"),
            "the engine is on hold: nothing is sent" if engine else "",
        ),
    )
    return element(
        "ul",
        (
            element("li", element("strong", told), element("span", more), class_=level)
            for level, told, more in checks
        ),
        class_="checks",
    )


def _is_balanced(row: Row) -> bool:
    open_minor: int = row["open_transfers_minor"]
    return not row["difference_minor"] and open_minor == row["in_flight_minor"]


def _money(summary: Summary) -> Markup:
    groups: dict[str, dict[str, list[Row]]] = {}
    for row in summary.rows("overview"):
        groups.setdefault(row["currency"], {}).setdefault(row["state"], []).append(row)
    table = Table(*("State", "Amount", *AGES.values(), "Oldest"), numbers=range(1, 3 + len(AGES)))
    for currency, states in groups.items():
        table.group(currency.upper())
        for state, rows in states.items():
            # A final state has one row, without an age.
            by_age = {row["since_at_least"]: row for row in rows}
            table.line(
                [element("b", _words(state)), element("small", rows[0]["meaning"])],
                [_amount(rows[0], "state_amount"), _transfers(rows[0]["state_transfers"])],
                *(_aged(by_age.get(age)) for age in AGES),
                None if None in by_age else _day(rows[0]["state_oldest_since"]),
            )
    return _section(
        "Money by state and age",
        "Amounts in the currency itself. Age counts from when a transfer came into its state.",
        table.shown("There is no transfer yet."),
        id_="money",
    )


def _aged(row: Row | None) -> Child:
    return [_amount(row), _transfers(row["transfers"])] if row else None


def _flow(summary: Summary, installation: Row) -> Markup:
    first, last = (date.fromisoformat(installation[day]) for day in ("first_day", "last_day"))
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    totals = summary.rows("totals")
    charts = [_chart(summary, total["currency"], days) for total in totals[:MOST_CHARTS]]
    hidden = len(totals) - len(charts)
    table = Table("Currency", "Settled", "Paid", "Declined", "Taken back", numbers=range(1, 5))
    for total in totals:
        table.line(
            element("b", total["currency"].upper()),
            [_amount(total, "settled"), _transfers(total["transfers_settled"])],
            [_amount(total, "paid"), _transfers(total["transfers_paid"])],
            _amount(total, "failed"),
            _amount(total, "taken_back"),
        )
    legend = [element("span", kind, class_=f"key {kind}") for kind in ("settled", "paid")]
    drawn: Child = (
        element("p", legend, class_="legend"),
        element("div", charts, class_="charts"),
        element("p", f"{hidden:,} more in the table.", class_="more") if hidden else None,
    )
    return _section(
        "Flow over time",
        f"{_long(first)} to {_long(last)}, days of UTC. Declined money is owed to the payee again; "
        "Stripe took back what was paid before.",
        drawn if charts else None,
        table.shown("Nothing was settled or paid in these days."),
        _by_day(summary) if charts else None,
        id_="flow",
    )


def _chart(summary: Summary, currency: str, days: Sequence[date]) -> Markup:
    found = {row["day"]: row for row in summary.rows("days") if row["currency"] == currency}
    drawn = []
    for day in days:
        row = found.get(day.isoformat(), {"settled": 0, "paid": 0})
        told = f"{_long(day)}: settled {_amount(row, 'settled')}, paid {_amount(row, 'paid')}"
        drawn.append(Day(day, _height(row, "settled"), _height(row, "paid"), told))
    drawing = chart(drawn, title=f"Settled and paid on each day, in {currency.upper()}")
    return element("div", element("h3", currency.upper()), drawing, class_="currency")


def _height(row: Row, name: str) -> Decimal:
    return Decimal(row[name] or 0)


def _by_day(summary: Summary) -> Markup:
    """List the days, newest first, behind a heading that unfolds them."""
    table = Table(
        *("Day", "Currency", "Settled", "Paid", "Declined", "Taken back"), numbers=range(2, 6)
    )
    for row in sorted(summary.rows("days"), key=lambda row: row["day"], reverse=True):
        table.line(
            _long(date.fromisoformat(row["day"])),
            row["currency"].upper(),
            *(_amount(row, name) for name in ("settled", "paid", "failed", "taken_back")),
        )
    return element("details", element("summary", "Day by day"), table.shown(""))


def _unpaid(summary: Summary, installation: Row) -> Markup:
    items = [
        element(
            "li",
            element(
                "div",
                element("h3", _reason(row["reason"]), " ", _tag(_words(row["state"]).lower())),
                element("p", row["advice"]),
                element(
                    "p",
                    TURNS.get(row["whose_turn"], row["whose_turn"]),
                    f"; the oldest {_since(row['oldest_since'], installation)}",
                    [", first transfer ", _code(str(row["first_transfer_id"]))],
                    class_="fine",
                ),
                element("p", _code(row["next_call"]), class_="fine") if row["next_call"] else None,
            ),
            element(
                "div",
                element("b", _amount(row), class_="amount"),
                f" {row['currency'].upper()}",
                _transfers(row["transfers"]),
                class_="sum",
            ),
            class_="reason",
        )
        for row in summary.rows("unpaid")
    ]
    return _section(
        "Not paid, by reason",
        "Declined and uncertain transfers come first. The words are those for the first transfer "
        "of each group.",
        (
            element("ul", items, class_="reasons"),
            summary.more("unpaid", "select * from payout_api.unpaid_by_reason"),
        )
        if items
        else element("p", "Every transfer is paid or closed.", class_="none"),
        id_="unpaid",
    )


def _reversed(summary: Summary) -> Markup | None:
    if not summary.count("reversed"):
        return None
    table = Table(
        *("Payee", "Settlement", "Transfer", "Currency", "Owed again", "Since"), numbers=(4, 5)
    )
    for row in summary.rows("reversed"):
        table.line(
            _name(row["payee_id"]),
            _name(row["settlement_id"]),
            _code(row["stripe_transfer_id"]),
            row["currency"].upper(),
            _amount(row, "open"),
            _day(row["since"]),
        )
    return _section(
        "Taken back by Stripe, and owed again",
        "An operator decides: write_off if it is the payee's loss, repay if they are to have it.",
        table.shown(""),
        summary.more("reversed", "select * from payout_api.reversed_money"),
        id_="reversed",
    )


def _balances(summary: Summary) -> Markup:
    books = {row["currency"]: row for row in summary.rows("books")}
    table = Table("Account", "Debit", "Credit", "Balance", numbers=range(1, 4))
    for currency, rows in groupby(summary.rows("accounts"), key=itemgetter("currency")):
        table.group(currency.upper())
        for row in rows:
            table.line(
                [
                    element(
                        "b",
                        row["account"],
                        " of all payees" if row["account"] == "payable" else None,
                    ),
                    element("small", row["meaning"]),
                ],
                *(_amount(row, name) for name in ("debit", "credit", "balance")),
            )
        if not _is_balanced(books[currency]):
            table.note(_imbalance(books[currency]))
    payees = Table("Payee", "Currency", "Balance", numbers=(2,))
    for row in summary.rows("payees"):
        payees.line(_name(row["payee_id"]), row["currency"].upper(), _amount(row, "balance"))
    return _section(
        "Balances",
        "Credit minus debit of each account; those of one currency add up to zero.",
        table.shown("There is no entry yet."),
        element("h3", "Owed to payees and not being sent"),
        payees.shown("Nothing is owed that is not being sent."),
        summary.more("payees", "select * from payout_api.balances_as_of('infinity')"),
        id_="balances",
    )


def _imbalance(row: Row) -> str:
    return (
        f"The books do not balance: in minor units the balances differ by "
        f"{_plain(row['difference_minor'])}, in flight is {_plain(row['in_flight_minor'])}, open "
        f"transfers are {_plain(row['open_transfers_minor'])}."
    )


def _discrepancies(summary: Summary, installation: Row) -> Markup:
    compared = installation["compared_at"]
    told = "Stripe has never been compared with these books."
    if compared:
        told = f"The last comparison with Stripe began on {_moment(compared)} and saw "
        told += f"{_plural(installation['transfers_compared'], 'transfer', 'transfers')}."
    table = Table("Kind", "Transfer", "Currency", "Ours", "Stripe's", "Since", numbers=(3, 4, 5))
    for row in summary.rows("discrepancies"):
        table.line(
            [element("b", _words(row["kind"])), element("small", row["what_to_do"])],
            _code(row["stripe_transfer_id"] or row["payout_transfer_id"]),
            (row["currency"] or "").upper(),
            _plain(row["our_amount"]),
            _plain(row["their_amount"]),
            _day(row["since"]),
        )
    return _section(
        "Discrepancies",
        told,
        table.shown("None is open."),
        summary.more("discrepancies", "select * from payout_api.discrepancies"),
        id_="discrepancies",
    )


def _holds(summary: Summary, installation: Row) -> Markup | None:
    if not summary.count("holds"):
        return None
    table = Table("On", "Reason", "By", "For", numbers=(3,))
    for row in summary.rows("holds"):
        table.line(
            [row["scope"], " ", _name(row["subject"]) if row["subject"] else None],
            _name(_reason(row["reason"])),
            _name(row["placed_by"]),
            _since(row["placed_at"], installation),
        )
    return _section(
        "Holds",
        "Nothing of these is sent until the hold is released.",
        table.shown(""),
        summary.more("holds", "select * from payout.holds where released_at is null"),
        id_="holds",
    )


def _workers(summary: Summary, installation: Row) -> Markup:
    table = Table("Worker", "State", "Release", "Last heartbeat", "Started", numbers=(3, 4))
    for row in summary.rows("workers"):
        state = _tag("alive", "good") if row["is_alive"] else _tag("gone")
        if row["is_on_hold"]:
            state = _tag("on hold: its key was refused", "bad")
        table.line(
            _name(row["worker"]),
            state,
            row["release"],
            _ago(row["last_seen_at"], installation),
            _moment(row["started_at"]),
        )
    return _section(
        "Workers",
        "The processes of the last week.",
        table.shown("There was none."),
        summary.more("workers", "select * from payout_api.workers"),
        id_="workers",
    )


def _footer(installation: Row) -> Markup:
    head = installation["seal_head"]
    told: Child = "Nothing is sealed yet."
    if head:
        told = [
            "Seal head ",
            _code(head),
            f", sealed {_moment(installation['sealed_at'])}. Kept where the owner of the database "
            "cannot write, it proves later that nothing before it was changed: "
            "verify_seals(p_head => '…').",
        ]
    return element(
        "footer",
        element("p", told),
        element(
            "p",
            f"Made by payout-engine {RELEASE} from a schema of release "
            f"{installation['release']}; all times are UTC.",
        ),
    )


# Parts


def _section(title: str, lead: str, *children: Child, id_: str) -> Markup:
    return element(
        "section",
        element("h2", title),
        element("p", lead, class_="lead"),
        children,
        id_=id_,
    )


def _tag(told: str, level: str = "") -> Markup:
    return element("span", told, class_=f"tag {level}".strip())


def _name(value: str) -> Markup:
    """Show a name that others gave, so that its direction of writing ends with it."""
    return element("bdi", value, class_="name")


def _code(value: object) -> Markup | None:
    return None if value is None else element("code", str(value))


def _amount(row: Row, name: str = "amount") -> str:
    """Show an amount in the currency itself; one without digits is shown as a question."""
    return "?" if row[name] is None else _plain(row[name])


def _plain(amount: Decimal | int | None) -> str:
    return "" if amount is None else f"{amount:,}".replace("-", "\u2212")


def _transfers(number: int) -> Markup:
    return element("small", _plural(number, "transfer", "transfers"))


def _plural(number: int, one: str, many: str, *, none: str | None = None) -> str:
    if not number and none:
        return none
    return f"{number:,} {one if number == 1 else many}"


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize().replace(" stripe", " Stripe")


def _reason(reason: str) -> str:
    """Show a code as words; a sentence is one already."""
    if re.fullmatch(r"[a-z0-9_]+", reason):
        return _words(reason)
    return reason


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _moment(text: str) -> str:
    return f"{_long(_time(text).date())}, {_time(text):%H:%M}"


def _day(text: str) -> str:
    return _long(_time(text).date())


def _long(day: date) -> str:
    return f"{day.day} {day:%b %Y}"


def _ago(text: str, installation: Row) -> str:
    return f"{_since(text, installation)} ago"


def _since(text: str, installation: Row) -> str:
    seconds = max(int((_time(installation["taken_at"]) - _time(text)).total_seconds()), 0)
    for size, name in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:,} {name}"
    return f"{seconds} s"
