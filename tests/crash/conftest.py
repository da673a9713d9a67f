"""A marketplace with a Stripe double that knows what was committed, and workers to be killed."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from sandbox.stripe_double import StripeDouble
from tests.conftest import Connection
from tests.crash.preloaded import Nursery
from tests.crash.story import Story, key_is_committed
from tests.crash.workers import OURS, Worker, environment, run
from tests.procedures.engine import Engine

StartWorker: TypeAlias = Callable[..., Worker]
CAN_FORK: Final = hasattr(os, "pidfd_open")


@pytest.fixture
def double(connect: Callable[..., Connection]) -> Iterator[StripeDouble]:
    with StripeDouble.in_thread(on_request=key_is_committed(connect())) as double:
        yield double


@pytest.fixture
def story(db: Connection, connect: Callable[..., Connection], double: StripeDouble) -> Story:
    engine = Engine(db, log_in=connect)
    return Story(engine=engine, double=double)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """The process that workers are forked off where many are needed."""
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
    """Start a process on any database, with any key, for any Stripe.

    A command that is given starts as it does for anybody, which is mostly importing; else the
    worker is forked off the nursery, where there is one.
    """

    def launch_one(
        command: tuple[str, ...] | None = None, *, database_url: str, stripe: str, **changes: str
    ) -> Worker:
        log = next(logs)
        given = environment(database_url=database_url, stripe=stripe) | changes
        if command is None and CAN_FORK:
            nursery: Nursery = request.getfixturevalue("nursery")
            return keep(Worker(nursery.fork(environment=given, log=log), log=log))
        return keep(Worker(run(command or OURS, environment=given, log=log), log=log))

    return launch_one


@pytest.fixture
def run_worker(story: Story, dsn: Callable[..., str], launch: Callable[..., Worker]) -> StartWorker:
    """Run a worker on the test's database, as a login of the role of workers.

    It is awaited until it is connected: it understands a SIGTERM from then on.
    """

    def start_one(command: tuple[str, ...] | None = None, *, person: int = 1) -> Worker:
        url = dsn("payout_worker", person=person)
        worker = launch(command, database_url=url, stripe=story.double.url)
        story.wait_for_sessions(worker)
        return worker

    return start_one


@pytest.fixture
def fork_worker(
    story: Story, dsn: Callable[..., str], launch: Callable[..., Worker], nursery: Nursery
) -> StartWorker:
    """Fork a worker off the nursery, for the same database and under the same login."""

    def start_one(*, person: int = 1) -> Worker:
        url = dsn("payout_worker", person=person)
        return launch(database_url=url, stripe=story.double.url)

    return start_one
