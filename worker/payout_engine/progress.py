"""Shows the progress of something long: a moving line in a terminal, else a line now and then."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final, Self, TextIO

BAR_WIDTH: Final = 30
MOVE_EVERY_SECONDS: Final = 0.1
LINE_EVERY_SECONDS: Final = 5.0


class Progress:
    """Shows a count, unless one was shown just now. Use it as a context manager.

    The rate beside it is that since the first count.
    """

    def __init__(self, output: TextIO, *, after_seconds: float = 0.0) -> None:
        self._output = output
        self._moves = output.isatty()
        self._after_seconds = after_seconds
        self._first: tuple[int, float] | None = None

    def __enter__(self) -> Self:
        self._next_at = time.monotonic() + self._after_seconds
        return self

    def __exit__(self, *error: object) -> None:
        if self._moves:
            self._write("\r\x1b[K")

    def compared(self, seen: int, expected: int) -> None:
        """Show how many transfers are compared, of about how many."""
        full = BAR_WIDTH * min(seen, expected) // max(expected, 1)
        bar = f"[{'#' * full:.<{BAR_WIDTH}}]"
        self._show(seen, f"{bar} {seen:,} of about {expected:,} transfers")

    def exported(self, count: int, booked_at: datetime) -> None:
        """Show how many entries are written, and the day of the last one."""
        self._show(count, f"{count:,} entries, up to {booked_at:%Y-%m-%d}")

    def _show(self, count: int, told: str) -> None:
        now = time.monotonic()
        first_count, began_at = self._first = self._first or (count, now)
        if now < self._next_at:
            return
        self._next_at = now + (MOVE_EVERY_SECONDS if self._moves else LINE_EVERY_SECONDS)
        line = f"{told}, {(count - first_count) / max(now - began_at, 1.0):,.0f}/s"
        self._write(f"\r\x1b[K{line}" if self._moves else f"{line}\n")

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()
