"""A marketplace with a Stripe double that knows what was committed, and workers to be killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from sandbox.stripe_double import StripeDouble
from tests.conftest import Connection
from tests.crash.story import Story, key_is_committed
from tests.crash.workers import OURS, Worker
from tests.procedures.engine import Engine

StartWorker: TypeAlias = Callable[..., Worker]


@pytest.fixture
def double(connect: Callable[..., Connection]) -> Iterator[StripeDouble]:
    with StripeDouble.in_thread(on_request=key_is_committed(connect())) as double:
        yield double


@pytest.fixture
def story(db: Connection, connect: Callable[..., Connection], double: StripeDouble) -> Story:
    engine = Engine(
        db,
        app=connect("payout_app"),
        worker=connect("payout_worker"),
        operator=connect("payout_operator"),
    )
    return Story(engine=engine, double=double)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartWorker]:
    """Start a worker against any database; none outlives the test."""
    workers: list[Worker] = []

    def start_one(*, database_url: str, stripe: str, command: tuple[str, ...] = OURS) -> Worker:
        log = tmp_path / f"worker_{len(workers)}.log"
        workers.append(Worker(database_url=database_url, stripe=stripe, log=log, command=command))
        return workers[-1]

    yield start_one
    for worker in workers:
        worker.kill()


@pytest.fixture
def start_worker(story: Story, start: StartWorker, dsn: Callable[..., str]) -> StartWorker:
    """Start a worker on the test's database, and return when it is connected."""

    def start_one(
        command: tuple[str, ...] = OURS, *, person: int = 1, is_awaited: bool = True
    ) -> Worker:
        worker = start(
            database_url=dsn("payout_worker", person=person),
            stripe=story.double.url,
            command=command,
        )
        if is_awaited:
            story.wait_for_sessions(worker)
        return worker

    return start_one
