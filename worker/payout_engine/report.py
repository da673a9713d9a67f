"""Makes the page of `payout-engine report` out of the sections that `payout_api.summary` returns.

Its template, report.html, escapes each text. The page needs no network and no script; every number
on it is one that SQL has computed.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from payout_engine import RELEASE
from payout_engine.rows import Section

Row = dict[str, Any]

# Currencies that have a chart of their own; the others stand in the table only.
MOST_CHARTS: Final = 4
STEPS: Final = (Decimal("0.2"), Decimal("0.5"), Decimal(1), Decimal(2))
SUSPECT: Final = re.compile(r"[^ -~\n\t]")
# The two joiners belong to some scripts.
JOINERS: Final = "\u200c\u200d"


def page(sections: Iterable[Section]) -> str:
    """Return the page as HTML. A list without rows has no section."""
    counts: dict[str, int] = {}
    content: defaultdict[str, list[Row]] = defaultdict(list)
    for section in sections:
        counts[section["section"]] = section["row_count"]
        content[section["section"]] = [
            {name: visible(value) for name, value in row.items()} for row in section["content"]
        ]
    money: dict[str, dict[str, dict[str | None, Row]]] = {}
    for row in content["overview"]:
        by_age = money.setdefault(row["currency"], {}).setdefault(row["state"], {})
        by_age[row["since_at_least"]] = row
    [installation] = content["installation"]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for act in (amount, plain, plural, words, day, moment, since, short):
        environment.filters[act.__name__] = act
    environment.tests["balanced"] = is_balanced
    return environment.get_template("report.html").render(
        rows=content.__getitem__,
        count=lambda name: counts.get(name, 0),
        installation=installation,
        money=money,
        charts={
            total["currency"]: chart(total["currency"], content["days"], installation)
            for total in content["totals"][:MOST_CHARTS]
        },
        release=RELEASE,
    )


def visible(value: object) -> object:
    """Show characters that change or hide the text around them by their numbers."""
    return SUSPECT.sub(_visible, value) if isinstance(value, str) else value


def _visible(match: re.Match[str]) -> str:
    character = match[0]
    kind = unicodedata.category(character)
    if character in JOINERS or kind not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    return f"\\u{ord(character):04x}"


def is_balanced(books: Row) -> bool:
    """Tell whether the balances of a currency add up, and are those of the open transfers."""
    open_minor: int = books["open_transfers_minor"]
    return not books["difference_minor"] and open_minor == books["in_flight_minor"]


class Chart(NamedTuple):
    """The money that was settled and paid in a currency on each day, and the ticks of its axis."""

    days: list[Row]
    ticks: list[Decimal]

    def height(self, value: Decimal) -> Decimal:
        """Return an amount in percent of the axis."""
        return round(100 * value / (self.ticks[-1] or 1), 2)


def chart(currency: str, rows: Iterable[Row], installation: Row) -> Chart:
    """Return the chart of a currency; on days without a row nothing was settled or paid."""
    found = {row["day"]: row for row in rows if row["currency"] == currency}
    first, last = (datetime.fromisoformat(installation[end]) for end in ("first_day", "last_day"))
    dates = [f"{first + timedelta(days=n):%Y-%m-%d}" for n in range((last - first).days + 1)]
    days = [found.get(at, {"day": at, "settled": 0, "paid": 0}) for at in dates]
    largest = max(Decimal(each[kind] or 0) for each in days for kind in ("settled", "paid"))
    return Chart(days, ticks(largest))


def ticks(largest: Decimal) -> list[Decimal]:
    """Return at most six round numbers, from zero to one that is not less."""
    if largest <= 0:
        return [Decimal(0)]
    power = Decimal(1).scaleb(largest.adjusted())
    step = next(power * step for step in STEPS if power * step * 5 >= largest)
    count = int((largest / step).to_integral_value(ROUND_CEILING))
    return [step * number for number in range(count + 1)]


# The filters of the template.


def amount(row: Row, name: str = "amount") -> str:
    """Show an amount in the currency itself; one without digits is shown as a question."""
    return "?" if row[name] is None else plain(row[name])


def plain(number: Decimal | int | None) -> str:
    """Show a number, if there is one."""
    return "" if number is None else f"{number:,}".replace("-", "\u2212")


def short(number: Decimal) -> str:
    """Show a round number in a few characters: 1,500 or 2.5M."""
    for power, unit in ((12, "T"), (9, "B"), (6, "M"), (4, "k")):
        if number >= Decimal(10) ** power:
            return f"{number.scaleb(-3 if power == 4 else -power).normalize():f}{unit}"
    return f"{number.normalize():,f}"


def plural(number: int, one: str, many: str | None = None, *, none: str | None = None) -> str:
    """Show a number of things."""
    if not number and none:
        return none
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def words(name: str) -> str:
    """Show a code as words; a sentence is one already."""
    if not re.fullmatch(r"[a-z0-9_]+", name):
        return name
    return name.replace("_", " ").capitalize().replace(" stripe", " Stripe")


def day(text: str, form: str = "%b %Y") -> str:
    """Show the day of a time."""
    at = datetime.fromisoformat(text)
    return f"{at.day} {at:{form}}"


def moment(text: str) -> str:
    """Show a time."""
    return f"{day(text)}, {datetime.fromisoformat(text):%H:%M}"


def since(text: str, now: str) -> str:
    """Show how long ago a time was."""
    passed = datetime.fromisoformat(now) - datetime.fromisoformat(text)
    seconds = max(int(passed.total_seconds()), 0)
    for size, name in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:,} {name}"
    return f"{seconds} s"
