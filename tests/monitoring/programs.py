"""Prometheus and its promtool, as Debian's package `prometheus` brings them."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.conftest import ROOT
from tests.crash.workers import wait_until
from tests.worker.test_monitor import free_port, get

ALERTS: Final = ROOT / "deploy/prometheus/alerts.yml"
CONFIGURATION: Final = """
global: {{scrape_interval: 500ms, evaluation_interval: 1s}}
rule_files: ["{alerts}"]
scrape_configs:
  - job_name: payouts
    static_configs: [{{targets: {targets}}}]
"""


def program(name: str) -> str:
    """Return the path of a program; without it the test is skipped, save where all must run."""
    if found := shutil.which(name):
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is missing: install Debian's package prometheus")
    pytest.skip(f"{name} is not installed (Debian's package prometheus has it)")


class Prometheus:
    """A server that scrapes some ports of the loopback."""

    def __init__(self, port: int) -> None:
        self.port = port

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression now; it must be one that Prometheus understands."""
        answer = self.get("query", query=expression)
        assert answer["status"] == "success", answer
        result = answer["data"]["result"]
        if answer["data"]["resultType"] == "scalar":
            return [{"metric": {}, "value": result}]
        assert isinstance(result, list)
        return result

    def values(self, expression: str, *labels: str) -> dict[Any, float]:
        """Return the finite values of an expression, by these labels."""
        found = {
            tuple(series["metric"].get(label, "") for label in labels): float(series["value"][1])
            for series in self.query(expression)
        }
        return {key: number for key, number in found.items() if math.isfinite(number)}

    def get(self, path: str, **parameters: str) -> Any:
        """Return the answer of the HTTP interface."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)


@contextmanager
def prometheus(directory: Path, *ports: int) -> Iterator[Prometheus]:
    """Run a server that scrapes these ports, and the alerts."""
    path, port = program("prometheus"), free_port()
    file, log = directory / "prometheus.yml", directory / "prometheus.log"
    targets = json.dumps([f"127.0.0.1:{each}" for each in ports])
    file.write_text(CONFIGURATION.format(alerts=ALERTS, targets=targets), encoding="utf-8")
    with (
        log.open("w") as output,
        subprocess.Popen(
            [
                path,
                f"--config.file={file}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--storage.tsdb.retention.time=1h",
            ],
            cwd=directory,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            wait_until(lambda: get(port, "/-/ready")[0] == 200, tell=log.read_text)
            yield Prometheus(port)
        finally:
            process.kill()
