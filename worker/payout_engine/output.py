"""Writes a result to standard output, or to a file that takes its name once it is whole.

Standard output may be closed, as under some service managers, or a disk that is full. Progress is
a moving line in a terminal, else a line now and then.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, Self, TextIO

from payout_engine.errors import UserError

# A disk says so, and no connection.
UNWRITABLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
BAR_WIDTH: Final = 30
MOVE_EVERY_SECONDS: Final = 0.1
LINE_EVERY_SECONDS: Final = 5.0


@contextmanager
def written_to(path: str | None) -> Iterator[TextIO]:
    """Give a file to write, as UTF-8; None or ``-``: standard output.

    A file that is there is replaced only at the end, so that no half of one is taken for it.
    Raises UserError.
    """
    if path is None or path == "-":
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")
        yield sys.stdout
        sys.stdout.flush()
        return
    target = Path(path).resolve()
    is_special = target.exists() and not target.is_file()  # a device or a pipe keeps its place
    part = target if is_special else target.with_name(f"{target.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
        if not is_special:
            part.replace(target)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        if not is_special:
            part.unlink(missing_ok=True)


def open_closed_streams() -> None:
    """Let what is printed go nowhere where a stream is closed; Python leaves None in its place."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))


def print_no_more() -> None:
    """Let Python find nothing that fails when it flushes standard output at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
