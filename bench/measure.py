"""What the benchmarks measure with: CPU of process trees, and how noisy the machine is just now."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process, its living children, and those it has reaped."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    own = sum(int(field) for field in fields[11:15]) / TICKS
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return own + sum(cpu_seconds(int(child)) for child in children if _lives(child))


def _lives(pid: str) -> bool:
    return Path(f"/proc/{pid}/stat").exists()


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
