"""The alerts are rules that Prometheus takes, fire when they should, and each has its section."""

from __future__ import annotations

import re
import subprocess
from typing import Final

import pytest
from prometheus_client import generate_latest

from payout_engine import cli, metrics
from tests.conftest import ROOT
from tests.engine import Engine
from tests.monitoring.programs import ALERTS, program
from tests.operate.test_measure import Gauges, beat, busy, measure  # noqa: F401

RULE_TESTS: Final = ALERTS.with_name("alerts.test.yml")
RUNBOOK: Final = (
    (ROOT / "docs/runbook.md").read_text(encoding="utf-8").partition("\n## Alerts\n")[2]
)
SECTIONS: Final = dict(re.findall(r"^### (\w+)\n(.*?)(?=\n### |\Z)", RUNBOOK, re.M | re.S))
NAMES: Final = re.findall(r"^ +- alert: (\w+)$", ALERTS.read_text(encoding="utf-8"), re.M)
PARTS: Final = ("**Means.**", "**Look.**", "**Leave.**")
SQL: Final = [
    pytest.param(statement, id=f"{name}-{number}")
    for name, section in SECTIONS.items()
    for number, statement in enumerate(
        statement.strip()
        for block in re.findall(r"```sql\n(.*?)```", section, re.S)
        for statement in block.split(";\n")
        if statement.strip()
    )
]


@pytest.mark.parametrize(
    "command", [("check", "rules", ALERTS), ("test", "rules", RULE_TESTS)], ids=["check", "test"]
)
def test_promtool_is_content(command: tuple[object, ...]) -> None:
    done = subprocess.run(
        [program("promtool"), *map(str, command)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_seen_to_fire_and_to_be_silent() -> None:
    """promtool takes a file that tries nothing."""
    tried = re.findall(
        r"^  - name: (.*)\n(?:.*\n)*?      - alertname: (\w+)\n.*\n        exp_alerts:(.*)$",
        RULE_TESTS.read_text(encoding="utf-8"),
        re.M,
    )
    assert [(f"{alert} {'is silent' if none else 'fires'}", alert) for _, alert, none in tried] == [
        (name, alert) for name, alert, _ in tried
    ]
    assert [name for name, _, _ in tried] == [
        f"{name} {ends}" for name in NAMES for ends in ("fires", "is silent")
    ]


def test_alerts_and_sections_of_the_runbook_are_the_same() -> None:
    assert len(NAMES) > 20
    assert list(SECTIONS) == NAMES
    links = re.findall(r"runbook: docs/runbook\.md#(\w+)$", ALERTS.read_text(), re.M)
    assert links == [name.lower() for name in NAMES]


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_says_meaning_look_call_and_limit(name: str) -> None:
    for part in PARTS:
        assert SECTIONS[name].count(part) == 1, part
    assert re.search(r"\*\*Type\.\*\*|\*\*type\*\*", SECTIONS[name])


@pytest.mark.parametrize("statement", SQL)
def test_each_statement_of_a_section_runs_as_an_operator(
    acted_engine: Engine, statement: str
) -> None:
    acted_engine.settle("seller_1", "seller_2")
    acted_engine.hold("engine")
    acted_engine.operator.execute(statement.encode()).fetchall()


def test_each_command_of_a_section_exists(capsys: pytest.CaptureFixture[str]) -> None:
    commands = set(re.findall(r"`payout-engine ([a-z]+)", RUNBOOK))
    assert commands >= {"doctor", "worker", "reconcile", "migrate"}
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            cli.main([command, "--help"])
        assert ended.value.code == 0


def test_each_metric_of_an_alert_and_of_the_documentation_is_told(
    busy: Engine,  # noqa: F811
) -> None:
    """A name that nobody exports never fires."""
    gauges: Gauges = measure(busy.worker)
    text = generate_latest(metrics.registry).decode()
    told = {*gauges, *re.findall(r"^# TYPE (\w+) ", text, re.M)}
    rules = re.sub(r"#.*|summary:.*", "", ALERTS.read_text(encoding="utf-8"))
    used = {re.sub("_bucket$", "", name) for name in re.findall(r"\bpayout_\w+", rules)}
    assert used <= told
    documented = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(payout_[a-z_]+)", documented.replace("payout_alarms`", "")))
    ours = {name for name in told if name.startswith("payout_")}
    assert named - {"payout_api"} == ours
