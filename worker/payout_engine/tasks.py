"""The tasks of the queue. A wake-up job says that there may be work, never which.

It may come twice, late or for nothing; only the database knows which transfers are due.
"""

from __future__ import annotations

import logging

from procrastinate import JobContext

from payout_engine.app import QUEUE, app
from payout_engine.engine import Engine

logger = logging.getLogger(__name__)


@app.task(name="payout.execute", queue=QUEUE, retry=False, pass_context=True)
async def execute_payout(context: JobContext, *, payout_job_id: int) -> None:
    """Carry all due transfers: of this payout job, and of any other.

    Raises nothing for answers of Stripe, and ends before the queue could take it for stalled.
    """
    logger.debug("wake-up job of payout job %s", payout_job_id, extra={"event": "woken"})
    await _engine(context).pump.drain()


@app.periodic(cron="* * * * *")
@app.task(name="payout.sweep", queue=QUEUE, retry=False, pass_context=True)
async def sweep(context: JobContext, timestamp: int) -> None:
    """Sweep once more than the engine does by itself, which is far more often.

    It exists because procrastinate 3.10 watches over its listener and its heartbeat only where
    a periodic task is registered (its issue 1597).
    """
    await _engine(context).sweep()


def _engine(context: JobContext) -> Engine:
    engine: Engine = context.additional_context["engine"]
    return engine
