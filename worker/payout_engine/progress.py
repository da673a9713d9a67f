"""Shows the progress of something long: a moving line in a terminal, else a line now and then."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final, Self, TextIO

from payout_engine.rows import Read, ReadReport

BAR_WIDTH: Final = 30
MOVE_EVERY_SECONDS: Final = 0.1
LINE_EVERY_SECONDS: Final = 5.0


class Line:
    """Shows a line, unless the last one was shown just now. Use it as a context manager."""

    def __init__(self, output: TextIO, *, after_seconds: float = 0.0) -> None:
        self._output = output
        self._moves = output.isatty()
        self._after_seconds = after_seconds

    def __enter__(self) -> Self:
        self._began_at = time.monotonic()
        self._next_at = self._began_at + self._after_seconds
        return self

    def __exit__(self, *error: object) -> None:
        if self._moves:
            self._output.write("\r\x1b[K")
            self._output.flush()

    def _is_due(self, now: float) -> bool:
        if now < self._next_at:
            return False
        self._next_at = now + (MOVE_EVERY_SECONDS if self._moves else LINE_EVERY_SECONDS)
        return True

    def _write(self, line: str) -> None:
        self._output.write(f"\r\x1b[K{line}" if self._moves else f"{line}\n")
        self._output.flush()


class Progress(Line):
    """Shows the rows of a comparison."""

    def __init__(self, output: TextIO) -> None:
        super().__init__(output)
        self._expected = 0
        self._seen_before: int | None = None

    def show(self, row: Read | ReadReport) -> None:
        """Show a row, unless the last one was shown just now."""
        now, seen = time.monotonic(), row["objects_seen"]
        if "objects_expected" in row:
            self._expected = row["objects_expected"]
        if self._seen_before is None:
            self._seen_before, self._began_at = seen, now
        if not self._is_due(now):
            return
        rate = (seen - self._seen_before) / max(now - self._began_at, 1.0)
        self._write(
            f"{self._bar(seen)} {seen:,} of about {self._expected:,} transfers, {rate:.0f}/s"
        )

    def _bar(self, seen: int) -> str:
        full = BAR_WIDTH * min(seen, self._expected) // max(self._expected, 1)
        return f"[{'#' * full:.<{BAR_WIDTH}}]"


class ExportProgress(Line):
    """Shows how far an export is, once it has taken a second."""

    def __init__(self, output: TextIO) -> None:
        super().__init__(output, after_seconds=1.0)

    def show(self, count: int, booked_at: datetime) -> None:
        """Show how many entries are written, and the day of the last one."""
        now = time.monotonic()
        if self._is_due(now):
            rate = count / max(now - self._began_at, 1.0)
            self._write(f"{count:,} entries, up to {booked_at:%Y-%m-%d}, {rate:,.0f}/s")
