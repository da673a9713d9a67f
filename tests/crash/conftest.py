"""A marketplace with a Stripe double that looks for committed keys, and workers to be killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from payout_engine_sandbox.stripe_double import StripeDouble
from tests.conftest import Connection
from tests.crash.preloaded import Nursery
from tests.crash.story import Story, key_is_committed
from tests.crash.workers import OURS, Worker
from tests.engine import Engine

StartWorker: TypeAlias = Callable[..., Worker]


@pytest.fixture
def double(connect: Callable[..., Connection]) -> Iterator[StripeDouble]:
    with StripeDouble.in_thread(on_request=key_is_committed(connect())) as double:
        yield double


@pytest.fixture
def story(db: Connection, connect: Callable[..., Connection], double: StripeDouble) -> Story:
    engine = Engine(db, log_in=connect)
    return Story(engine=engine, double=double)


@pytest.fixture
def run_worker(story: Story, dsn: Callable[..., str], launch: Callable[..., Worker]) -> StartWorker:
    """Run a worker on the test's database, as a login of the role of workers.

    It is awaited until it is connected: it understands a SIGTERM from then on.
    """

    def start_one(command: tuple[str, ...] = OURS, *, member: int = 1) -> Worker:
        url = dsn("payout_worker", member=member)
        worker = launch(command, database_url=url, stripe=story.double.url)
        story.wait_for_sessions(worker)
        return worker

    return start_one


@pytest.fixture
def fork_worker(
    story: Story, dsn: Callable[..., str], launch: Callable[..., Worker], nursery: Nursery
) -> StartWorker:
    """Fork a worker off the nursery, for the same database and under the same login."""

    def start_one(*, member: int = 1) -> Worker:
        url = dsn("payout_worker", member=member)
        return launch(database_url=url, stripe=story.double.url)

    return start_one
