"""The seed of what these tests leave to chance."""

from __future__ import annotations

import os
import random

import pytest


@pytest.fixture
def seed() -> int:
    """The seed of this run; pytest shows what is printed here when the test fails."""
    seed = int(os.environ.get("PAYOUT_TEST_SEED", random.SystemRandom().randrange(2**32)))
    print(f"PAYOUT_TEST_SEED={seed}")
    return seed
