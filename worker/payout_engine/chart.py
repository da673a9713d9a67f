"""Draws the money that was settled and paid on each day, as an inline SVG with labels in HTML.

The drawing is stretched to the width of the page; its labels stand outside of it, so that they stay
readable on a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import ROUND_CEILING, Decimal
from typing import Final, NamedTuple

from payout_engine.markup import Markup, element

HEIGHT: Final = 100
DAY: Final = 10.0
BAR: Final = 3.6
STEPS: Final = (Decimal("0.2"), Decimal("0.5"), Decimal(1), Decimal(2))


class Day(NamedTuple):
    """A day and its two amounts, with the words that tell them."""

    day: date
    settled: Decimal
    paid: Decimal
    told: str


def chart(days: Sequence[Day], *, title: str) -> Markup:
    """Return a figure with a pair of bars for each day."""
    top, ticks = scale(max((max(day.settled, day.paid) for day in days), default=Decimal(0)))
    width = DAY * len(days)
    grid = [
        element(
            "line", x1=0, x2=width, y1=_y(tick, top), y2=_y(tick, top), class_="zero" * (tick == 0)
        )
        for tick in ticks
    ]
    bars = [_pair(place, day, top) for place, day in enumerate(days)]
    drawing = element(
        "svg",
        element("title", title),
        grid,
        bars,
        viewBox=f"0 0 {width:g} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=title,
    )
    labels = [element("span", short(tick), style=f"top:{_y(tick, top):g}%") for tick in ticks]
    return element(
        "figure",
        element("div", labels, class_="ticks", aria_hidden="true"),
        element("div", drawing, class_="plot"),
        element("div", _dates(days), class_="dates", aria_hidden="true"),
        class_="chart",
    )


def scale(largest: Decimal) -> tuple[Decimal, list[Decimal]]:
    """Return the end of an axis, and at most six round numbers on it, from zero on."""
    if largest <= 0:
        return Decimal(1), [Decimal(0)]
    power = Decimal(1).scaleb(largest.adjusted())
    step = next(power * step for step in STEPS if power * step * 5 >= largest)
    count = int((largest / step).to_integral_value(ROUND_CEILING))
    return step * count, [step * number for number in range(count + 1)]


def short(amount: Decimal) -> str:
    """Return a round amount in a few characters: 1,500 or 2.5M."""
    for power, unit in ((12, "T"), (9, "B"), (6, "M"), (4, "k")):
        if amount >= Decimal(10) ** power:
            return f"{amount.scaleb(-3 if power == 4 else -power).normalize():f}{unit}"
    return f"{amount.normalize():,f}"


def _y(amount: Decimal, top: Decimal) -> float:
    return round(HEIGHT - float(amount / top) * HEIGHT, 2)


def _pair(place: int, day: Day, top: Decimal) -> Markup:
    begin = DAY * place + (DAY - 2 * BAR) / 2
    return element(
        "g",
        element("title", day.told),
        element("rect", x=DAY * place, y=0, width=DAY, height=HEIGHT, class_="day"),
        (
            element(
                "rect",
                x=round(begin + BAR * number, 2),
                y=_y(amount, top),
                width=BAR,
                height=round(HEIGHT - _y(amount, top), 2),
                class_=kind,
            )
            for number, (kind, amount) in enumerate((("settled", day.settled), ("paid", day.paid)))
            if amount
        ),
    )


def _dates(days: Sequence[Day]) -> list[Markup]:
    """Label about five days, so that the labels have room on a phone too."""
    every = -(-len(days) // 5)
    return [
        element("span", f"{day.day.day} {day.day:%b}", style=f"left:{_middle(place, len(days)):g}%")
        for place, day in enumerate(days)
        if place % every == 0
    ]


def _middle(place: int, count: int) -> float:
    return round((place + 0.5) * 100 / count, 2)
