"""Growing pauses between the tries of anything that is repeated until it succeeds."""

from __future__ import annotations

import asyncio
import random
from typing import Final

LASTING_SECONDS: Final = 60.0


class Backoff:
    """Pauses that double from the first to the longest, until a reset.

    With a jitter each pause is shortened by a random part of itself, at most by that fraction.
    """

    def __init__(
        self, *, first_seconds: float, longest_seconds: float, jitter: float = 0.0
    ) -> None:
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._shortest_part = 1 - jitter
        self.reset()

    def reset(self) -> None:
        """Begin with the first pause again."""
        self._next_seconds = self._first_seconds

    async def pause(self, *, after_seconds: float = 0.0) -> None:
        """Sleep for the next pause; the first one again after a run that lasted for a minute."""
        if after_seconds > LASTING_SECONDS:
            self.reset()
        seconds = self._next_seconds
        self._next_seconds = min(2 * seconds, self._longest_seconds)
        await asyncio.sleep(random.uniform(self._shortest_part * seconds, seconds))
