"""Hands alarms to a command or a webhook of the operators, beside the payments.

Alarms that come together share a delivery, and deliveries keep a distance: a storm of alarms makes
a few of them. One that fails is repeated some times. The command gets none of the engine's
secrets, and the address of the webhook, a secret itself, is never logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import subprocess
from typing import Any, Final, Self, TypeAlias

import aiohttp

from payout_engine import metrics
from payout_engine.backoff import Backoff
from payout_engine.errors import UserError
from payout_engine.settings import Settings

logger = logging.getLogger(__name__)

Alarm: TypeAlias = dict[str, Any]

GATHERING_SECONDS: Final = 0.5
DISTANCE_SECONDS: Final = 10.0
FIRST_PAUSE_SECONDS: Final = 1.0
TRIES: Final = 5
DELIVERY_SECONDS: Final = 20.0
CLOSING_SECONDS: Final = 2.0
MOST_IN_A_DELIVERY: Final = 20
MOST_WAITING: Final = 500
# The names of settings that the command is not given.
OURS: Final = ("DATABASE_URL", "STRIPE_", "PAYOUT_", "PG")


class AlarmHook:
    """Takes alarms and delivers them; does nothing without a hook. Use it as a context manager."""

    def __init__(self, settings: Settings, *, worker: str) -> None:
        self._command = settings.alarm_command
        self._url = settings.alarm_url
        self._worker = worker
        self._waiting: list[Alarm] = []
        self._left_out = 0
        self._task: asyncio.Task[None] | None = None
        self._is_closing = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Raise UserError if there is no such command: the first alarm would be lost."""
        if self._command and shutil.which(self._command[0]) is None:
            raise UserError(
                "PAYOUT_ALARM_COMMAND names a program that is not there or may not be run: give "
                "its whole path"
            )
        return self

    async def __aexit__(self, *error: object) -> None:
        self._is_closing.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=CLOSING_SECONDS)
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CLOSING_SECONDS)
        if self._waiting:
            told = "%d alarms could not be handed on"
            logger.error(told, len(self._waiting), extra={"event": "alarms_lost"})

    def add(self, alarm: Alarm) -> None:
        """Take an alarm over, without waiting for anything."""
        metrics.ALARMS.inc()
        if not (self._command or self._url):
            return
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(alarm)
        else:
            self._left_out += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._deliver_all())

    async def _deliver_all(self) -> None:
        await self._pause(GATHERING_SECONDS)
        while self._waiting:
            alarms = self._waiting[:MOST_IN_A_DELIVERY]
            await self._deliver(alarms)
            del self._waiting[: len(alarms)]
            await self._pause(DISTANCE_SECONDS)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_closing.wait(), seconds)

    async def _deliver(self, alarms: list[Alarm]) -> None:
        left_out, self._left_out = self._left_out, 0
        told = ", ".join(f"{alarm['alarm']} ({alarm['subject']})" for alarm in alarms)
        document = {
            "text": f"payout alarm: {told}",
            "worker": self._worker,
            "alarms": alarms,
            "left_out": left_out,
        }
        body = json.dumps(document).encode()
        backoff = Backoff(first_seconds=FIRST_PAUSE_SECONDS, longest_seconds=30.0)
        for tries_left in reversed(range(TRIES)):
            try:
                async with asyncio.timeout(DELIVERY_SECONDS):
                    await (self._run(body) if self._command else self._post(body))
            except Exception as error:
                reason = str(error) if isinstance(error, _Failed) else type(error).__name__
                metrics.DELIVERIES.labels("failed").inc()
                told = "the alarm hook failed, %d tries left: %s"
                logger.error(told, tries_left, reason, extra={"event": "alarm_hook_failed"})
            else:
                metrics.DELIVERIES.labels("delivered").inc()
                return
            if tries_left:
                await backoff.pause()

    async def _run(self, body: bytes) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in os.environ if not name.startswith(OURS)},
            start_new_session=True,
        )
        try:
            await process.communicate(body)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise _Failed(f"exit code {process.returncode}")

    async def _post(self, body: bytes) -> None:
        async with (
            aiohttp.ClientSession(trust_env=True) as session,
            session.post(
                self._url,
                data=body,
                headers={"Content-Type": "application/json"},
                allow_redirects=False,
            ) as response,
        ):
            if response.status >= 300:
                raise _Failed(f"HTTP status {response.status}")


class _Failed(Exception):
    """A delivery was refused; the message has no secret."""
