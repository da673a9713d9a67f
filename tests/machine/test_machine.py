"""Moves in any order pay each transfer once and forget none.

PAYOUT_MACHINE_STEPS=50000 takes so many steps in place of a few hundred.
"""

from __future__ import annotations

import os
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import Connection, Server

STEPS: Final = int(os.environ.get("PAYOUT_MACHINE_STEPS", "0"))
STEPS_IN_A_RUN: Final = 50

PROFILE: Final = settings(
    max_examples=max(STEPS // STEPS_IN_A_RUN, 8),
    stateful_step_count=STEPS_IN_A_RUN,
    deadline=None,
    derandomize=STEPS == 0,
    database=None,
    # Shrinking takes longer than reading fifty steps.
    phases=[Phase.generate],
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.long
@pytest.mark.timeout(24 * 3600 if STEPS else 300)
def test_moves_in_any_order_pay_each_transfer_once(server: Server, maintenance: Connection) -> None:
    from tests.machine.world import World  # and hypothesis' strategies, in this process alone

    run_state_machine_as_test(lambda: World(server, maintenance), settings=PROFILE)
