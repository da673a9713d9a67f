"""Logging that cannot delay a payment: a full pipe or disk costs lines, never time.

Each event is one line on standard error, without bodies and without secrets.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import queue
import sys
import time
from typing import Final

from payout_engine.errors import redact

LINES_HELD: Final = 10_000


class _DroppingHandler(logging.handlers.QueueHandler):
    def enqueue(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(queue.Full):
            self.queue.put_nowait(record)


class _RedactingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record)).replace("\n\t", " ")  # as libpq breaks its lines


def _writer(line: str) -> logging.Handler:
    writer = logging.StreamHandler()
    writer.setFormatter(_RedactingFormatter(line))
    return writer


def start_plain() -> None:
    """Log warnings to standard error at once, for a command that a person waits for."""
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""  # the line of progress
    logging.basicConfig(handlers=[_writer(f"{clear}%(levelname)s %(message)s")])
    logging.captureWarnings(True)


def start(level: str) -> queue.Queue[logging.LogRecord]:
    """Log to standard error from a thread, through a queue that drops lines when it is full."""
    lines: queue.Queue[logging.LogRecord] = queue.Queue(LINES_HELD)
    writer = _writer("%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.handlers.QueueListener(lines, writer).start()
    handler = _DroppingHandler(lines)
    handler.setFormatter(logging.Formatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    if logging.root.level >= logging.INFO:  # procrastinate logs every job at INFO
        logging.getLogger("procrastinate").setLevel(logging.WARNING)
        logging.getLogger("psycopg.pool").setLevel(logging.WARNING)
    return lines


def finish(lines: queue.Queue[logging.LogRecord]) -> None:
    """Give the last lines a second to be written; a stuck reader gets no more."""
    give_up_at = time.monotonic() + 1
    while not lines.empty() and time.monotonic() < give_up_at:
        time.sleep(0.01)
