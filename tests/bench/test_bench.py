"""The benchmarks run, on sizes that say nothing about speed, and print every figure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.long
def test_every_figure_is_measured_and_printed() -> None:
    sizes = ["--rounds", "1", "--seconds", "0", "--transfers", "20", "--payees", "20"]
    run = subprocess.run(
        [sys.executable, "-m", "bench", *sizes, "--latencies", "0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    for figure in ("settle by inserts", "settle by call", "one large settlement", "engine, 0 ms"):
        assert f"  {figure}" in run.stdout
    assert run.stdout.count("ratio") == 6
