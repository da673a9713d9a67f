"""Moves in any order pay each transfer once and forget none.

A seed gives a run of a hundred moves. PAYOUT_MACHINE_STEPS=50000 makes so many moves, in runs with
seeds from a random one on, in place of those that are always the same. PAYOUT_MACHINE_SEED=7
begins with the run of that seed; without a number of steps it makes this one alone, and if it
fails, looks for fewer moves that fail at the same place. `-s` shows how often each move was made.
"""

from __future__ import annotations

import os
import secrets
import time
from functools import partial
from typing import Final

import psycopg
import pytest

from tests.conftest import Connection, Server
from tests.machine.clock import install_clock
from tests.machine.copies import Copies
from tests.machine.drawing import MOVES_IN_A_RUN, Failed, run, shorten
from tests.machine.moves import Machine

STEPS: Final = int(os.environ.get("PAYOUT_MACHINE_STEPS", "0"))
SEED: Final = os.environ.get("PAYOUT_MACHINE_SEED")
SEEDS: Final = (
    [range(first := int(SEED or secrets.randbelow(10**9)), first + max(STEPS // MOVES_IN_A_RUN, 1))]
    if STEPS or SEED
    else [range(1), pytest.param(range(1, 4), marks=pytest.mark.proof)]
)


@pytest.mark.long
@pytest.mark.timeout(24 * 3600 if STEPS or SEED else 300)
@pytest.mark.parametrize("seeds", SEEDS, ids=lambda seeds: f"from {seeds[0]}")
def test_moves_in_any_order_pay_each_transfer_once(
    server: Server, maintenance: Connection, seeds: range
) -> None:
    begun_at = time.monotonic()
    with Copies(server, maintenance) as copies:
        template = copies.of_template()
        with psycopg.connect(copies.uri(template), autocommit=True) as connection:
            install_clock(connection)
        make = partial(Machine, server, maintenance, template)
        for seed in seeds:
            try:
                run(make, seed)
            except Failed as failed:
                failed.add_note(f"PAYOUT_MACHINE_SEED={seed} repeats it, and makes it shorter.")
                if SEED and not STEPS:
                    raise shorten(make, failed) from failed
                raise
    print(f"\nseeds {seeds[0]} to {seeds[-1]}: {time.monotonic() - begun_at:.0f} s")
    print("\n".join(f"{count:8d} {name}" for name, count in sorted(Machine.counts.items())))
