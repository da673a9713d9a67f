"""Writes a result to standard output, or to a file that takes its name once it is whole."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


class OutputError(Exception):
    """The file cannot be written; the message names it."""


@contextmanager
def written_to(path: str | None) -> Iterator[TextIO]:
    """Give a file to write, as UTF-8; None: standard output.

    A file that is there is replaced only at the end, so that no half of one is taken for it.
    Raises OutputError.
    """
    if path is None:
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
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        if not is_special:
            part.unlink(missing_ok=True)
