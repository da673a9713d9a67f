"""An axis ends at a round number above the largest amount, and says so in a few characters."""

from __future__ import annotations

from decimal import Decimal

import pytest

from payout_engine.report import short, ticks


@pytest.mark.parametrize(
    ("largest", "top", "steps"),
    [
        ("0", "0", 0),
        ("1", "1", 5),
        ("0.02", "0.02", 4),
        ("1499.99", "1500", 3),
        ("1500.01", "2000", 4),
        ("311354.80", "400000", 4),
        ("9999999", "10000000", 5),
        ("999999999999999999", "1000000000000000000", 5),
    ],
)
def test_an_axis_ends_at_a_round_number(largest: str, top: str, steps: int) -> None:
    found = ticks(Decimal(largest))
    assert found[0] == 0
    assert len(found) == steps + 1
    assert found[-1] == Decimal(top)
    assert found[-1] >= Decimal(largest)


@pytest.mark.parametrize(
    ("amount", "told"),
    [
        ("0", "0"),
        ("0.005", "0.005"),
        ("1500", "1,500"),
        ("9999", "9,999"),
        ("400000", "400k"),
        ("1500000.00", "1.5M"),
        ("20000000000", "20B"),
        ("1E+18", "1000000T"),
    ],
)
def test_a_round_amount_is_short(amount: str, told: str) -> None:
    assert short(Decimal(amount)) == told
