"""Two applications, and the seed of the tests that draw at random."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from tests.conftest import Connection
from tests.settle.marketplace import register


@pytest.fixture
def first(connect: Callable[..., Connection]) -> Connection:
    first = connect("payout_app")
    register(first, "seller_1", "seller_2")
    return first


@pytest.fixture
def second(connect: Callable[..., Connection]) -> Connection:
    return connect("payout_app", member=2)


@pytest.fixture
def seed() -> int:
    """The seed of this run; pytest shows the printed line when the test fails."""
    seed = int(os.environ.get("PAYOUT_TEST_SEED", random.SystemRandom().randrange(2**32)))
    print(f"PAYOUT_TEST_SEED={seed}")
    return seed
