"""Breadth-first exploration: every state that can be reached, or the shortest broken run."""

from __future__ import annotations

import gc
from collections import deque
from typing import NamedTuple

from tests.model.protocol import STUCK, TWO_EFFECTS, Move, Rules, State, is_at_rest, moves


class Counterexample(NamedTuple):
    """The shortest run that breaks a property."""

    broken: str
    steps: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{number:3}. {step}" for number, step in enumerate(self.steps, start=1)]
        return "\n".join([self.broken, *lines])


class Exploration(NamedTuple):
    """The states seen, and the first property found broken."""

    states: int
    steps: int
    counterexample: Counterexample | None


def explore(rules: Rules, *, only: str | None = None) -> Exploration:
    """Explore everything under some rules; `only` looks for one property and passes over others."""
    # No object refers to itself: the collector would only look at all of them, again and again.
    gc.disable()
    try:
        return _explore(rules, only)
    finally:
        gc.enable()


def _explore(rules: Rules, only: str | None) -> Exploration:
    start = State()
    numbers: dict[State, int] = {start: 0}
    came_from: list[tuple[int, str]] = [(-1, "")]
    helped_by: list[list[int]] = [[]]  # by fault-free steps alone, backwards
    rested: list[int] = []
    waiting = deque([(0, start)])
    steps = 0
    while waiting:
        number, state = waiting.popleft()
        if is_at_rest(state, rules):
            rested.append(number)
        for move in moves(state, rules):
            steps += 1
            if move.broken is not None:
                if only is None or move.broken == only:
                    run = trace(came_from, number, move)
                    return Exploration(len(numbers), steps, Counterexample(move.broken, run))
                if move.broken == TWO_EFFECTS:
                    continue
            # One look for each step: most of its cost is the hash of all that a state holds.
            known = numbers.setdefault(move.to, len(came_from))
            if known == len(came_from):
                came_from.append((number, move.label))
                helped_by.append([])
                waiting.append((known, move.to))
            if not move.is_fault:
                helped_by[known].append(number)
    stuck = first_stuck(helped_by, rested)
    if stuck is not None and only in (None, STUCK):
        run = trace(came_from, stuck, None)
        return Exploration(len(numbers), steps, Counterexample(STUCK, run))
    return Exploration(len(numbers), steps, None)


def first_stuck(helped_by: list[list[int]], rested: list[int]) -> int | None:
    """Return the first state from which no fault-free run comes to rest."""
    comes_to_rest = bytearray(len(helped_by))
    for number in rested:
        comes_to_rest[number] = 1
    waiting = list(rested)
    while waiting:
        for number in helped_by[waiting.pop()]:
            if not comes_to_rest[number]:
                comes_to_rest[number] = 1
                waiting.append(number)
    stuck = comes_to_rest.find(0)
    return None if stuck < 0 else stuck


def trace(came_from: list[tuple[int, str]], number: int, last: Move | None) -> tuple[str, ...]:
    """Return the steps that lead from the start to a state, and one more."""
    steps = [last.label] if last else []
    while number > 0:
        number, label = came_from[number]
        steps.append(label)
    return tuple(reversed(steps))
