"""The procrastinate app with its tasks: a wake-up job wakes the engine, which runs beside it.

A wake-up job says that there may be work, never which, and may come twice, late or for nothing.
`payout-engine worker` and the plain ``procrastinate --app=payout_engine.app.app worker`` both run
the app; the plain one ends when the database restarts, so a service manager must start it again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import Any, Final, Unpack

import psycopg
from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.app import WorkerOptions
from psycopg_pool import AsyncConnectionPool

from payout_engine import RELEASE, errors, metrics, monitor, service
from payout_engine.backoff import Backoff
from payout_engine.database import Login, connection_string, wait_for_database, worker_name
from payout_engine.engine import Engine, run_engine
from payout_engine.settings import Settings, database_url, mode_of
from payout_engine.stripe_payout_adapter import AccountUnknown, KeyRefused

logger = logging.getLogger(__name__)

QUEUE: Final = "payouts"
# The tasks that are cancelled when a worker stops have so long to end.
CANCEL_SECONDS: Final = 5.0


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
        # Among the pool's kwargs it breaks the listener.
        configure=lambda connection: connection.set_autocommit(True),
        min_size=0,  # it connects when it must: then a database that is down is seen soon
        max_size=4,
        timeout=5,
        reconnect_timeout=3,
        name="queue",
    ),
    worker_defaults={
        "queues": [QUEUE],
        "concurrency": 2,
        "delete_jobs": "always",
        "fetch_job_polling_interval": 1.0,
        "shutdown_graceful_timeout": 1.0,
    },
)


@app.task(name="payout.execute", queue=QUEUE, retry=False, pass_context=True)
async def execute_payout(context: JobContext, *, payout_job_id: int) -> None:
    """Carry all due transfers: of this payout job, and of any other.

    Raises nothing for answers of Stripe, and ends before the queue could take it for stalled.
    """
    logger.debug("wake-up job of payout job %s", payout_job_id, extra={"event": "woken"})
    await context.additional_context["engine"].pump.drain()


@app.periodic(cron="* * * * *")
@app.task(name="payout.sweep", queue=QUEUE, retry=False, pass_context=True)
async def sweep(context: JobContext, timestamp: int) -> None:
    """Sweep once more than the engine does by itself, which is far more often.

    It exists because procrastinate 3.10 watches over its listener and its heartbeat only where
    a periodic task is registered (its issue 1597).
    """
    await context.additional_context["engine"].sweep()


async def run_until_stopped(settings: Settings) -> None:
    """Carry payouts until SIGTERM or SIGINT, whatever the database does meanwhile.

    Requests under way are finished and reported first; a second signal ends the process at once.
    Raises UserError if the database, once it is there, or Stripe refuses this worker for good.
    """
    stop = asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        told = "claiming no more, finishing the requests under way"
        logger.info("%s: %s", number.name, told, extra={"event": "stopping"})
        service.notify("STOPPING=1")
        service.show(told)
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
        accepted = asyncio.create_task(_work_while_accepted(settings, login, engine))
        ending = asyncio.create_task(engine.ended.wait())
        beside = [
            accepted,
            ending,
            asyncio.create_task(service.feed_watchdog(engine.pump.is_turning)),
        ]
        if login.has_queue:
            beside.append(asyncio.create_task(_listen_for_ever(engine)))
        else:
            logger.warning(
                "the queue in the schema procrastinate is closed to %s: due transfers are found "
                "without wake-up jobs, within seconds",
                login.role,
                extra={"event": "queue_closed"},
            )
        await asyncio.wait([stopping, accepted, ending], return_when=asyncio.FIRST_COMPLETED)
        metrics.note_problem("process", "it is being stopped")
        service.notify("STOPPING=1")
        engine.pump.stop()
        for task in beside:
            task.cancel()
        await asyncio.wait(beside, timeout=CANCEL_SECONDS)
    if engine.refusal is not None:
        raise engine.refusal
    if accepted.done() and not accepted.cancelled():
        accepted.result()


async def _work_while_accepted(settings: Settings, login: Login, engine: Engine) -> None:
    """Tell the log and the service manager once the database and Stripe accept this worker.

    Raises UserError when Stripe refuses its key, at its start or later, and an error of the
    database that no repetition helps.
    """
    backoff = Backoff(first_seconds=0.5, longest_seconds=10.0)
    ready = waiting_for = ""
    while True:
        try:
            await engine.beat()
            account = await engine.adapter.account_id()
        except KeyRefused as error:
            raise errors.UserError(
                f"worker {worker_name()} stops, because Stripe refuses its key: {error}; start it "
                "again with a valid key; workers that have one go on"
            ) from None
        except Exception as error:
            if not isinstance(error, AccountUnknown) and not errors.is_transient(error):
                raise
            if (reason := errors.one_line(error)) != waiting_for:
                level = engine.database.level(error, logging.WARNING)
                logger.log(level, "not ready: %s", reason, extra={"event": "not_ready"})
                service.show(f"not ready: {reason}")
            waiting_for = reason
            await backoff.pause()
            continue
        if not ready:
            ready = (
                f"payout-engine {RELEASE}: database {login.database} as "
                f"{login.role}, Stripe account {account} in {mode_of(settings.stripe_api_key)} mode"
            )
            logger.info("%s", ready, extra={"event": "ready"})
            service.notify("READY=1")
            service.show(ready)
        engine.adapter.key_refused.clear()
        await engine.adapter.key_refused.wait()


async def _listen_for_ever(engine: Engine) -> None:
    """Run procrastinate's worker again when it ends, as it does when the database restarts."""
    clock = asyncio.get_running_loop().time
    backoff = Backoff(first_seconds=1.0, longest_seconds=5.0)
    while True:
        began_at = clock()
        try:
            async with app.open_async():
                await app.listen(engine, install_signal_handlers=False)
            logger.error("the queue's worker ended by itself", extra={"event": "queue_failed"})
        except Exception as error:
            cause = error.__cause__ if isinstance(error.__cause__, psycopg.Error) else error
            await engine.database.lose(cause)
            level = engine.database.level(cause, logging.ERROR, since=began_at)
            told, reason = "the queue's worker failed: %s", errors.one_line(error)
            logger.log(level, told, reason, extra={"event": "queue_failed"})
        await backoff.pause(after_seconds=clock() - began_at)
