"""One departure from the house style, as the house check prints it."""

from __future__ import annotations

from typing import NamedTuple


class Violation(NamedTuple):
    """A departure from the house style: file, line and the fault."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"
