"""Fixtures that start the engine's commands as processes; a plugin, so that all tests have them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.crash.preloaded import Nursery
from tests.crash.workers import OURS, Worker, environment, run

CAN_FORK: Final = hasattr(os, "pidfd_open")


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """The process that others are forked off where many are needed."""
    if not CAN_FORK:
        pytest.skip("the end of a forked worker is only seen on Linux")
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Path]:
    """Give each worker of a test a log of its own."""
    return (tmp_path / f"worker_{number}.log" for number in itertools.count())


@pytest.fixture
def keep() -> Iterator[Callable[[Worker], Worker]]:
    """Take charge of workers: none outlives the test."""
    workers: list[Worker] = []

    def keep_one(worker: Worker) -> Worker:
        workers.append(worker)
        return worker

    yield keep_one
    for worker in workers:
        worker.kill()


@pytest.fixture
def launch(
    request: pytest.FixtureRequest, logs: Iterator[Path], keep: Callable[[Worker], Worker]
) -> Callable[..., Worker]:
    """Run Python with some arguments, on any database, with any key, for any Stripe.

    It is forked off the nursery, where there is one. With `is_fresh` it starts as it does for
    a user, which is mostly importing.
    """

    def launch_one(
        command: tuple[str, ...] = OURS,
        *,
        is_fresh: bool = False,
        database_url: str,
        stripe: str,
        **changes: str,
    ) -> Worker:
        log = next(logs)
        given = environment(database_url=database_url, stripe=stripe) | changes
        if CAN_FORK and not is_fresh:
            nursery: Nursery = request.getfixturevalue("nursery")
            return keep(Worker(nursery.fork(command, environment=given, log=log), log=log))
        return keep(Worker(run(command, environment=given, log=log), log=log))

    return launch_one
