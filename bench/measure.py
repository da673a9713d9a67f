"""Measures the CPU of process trees and the noise of the machine, for all benchmarks."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process, its living children, and those it has reaped.

    A process that ends meanwhile counts for nothing: its parent has its time from then on.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = sum(int(field) for field in fields[11:15]) / TICKS
    return own + sum(cpu_seconds(int(child)) for child in children)


def probe() -> tuple[float, float]:
    """Return the milliseconds of a fixed piece of CPU work, and of one flush to the disk."""
    began = time.perf_counter()
    sum(number * number for number in range(400_000))
    cpu = time.perf_counter() - began
    with tempfile.TemporaryFile(dir="/var/tmp") as file:
        began = time.perf_counter()
        for _ in range(50):
            file.write(b"x" * 4096)
            file.flush()
            os.fdatasync(file.fileno())
        flush = (time.perf_counter() - began) / 50
    return cpu * 1000, flush * 1000


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Return median and range of a figure, for reading."""
    middle = statistics.median(values)
    return f"{middle:,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"
