"""Draws the moves of a run from a seed, repeats them, and makes a list of moves that fails shorter.

A seed alone gives the moves: a draw depends on nothing but the seed and the machine's own state,
which is the same each time.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

Function = TypeVar("Function", bound=Callable[..., None])

MOVES_IN_A_RUN: Final = 100
# In a run some moves are rare and some frequent, with few of their arguments, so that some run has
# each combination often.
FACTORS: Final = (0.05, 1, 1, 1, 5)
MOST_VALUES: Final = 3
SHORTEN_FOR_SECONDS: Final = 240.0


class Move(NamedTuple):
    """A method of the machine that may be drawn."""

    name: str
    weight: float
    choices: dict[str, Sequence[Any]]
    when: Callable[[Any], bool]


class Step(NamedTuple):
    """A move with its arguments."""

    name: str
    arguments: dict[str, Any]

    def __str__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.name}({arguments})"


class Moving(Protocol):
    """A machine: it begins, makes steps, comes to rest, and ends whether it failed or not."""

    log: list[str]

    def begin(self) -> None: ...
    def make(self, step: Step) -> None: ...
    def come_to_rest(self) -> None: ...
    def end(self) -> None: ...


def move(
    weight: float = 1, when: Callable[[Any], bool] = lambda _: True, **choices: Sequence[Any]
) -> Callable[[Function], Function]:
    """Declare a method as a move: how often it is drawn, when it can be made, its arguments."""

    def declare(function: Function) -> Function:
        function.move = Move(function.__name__, weight, choices, when)  # type: ignore[attr-defined]
        return function

    return declare


def moves_of(machine: Moving) -> dict[str, Move]:
    """Return the moves of a machine, by name."""
    members = (getattr(type(machine), name, None) for name in dir(type(machine)))
    moves = (member.move for member in members if hasattr(member, "move"))
    return {each.name: each for each in moves}


class Failed(AssertionError):
    """A run that failed: its steps, and the place at which it went wrong."""

    def __init__(self, machine: Moving, steps: Sequence[Step], failure: Exception) -> None:
        super().__init__("\n".join([f"{type(failure).__name__}: {failure}", *machine.log]))
        self.steps = list(steps)
        self.place = _place(failure)


def run(make: Callable[[], Moving], seed: int) -> None:
    """Make the moves that a seed gives. Raises Failed."""
    draw = random.Random(seed)

    def steps(machine: Moving) -> Iterator[Step]:
        moves = [_as_in_this_run(each, draw) for each in moves_of(machine).values()]
        for _ in range(MOVES_IN_A_RUN):
            possible = [each for each in moves if each.when(machine)]
            (drawn,) = draw.choices(possible, [each.weight for each in possible])
            arguments = {name: draw.choice(values) for name, values in drawn.choices.items()}
            yield Step(drawn.name, arguments)

    make_steps(make, steps)


def repeat(make: Callable[[], Moving], steps: Sequence[Step]) -> None:
    """Make these steps, save those that are not possible. Raises Failed."""

    def possible(machine: Moving) -> Iterator[Step]:
        moves = moves_of(machine)
        return (step for step in steps if moves[step.name].when(machine))

    make_steps(make, possible)


def make_steps(make: Callable[[], Moving], steps: Callable[[Moving], Iterator[Step]]) -> None:
    """Make steps one by one, then let the machine come to rest. Raises Failed."""
    machine = make()
    made: list[Step] = []
    try:
        machine.begin()
        for step in steps(machine):
            made.append(step)
            machine.log.append(str(step))
            machine.make(step)
        machine.log.append("and comes to rest")
        machine.come_to_rest()
    except Exception as failure:
        raise Failed(machine, made, failure) from failure
    finally:
        machine.end()


def shorten(make: Callable[[], Moving], failed: Failed) -> Failed:
    """Leave out steps, many at once and then one by one, as long as it fails at the same place."""
    until = time.monotonic() + SHORTEN_FOR_SECONDS
    size = len(failed.steps) // 2
    while size:
        start = 0
        while start < len(failed.steps) and time.monotonic() < until:
            try:
                repeat(make, failed.steps[:start] + failed.steps[start + size :])
            except Failed as shorter:
                if shorter.place == failed.place:
                    failed = shorter
                    continue
            start += size
        size //= 2
    return failed


def _as_in_this_run(move: Move, draw: random.Random) -> Move:
    """Return a move with the weight and the arguments of one run; a range is kept whole."""
    choices = {
        name: values
        if isinstance(values, range)
        else draw.sample(values, draw.randint(1, min(MOST_VALUES, len(values))))
        for name, values in move.choices.items()
    }
    return move._replace(weight=move.weight * draw.choice(FACTORS), choices=choices)


def _place(failure: Exception) -> tuple[str, str]:
    """Return the kind of a failure, and the innermost function of the machine that it came from."""
    function, traceback = "", failure.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if "/machine/" in code.co_filename:
            function = code.co_name
        traceback = traceback.tb_next
    return type(failure).__name__, function
