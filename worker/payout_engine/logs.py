"""Logging that cannot delay a payment: a full pipe or disk costs lines, never time.

Each event is one line on standard error, without bodies and without secrets; in JSON, if wanted,
with the name of the event and its ids as fields.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import queue
import sys
import time
from datetime import UTC, datetime
from typing import Any, Final

from procrastinate.exceptions import ConnectorException

from payout_engine.errors import redact

LINES_HELD: Final = 10_000
FORMATS: Final = ("text", "json")
# The attributes of a record that become fields: `extra` of the call that logs.
FIELDS: Final = (
    "payout_transfer_id", "settlement_id", "generation", "attempt", "stripe_request_id",
    "verdict", "state",
)  # fmt: skip
# A line up to this length is written whole, also where several processes share a pipe.
LONGEST_LINE: Final = 4000


def _is_told_already(record: logging.LogRecord) -> bool:
    """Say whether procrastinate logs a lost connection, which `app` and `database` log once.

    Or asyncio, of a task of procrastinate's that nobody waits for any more.
    """
    error = record.exc_info and record.exc_info[1]
    is_theirs = record.name.partition(".")[0] in ("procrastinate", "asyncio")
    return is_theirs and isinstance(error, ConnectorException)


class _DroppingHandler(logging.handlers.QueueHandler):
    def enqueue(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(queue.Full):
            self.queue.put_nowait(record)


class _RedactingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record)).replace("\n\t", " ")  # as libpq breaks its lines


class _JsonFormatter(logging.Formatter):
    def __init__(self, worker: str) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        """Return one JSON object; each text is redacted before it is quoted."""
        given = record.__dict__
        at = datetime.fromtimestamp(record.created, UTC)
        fields: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            # procrastinate names its events in `action`.
            "event": given.get("event") or given.get("action") or "log",
            "worker": self._worker,
            **{name: given[name] for name in FIELDS if given.get(name) is not None},
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        fields = {
            name: value if isinstance(value, int) else redact(str(value))
            for name, value in fields.items()
        }
        while len(line := json.dumps(fields)) > LONGEST_LINE:
            name = max(fields, key=lambda name: len(str(fields[name])))
            text, part = fields[name], len(fields[name]) // 4
            # The end of an exception says what it is.
            fields[name] = text[part:] if name == "exception" else text[:-part]
        return line


def _writer(formatter: logging.Formatter) -> logging.Handler:
    writer = logging.StreamHandler()
    writer.setFormatter(formatter)
    return writer


def start_plain() -> None:
    """Log warnings to standard error at once, for a command that a person waits for."""
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""  # the line of progress
    writer = _writer(_RedactingFormatter(f"{clear}%(levelname)s %(message)s"))
    logging.basicConfig(handlers=[writer])
    logging.captureWarnings(True)
    # The pool tells of each connection that it gives up; the command tells the error.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


def start(level: str, *, form: str = "text", worker: str = "") -> queue.Queue[logging.LogRecord]:
    """Log to standard error from a thread, through a queue that drops lines when it is full."""
    lines: queue.Queue[logging.LogRecord] = queue.Queue(LINES_HELD)
    logging.handlers.QueueListener(lines, _writer(logging.Formatter())).start()
    handler = _DroppingHandler(lines)
    text = _RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(_JsonFormatter(worker) if form == "json" else text)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    if logging.root.level >= logging.INFO:
        # procrastinate logs every job at INFO, the pool every connection that cannot be made.
        logging.getLogger("procrastinate").setLevel(logging.WARNING)
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
        handler.addFilter(lambda record: not _is_told_already(record))
    return lines


def finish(lines: queue.Queue[logging.LogRecord]) -> None:
    """Give the last lines a second to be written, and log no more; a stuck reader gets none."""
    give_up_at = time.monotonic() + 1
    while not lines.empty() and time.monotonic() < give_up_at:
        time.sleep(0.01)
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)
