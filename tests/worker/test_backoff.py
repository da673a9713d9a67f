"""Pauses double up to the longest, are shortened at random, and begin again after a reset."""

from __future__ import annotations

import asyncio
import random

import pytest

from payout_engine.backoff import Backoff


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, in seconds, without the time that they take."""
    made: list[float] = []

    async def sleep(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return made


def pause(backoff: Backoff, times: int) -> None:
    async def main() -> None:
        for _ in range(times):
            await backoff.pause()

    asyncio.run(main())


def test_pauses_double_from_the_first_to_the_longest(pauses: list[float]) -> None:
    pause(Backoff(first_seconds=0.5, longest_seconds=3.0), times=5)
    assert pauses == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_the_first_pause_comes_again_after_a_reset(pauses: list[float]) -> None:
    backoff = Backoff(first_seconds=1.0, longest_seconds=8.0)
    pause(backoff, times=3)
    backoff.reset()
    pause(backoff, times=2)
    assert pauses == [1.0, 2.0, 4.0, 1.0, 2.0]


def test_the_first_pause_comes_again_after_a_run_that_lasted(pauses: list[float]) -> None:
    async def main() -> None:
        backoff = Backoff(first_seconds=1.0, longest_seconds=8.0)
        for seconds in (0.0, 59.0, 61.0, 1.0):
            await backoff.pause(after_seconds=seconds)

    asyncio.run(main())
    assert pauses == [1.0, 2.0, 1.0, 2.0]


def test_jitter_shortens_a_pause_by_at_most_its_part(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
    pause(Backoff(first_seconds=5.0, longest_seconds=160.0, jitter=0.6), times=2)
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    pause(Backoff(first_seconds=5.0, longest_seconds=160.0, jitter=0.6), times=2)
    assert pauses == pytest.approx([2.0, 4.0, 5.0, 10.0])


def test_no_pause_is_shortened_without_jitter(pauses: list[float]) -> None:
    for _ in range(100):
        pause(Backoff(first_seconds=0.1, longest_seconds=5.0), times=1)
    assert set(pauses) == {0.1}


def test_two_loops_do_not_share_their_pauses(pauses: list[float]) -> None:
    one, other = (Backoff(first_seconds=1.0, longest_seconds=8.0) for _ in range(2))
    pause(one, times=2)
    pause(other, times=1)
    assert pauses == [1.0, 2.0, 1.0]
