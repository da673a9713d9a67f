"""The payments and the faults of the demo: settlements as CSV files, and faults at Stripe.

Everything is drawn from a fixed seed, so that two runs differ only in their timing.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

SEED: Final = 5
AMOUNTS_MINOR: Final = (500, 90_000)
SELLERS: Final = tuple(f"seller_{number:02d}" for number in range(1, 61))
MOST_SELLERS_IN_A_SETTLEMENT: Final = 14
# The events at Stripe, as commands for the double; its faults stand in stripe_faults.py.
EVENTS: Final[tuple[tuple[str, Mapping[str, Any]], ...]] = (
    ("account", {"account_id": "acct_seller_07", "state": "closed"}),
    ("account", {"account_id": "acct_seller_11", "state": "incapable"}),
    ("fault", {"name": "server_error", "destination": "acct_seller_19"}),
    ("fault", {"name": "server_error_after_effect", "destination": "acct_seller_23"}),
    ("fault", {"name": "answer_hangs", "skip": 20, "every": 40, "times": 2}),
    ("fault", {"name": "answer_lost", "skip": 25, "every": 30, "times": 8}),
    ("fault", {"name": "answer_cut", "skip": 40, "every": 30, "times": 4}),
    ("limit", {"per_second": 150}),
)


@dataclass(frozen=True, kw_only=True)
class Market:
    """One currency in which the marketplace settles."""

    currency: str
    share: int
    """How many of twenty settlements are in this currency."""
    minor_digits: int = 2
    funded_percent: int | None = None
    """The part of the debt that the platform holds at Stripe; None: more than enough."""


MARKETS: Final = {
    market.currency: market
    for market in (
        Market(currency="chf", share=2, funded_percent=40),
        Market(currency="eur", share=5),
        Market(currency="gbp", share=3),
        Market(currency="jpy", share=2, minor_digits=0),
        Market(currency="usd", share=8),
    )
}


class Line(NamedTuple):
    """One line of a settlement, as the CSV file has it."""

    settlement_id: str
    line_id: int
    payee_id: str
    amount_minor: int


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The settlements that are loaded in one transaction."""

    name: str
    market: Market
    lines: list[Line]

    @property
    def totals_minor(self) -> Counter[str]:
        """The total of each settlement, in minor units."""
        totals: Counter[str] = Counter()
        for line in self.lines:
            totals[line.settlement_id] += line.amount_minor
        return totals

    @property
    def transfers(self) -> int:
        """How many transfers it is to become: one for each payee of each settlement."""
        return len({(line.settlement_id, line.payee_id) for line in self.lines})

    def write_csv(self, directory: Path) -> None:
        """Write the two files that ``load.sql`` reads."""
        currency = self.market.currency
        with (directory / "settlements.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("settlement_id", "currency", "total_minor", "state"))
            for settlement_id, total_minor in self.totals_minor.items():
                writer.writerow((settlement_id, currency, total_minor, "complete"))
        with (directory / "lines.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows((Line._fields, *self.lines))


def draw_batches(*, settlements: int, crowd: int) -> list[Batch]:
    """Return a batch for each currency, and one that is a single settlement of a whole crowd."""
    random = Random(SEED)
    batches = []
    for market in MARKETS.values():
        lines: list[Line] = []
        for number in range(max(1, settlements * market.share // 20)):
            lines.extend(_draw_settlement(random, f"{market.currency}_{number:04d}"))
        batches.append(Batch(name=market.currency, market=market, lines=lines))
    fans = [
        Line("usd_crowd", number, f"fan_{number:04d}", random.randint(*AMOUNTS_MINOR))
        for number in range(crowd)
    ]
    return [*batches, Batch(name="crowd", market=MARKETS["usd"], lines=fans)]


def _draw_settlement(random: Random, settlement_id: str) -> Iterator[Line]:
    """Draw some sellers; some of them have two lines, which become one transfer."""
    sellers = random.sample(SELLERS, random.randint(1, MOST_SELLERS_IN_A_SETTLEMENT))
    with_repeats = sellers + random.sample(sellers, len(sellers) // 4)
    for number, seller in enumerate(with_repeats):
        yield Line(settlement_id, number, seller, random.randint(*AMOUNTS_MINOR))
