"""Writes a result to standard output, or to a file that takes its name once it is whole.

Standard output may be closed, as under some service managers, or a disk that is full.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

from payout_engine.errors import UserError

# A disk says so, and no connection.
UNWRITABLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


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
