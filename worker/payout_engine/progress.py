"""Shows the progress of a comparison: a moving line in a terminal, else a line now and then."""

from __future__ import annotations

import time
from typing import Final, Self, TextIO

from payout_engine.rows import Read, ReadReport

BAR_WIDTH: Final = 30
MOVE_EVERY_SECONDS: Final = 0.1
LINE_EVERY_SECONDS: Final = 5.0


class Progress:
    """Shows the rows of a comparison. Use it as a context manager."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._moves = output.isatty()
        self._expected = 0
        self._seen_before: int | None = None
        self._next_at = 0.0

    def __enter__(self) -> Self:
        self._began_at = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        if self._moves:
            self._output.write("\r\x1b[K")
            self._output.flush()

    def show(self, row: Read | ReadReport) -> None:
        """Show a row, unless the last one was shown just now."""
        now, seen = time.monotonic(), row["objects_seen"]
        if "objects_expected" in row:
            self._expected = row["objects_expected"]
        if self._seen_before is None:
            self._seen_before, self._began_at = seen, now
        if now < self._next_at:
            return
        self._next_at = now + (MOVE_EVERY_SECONDS if self._moves else LINE_EVERY_SECONDS)
        rate = (seen - self._seen_before) / max(now - self._began_at, 1.0)
        self._write(
            f"{self._bar(seen)} {seen:,} of about {self._expected:,} transfers, {rate:.0f}/s"
        )

    def _bar(self, seen: int) -> str:
        full = BAR_WIDTH * min(seen, self._expected) // max(self._expected, 1)
        return f"[{'#' * full:.<{BAR_WIDTH}}]"

    def _write(self, line: str) -> None:
        self._output.write(f"\r\x1b[K{line}" if self._moves else f"{line}\n")
        self._output.flush()
