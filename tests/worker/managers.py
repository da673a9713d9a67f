"""A service manager as far as a service sees it: a socket on which it takes messages."""

from __future__ import annotations

import secrets
import socket
import time
from pathlib import Path
from typing import Self

PATIENCE_SECONDS = 30.0


class Manager:
    """Takes the messages of a service. Use it as a context manager."""

    def __init__(self, path: Path | None = None) -> None:
        """Listen on a file, or else on an abstract address, which only Linux has."""
        self.address = str(path) if path else f"@payout-engine-test/{secrets.token_hex(8)}"
        self.lines: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path) if path else "\0" + self.address[1:])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def receive(self, *, seconds: float = 0.0) -> list[str]:
        """Return the lines of the next message, or none if none comes within the time."""
        self._socket.settimeout(seconds)
        try:
            lines = self._socket.recv(65536).decode().splitlines()
        except (TimeoutError, BlockingIOError):
            return []
        self.lines += lines
        return lines

    def wait_for(self, text: str, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Return when a line that begins so has come, now or before."""
        deadline = time.monotonic() + seconds
        while not self.has(text):
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} in {self.lines}"
            self.receive(seconds=left)

    def has(self, text: str) -> bool:
        """Tell whether a line that begins so has come."""
        return any(line.startswith(text) for line in self.lines)
