"""Shows how far the demo has come: one live block in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections import Counter, deque
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

SETTLED: Final = ("paid", "failed", "parked", "cancelled")
RATE_OVER_SECONDS: Final = 3.0
LINE_EVERY_SECONDS: Final = 5.0


class Progress:
    """Tells the story and shows the transfers by state. Use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        # A log may ask for colours, but not for lines that move.
        if console.is_interactive and console.file.isatty():
            self._live = Live(console=console, auto_refresh=False, transient=True)
        self._seen: deque[tuple[float, int]] = deque()
        self._next_line_at = 0.0

    def __enter__(self) -> Self:
        self._began_at = time.monotonic()
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began_at

    def say(self, line: str) -> None:
        """Print a line that stays, with its time."""
        self._console.print(f"{self.seconds:6.1f} s  {line}", soft_wrap=True)

    def show(self, states: Counter[str], *, note: str = "") -> None:
        """Show how many transfers stand in each state, and a note on the wait."""
        settled, total = sum(states[state] for state in SETTLED), sum(states.values())
        headline = f"{settled:,} of {total:,} settled, {self._rate(settled):.0f}/s"
        figures = ", ".join(f"{state} {count:,}" for state, count in states.most_common() if count)
        if self._live is not None:
            bar = ProgressBar(total=max(total, 1), completed=settled, width=40)
            self._live.update(_block(bar, headline, figures, note), refresh=True)
        elif self.seconds >= self._next_line_at:
            self._next_line_at = self.seconds + LINE_EVERY_SECONDS
            self.say(f"{headline} ({figures})" + (f"; {note}" if note else ""))

    def _rate(self, settled: int) -> float:
        now = self.seconds
        self._seen.append((now, settled))
        while self._seen[0][0] < now - RATE_OVER_SECONDS:
            self._seen.popleft()
        since, settled_then = self._seen[0]
        return (settled - settled_then) / max(now - since, 1.0)


def _block(bar: ProgressBar, headline: str, figures: str, note: str) -> RenderableType:
    line = Table.grid(padding=(0, 2))
    line.add_row(bar, headline)
    return Group(line, Text(figures), Text(note, style="dim"))
