"""The built wheel, installed without a checkout, beside packages of the user's own.

The wheel borrows its dependencies from the environment that runs the tests. With
PAYOUT_TEST_WHEEL=index an empty environment installs all of it from the package index instead, and
the whole demo runs in it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import pytest

from payout_engine_sandbox.stripe_double import StripeDouble
from tests.conftest import PASSWORD, ROOT, Server, login_name
from tests.crash.workers import CANARY, wait_until

FROM_INDEX: Final = os.environ.get("PAYOUT_TEST_WHEEL") == "index"
OURS: Final = ("payout-engine", "worker")
PLAIN: Final = ("python", "-m", "procrastinate", "--app=payout_engine.app.app", "worker")
SETTLE: Final = """
with payee as (
    select from payout_api.register_payee(
        p_payee_id => 'seller_1', p_stripe_account_id => 'acct_1'))
select from payee, payout_api.complete_settlement(
    p_settlement_id => %s, p_currency => 'usd',
    p_lines => '[{"line_id": "1", "payee_id": "seller_1", "amount_minor": 1500}]')
"""
TEXTS: Final = re.compile(r"\.sql$|README|/(deploy|docs|sql)/")
UNPAID: Final = "select from payout.transfer_states where state <> 'paid'"
ALIVE: Final = "select coalesce(bool_or(is_alive), false) from payout_api.workers"
# The installation takes as long as the network does.
pytestmark = [pytest.mark.timeout(600), pytest.mark.proof]

# Imports every module, then prints the parts of the extra `demo` that this needed, and the paths.
IMPORT_ALL: Final = """
import importlib.util, pkgutil, sys
import payout_engine
for module in pkgutil.walk_packages(payout_engine.__path__, "payout_engine."):
    importlib.import_module(module.name)
print(sorted({"payout_engine_sandbox", "rich"} & {*sys.modules}))
import payout_engine_sandbox.demo.story, payout_engine_sandbox.stripe_double
import tools, worker
for package in (payout_engine, payout_engine_sandbox, tools, worker):
    print(package.__file__)
for name in ("bench", "sandbox", "tests"):
    print(importlib.util.find_spec(name))
"""


@dataclass(frozen=True, kw_only=True)
class Installation:
    """An environment with the wheel in it, and a project of the user's own."""

    environment: Path
    project: Path

    def start(self, program: str, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """Start a program of the environment from within the user's project, which is importable.

        Nothing of this checkout, and no setting of the test run, can be found there.
        """
        inherited = ("HOME", "LANG", "TMPDIR", "SSL_CERT_FILE")
        return subprocess.Popen(
            [self.environment / "bin" / program, *arguments],
            cwd=self.project,
            env={
                **{name: os.environ[name] for name in inherited if name in os.environ},
                "PATH": f"{self.environment / 'bin'}{os.pathsep}{os.defpath}",
                "PYTHONPATH": str(self.project),
                **settings,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, program: str, *arguments: str, **settings: str) -> str:
        """Run a program to its end, print its output meanwhile and return it; it must succeed."""
        with self.start(program, *arguments, **settings) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                print(line, end="", flush=True)
                lines.append(line)
        assert process.returncode == 0, "".join(lines)
        return "".join(lines)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, as `make wheel` builds it."""
    directory = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    done = subprocess.run(
        [*command, "--directory", str(directory)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    [built] = directory.iterdir()
    return built


@pytest.fixture(scope="module")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The wheel installed, and a project with packages that have names of some of our folders."""
    directory = tmp_path_factory.mktemp("installation")
    environment, project = directory / "environment", directory / "project"
    for package in ("tools", "worker"):
        (project / package).mkdir(parents=True)
        (project / package / "__init__.py").touch()
    make = [sys.executable, "-m", "venv", str(environment)]
    python = str(environment / "bin" / "python")
    if FROM_INDEX:
        _show(*make)
        _show(python, "-m", "pip", "install", "--progress-bar=off", f"{wheel}[demo]")
        return Installation(environment=environment, project=project)
    _show(*make, "--without-pip")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    _show(*pip, "--no-index", "--no-deps", "--disable-pip-version-check", str(wheel))
    # Python does not follow the links of a directory that a link has added: the checkout, installed
    # as editable in the environment that runs the tests, is not found.
    [packages] = environment.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return Installation(environment=environment, project=project)


def _show(*command: str) -> None:
    """Run a command; its output is the test's own."""
    print("$", *command, flush=True)
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


@pytest.fixture
def double() -> Iterator[StripeDouble]:
    with StripeDouble.in_thread() as double:
        yield double


def test_the_wheel_holds_two_packages_and_the_sql(wheel: Path) -> None:
    assert re.fullmatch(r"payout_engine-1\.[0-9.]+(\.dev0)?-py3-none-any\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        texts = {name: archive.read(name) for name in names if TEXTS.search(name)}
    information = f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"
    assert {name.partition("/")[0] for name in names} == {
        "payout_engine",
        "payout_engine_sandbox",
        information,
    }
    # The files themselves, where migrations/ holds links to them.
    files = [
        ROOT / "README.md",
        *(ROOT / "deploy" / "systemd").iterdir(),
        *(ROOT / "deploy" / "grafana").iterdir(),
        ROOT / "deploy" / "prometheus" / "alerts.yml",
        *(file for file in (ROOT / "docs").rglob("*") if file.is_file()),
        *(ROOT / "migrations").glob("*.sql"),
        *(ROOT / "sql" / "ops").iterdir(),
        ROOT / "sql" / "queue_grants.sql",
    ]
    assert ROOT / "sql" / "ops" / "psqlrc" in files
    wanted = {f"payout_engine/{file.relative_to(ROOT)}": file.read_bytes() for file in files}
    load = "payout_engine_sandbox/demo/load.sql"
    wanted[load] = (ROOT / "sandbox" / load).read_bytes()
    assert texts == wanted
    modules = {
        str(file.relative_to(ROOT / folder))
        for folder in ("worker", "sandbox")
        for file in (ROOT / folder).rglob("*.py")
    }
    assert {name for name in names if name.endswith(".py")} == modules


def test_packages_of_the_user_are_imported_and_the_wheel_takes_no_other_name(
    installation: Installation,
) -> None:
    extra, engine, sandbox, *own_and_none = installation.run("python", "-c", IMPORT_ALL).split("\n")
    assert extra == "[]"
    for path in (engine, sandbox):
        assert path.startswith(f"{installation.environment}/lib/")
    assert own_and_none == [
        f"{installation.project}/tools/__init__.py",
        f"{installation.project}/worker/__init__.py",
        *("None", "None", "None"),
        "",
    ]
    told = installation.run("payout-engine", "--version")
    assert re.fullmatch(r"payout-engine 1\.[0-9.]+(\.dev0)?\n", told)


def test_each_file_that_the_pages_take_from_the_installation_is_there(
    installation: Installation,
) -> None:
    folder = Path(installation.run("payout-engine", "files").strip())
    assert folder.is_relative_to(installation.environment)
    pages = [folder / "README.md", *(folder / "docs").glob("*.md")]
    named = {
        name
        for page in pages
        for name in re.findall(
            r'"\$\([\w/-]*payout-engine files\)/([\w./-]+)"', page.read_text(encoding="utf-8")
        )
    }
    assert named == {
        "deploy/grafana/payouts.json",
        "deploy/prometheus/alerts.yml",
        "deploy/systemd/payout-engine.service",
        "sql/ops/attach-orders.sql",
        "sql/ops/psqlrc",
    }
    assert [name for name in named if not (folder / name).is_file()] == []


def test_the_installed_wheel_migrates_checks_pays_and_stops(
    installation: Installation,
    server: Server,
    empty_database: Callable[[], str],
    double: StripeDouble,
) -> None:
    uri = empty_database()
    with server.migrating():
        told = installation.run("payout-engine", "migrate", DATABASE_URL=uri)
    assert told.endswith("the database is up to date\n")
    with psycopg.connect(uri, autocommit=True) as connection:
        login = login_name("payout_worker")
        settings = {
            "DATABASE_URL": server.uri(connection.info.dbname, user=login, password=PASSWORD),
            "STRIPE_API_KEY": CANARY,
            "STRIPE_API_BASE": double.url,
        }
        for number, command in enumerate((OURS, PLAIN), start=1):
            connection.execute(SETTLE, [f"set_{number}"])
            worker = installation.start(*command, **settings)
            try:
                wait_until(lambda: connection.execute(ALIVE).fetchall() == [(True,)])
                assert "FAIL" not in installation.run("payout-engine", "doctor", **settings)
                wait_until(lambda paid=number: len(double.transfers()) == paid)
                wait_until(lambda: connection.execute(UNPAID).fetchall() == [])
                worker.send_signal(signal.SIGTERM)
                told, _ = worker.communicate(timeout=30)
            finally:
                worker.kill()
                worker.communicate()
            print(told, flush=True)
            assert worker.returncode == 0
            assert "Traceback" not in told
        auditor = login_name("payout_auditor")
        reading = {"DATABASE_URL": settings["DATABASE_URL"].replace(login, auditor)}
        assert "<style>" in installation.run("payout-engine", "report", **reading)
        ever = ("--from", "2001-01-01", "--to", "2101-01-01")
        told = installation.run("payout-engine", "export", "ledger", *ever, **reading)
        assert told.count(",paid,in_flight,stripe_balance,15.00,1500,usd,") == 2


@pytest.mark.skipif(not FROM_INDEX, reason="tests/end_to_end/test_demo.py runs a smaller one")
def test_the_whole_demo_reconciles(installation: Installation) -> None:
    told = installation.run("payout-engine", "demo")
    assert "Everything reconciles: " in told
