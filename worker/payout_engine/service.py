"""Tells the service manager about this process: readiness, status, stopping and progress.

The protocol is that of systemd's sd_notify; nothing is sent where NOTIFY_SOCKET is not set.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable

from payout_engine.errors import redact


def notify(*lines: str) -> None:
    """Send lines such as ``READY=1`` to the service manager, if there is one that listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # a socket without a file, which only Linux has
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection,
    ):
        connection.settimeout(1.0)
        connection.sendto("\n".join(lines).encode(), address)


def show(status: str) -> None:
    """Tell in one line, without secrets, how the process is; `systemctl status` shows it."""
    notify("STATUS=" + redact(" ".join(status.split())))


def watchdog_pause() -> float | None:
    """Return seconds between signs of life, or None where the manager expects none of this one."""
    expects_us = os.environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
    limit = os.environ.get("WATCHDOG_USEC", "")
    return int(limit) / 3e6 if expects_us and limit.isdecimal() and int(limit) else None


async def feed_watchdog(is_working: Callable[[], bool]) -> None:
    """Give signs of life for as long as the work goes on; the manager restarts a hung process."""
    while pause := watchdog_pause():
        if is_working():
            notify("WATCHDOG=1")
        await asyncio.sleep(pause)
