"""The procrastinate app: its worker takes the wake-up jobs, and the engine runs beside it.

`payout-engine worker` and the plain ``procrastinate --app=payout_engine.app.app worker`` both run
it; the plain one ends when the database restarts, so a service manager must start it again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from importlib.metadata import version
from typing import Any, Final, Unpack

import psycopg
from procrastinate import App, PsycopgConnector
from procrastinate.app import WorkerOptions
from psycopg_pool import AsyncConnectionPool

from payout_engine import errors, metrics, monitor
from payout_engine.backoff import Backoff
from payout_engine.database import Login, connection_string, wait_for_database
from payout_engine.engine import Engine, run_engine
from payout_engine.settings import Settings, database_url
from payout_engine.stripe_payout_adapter import AccountUnknown

logger = logging.getLogger(__name__)

QUEUE: Final = "payouts"
# A run of the queue's worker that lasted longer than this counts as a success.
LASTING_SECONDS: Final = 60.0


class PayoutApp(App):
    """procrastinate's App with an engine that its tasks wake."""

    async def run_worker_async(self, **options: Unpack[WorkerOptions]) -> None:
        """Run the engine, with the settings of the environment, and a worker that wakes it."""
        async with run_engine(Settings.read(os.environ)) as engine:
            await self.listen(engine, **options)

    async def listen(self, engine: Engine, **options: Unpack[WorkerOptions]) -> None:
        """Run procrastinate's worker until it is stopped, or ends by itself."""
        options["additional_context"] = {"engine": engine}
        await super().run_worker_async(**options)


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    await connection.set_autocommit(True)  # among the pool's kwargs it breaks the listener


def _create_pool(**arguments: Any) -> AsyncConnectionPool:
    """Create the queue's pool when it is opened: importing this module needs no database.

    The queue's bookkeeping is a hint, so its commits need not reach the disk.
    """
    conninfo = connection_string(
        database_url(os.environ), search_path="procrastinate", synchronous_commit="off"
    )
    return AsyncConnectionPool(conninfo, **{**arguments, "check": None})


app = PayoutApp(
    connector=PsycopgConnector(
        pool_factory=_create_pool,
        configure=_configure,
        min_size=0,  # it connects when it must: then a database that is down is seen soon
        max_size=4,
        timeout=5,
        reconnect_timeout=3,
        name="queue",
    ),
    import_paths=["payout_engine.tasks"],
    worker_defaults={
        "queues": [QUEUE],
        "concurrency": 2,
        "delete_jobs": "always",
        "fetch_job_polling_interval": 1.0,
        "shutdown_graceful_timeout": 1.0,
    },
)


async def run_until_stopped(settings: Settings) -> None:
    """Carry payouts until SIGTERM or SIGINT, whatever the database does meanwhile.

    Requests under way are finished and reported first; a second signal ends the process at once.
    Raises NotReady, once the database is there, if no worker can do its work in it, or no longer.
    """
    stop = asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        logger.info("%s: claiming no more, finishing the requests under way", number.name)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    metrics.note_problem("database", "no connection to it yet")
    async with monitor.serve(settings.http):
        await _carry_until(stop, settings)


async def _carry_until(stop: asyncio.Event, settings: Settings) -> None:
    connecting = asyncio.create_task(wait_for_database(settings.database_url))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([connecting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not connecting.done():
        connecting.cancel()
        return
    login = connecting.result()
    login.check_worker()
    async with run_engine(settings) as engine:
        beside = [asyncio.create_task(_log_start(settings, login, engine))]
        if login.has_queue:
            beside.append(asyncio.create_task(_listen_for_ever(engine)))
        else:
            logger.warning(
                "the queue in the schema procrastinate is closed to %s: due transfers are found "
                "without wake-up jobs, within seconds",
                login.role,
            )
        ending = asyncio.create_task(engine.ended.wait())
        await asyncio.wait([stopping, ending], return_when=asyncio.FIRST_COMPLETED)
        metrics.note_problem("process", "it is being stopped")
        engine.pump.stop()
        for task in (ending, *beside):
            task.cancel()
        await asyncio.wait(beside, timeout=5)
    if engine.refusal is not None:
        raise engine.refusal


async def _log_start(settings: Settings, login: Login, engine: Engine) -> None:
    """Log version, database, Stripe account and mode, in one line."""
    try:
        account = await engine.adapter.account_id()
    except AccountUnknown:  # claims and look-ups log the reason
        account = "unknown"
    logger.info(
        "payout-engine %s: database %s as %s, Stripe account %s in %s mode",
        version("payout-engine"),
        login.database,
        login.role,
        account,
        settings.key_mode,
    )


async def _listen_for_ever(engine: Engine) -> None:
    """Run procrastinate's worker again when it ends, as it does when the database restarts."""
    clock = asyncio.get_running_loop().time
    backoff = Backoff(first_seconds=1.0, longest_seconds=5.0)
    while True:
        began_at = clock()
        try:
            async with app.open_async():
                await app.listen(engine, install_signal_handlers=False)
            logger.error("the queue's worker ended by itself")
        except Exception as error:
            logger.error("the queue's worker failed: %s", errors.one_line(error))
        if clock() - began_at > LASTING_SECONDS:
            backoff.reset()
        await backoff.pause()
