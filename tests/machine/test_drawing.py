"""A seed gives the same moves each time, and a run that fails is made as short as it can be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest

from tests.machine.drawing import Failed, Step, move, repeat, run, shorten


class Toy:
    """It fails when the cup was filled twice, and then dropped."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.filled = 0
        self.is_ended = False

    def begin(self) -> None:
        assert self.log == []

    @move(3, is_hot=(False, True))
    def fill(self, is_hot: bool) -> None:
        self.filled += is_hot

    @move(when=lambda self: self.filled)
    def drop(self) -> None:
        assert self.filled < 2

    @move(10, which=range(60))
    def wait(self, which: int) -> None:
        assert which < 60

    def make(self, step: Step) -> None:
        getattr(self, step.name)(**step.arguments)

    def come_to_rest(self) -> None:
        assert not self.is_ended

    def end(self) -> None:
        self.is_ended = True


def failures() -> Iterator[tuple[int, Failed]]:
    for seed in count():
        try:
            run(Toy, seed)
        except Failed as failed:
            yield seed, failed


def test_a_seed_gives_the_same_moves_each_time() -> None:
    seed, failed = next(failures())
    with pytest.raises(Failed) as again:
        run(Toy, seed)
    assert again.value.steps == failed.steps
    with pytest.raises(Failed) as repeated:
        repeat(Toy, failed.steps)
    assert repeated.value.steps == failed.steps
    assert str(failed).endswith("drop()")


def test_a_run_that_fails_is_made_as_short_as_it_can_be() -> None:
    _, failed = next(failures())
    fill = Step("fill", {"is_hot": True})
    assert shorten(Toy, failed).steps == [fill, fill, Step("drop", {})]


def test_a_step_that_is_not_possible_is_left_out() -> None:
    repeat(Toy, [Step("drop", {}), Step("fill", {"is_hot": True}), Step("drop", {})])


def test_each_run_has_favourite_moves() -> None:
    """Over many runs every move is made, and every argument is drawn."""
    made: Counter[str] = Counter()

    class Counting(Toy):
        def make(self, step: Step) -> None:
            made[str(step)] += 1

    for seed in range(20):
        run(Counting, seed)
    assert set(made) >= {"fill(is_hot=False)", "fill(is_hot=True)"}
    assert sum(name.startswith("wait") for name in made) == 60
