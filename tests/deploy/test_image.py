"""The steps of the image make an installation that works, from packages with hashes alone.

The steps run in a folder that stands for the root of the image. With PAYOUT_TEST_WHEEL=index they
install from the package index; else the packages are borrowed from the environment of the tests.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import ROOT, Server
from tools import image_requirements

FILE: Final = ROOT / "deploy" / "Containerfile"
FROM_INDEX: Final = os.environ.get("PAYOUT_TEST_WHEEL") == "index"
INSTALL: Final = re.compile(r"/bin/pip install .*--require-hashes -r (\S+)")
pytestmark = pytest.mark.timeout(600)


@dataclass
class Stage:
    """A stage of the image; its files are in a folder of its own."""

    root: Path
    directory: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    others: list[tuple[str, str]] = field(default_factory=list)


def instructions() -> Iterator[tuple[str, str]]:
    """Yield each instruction of the file with its text, in one line."""
    text = re.sub(r"^#.*\n", "", FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            yield name, " ".join(rest.split())


def within(root: Path, command: str) -> str:
    """Return a command whose absolute paths are in the folder, and its Python that of the tests."""
    moved = re.sub(r"(?<![\w./])/(opt|src|dist)\b", rf"{root}/\1", command)
    moved = re.sub(r"^python ", f"{sys.executable} ", moved)
    return re.sub(r"\b(groupadd|useradd) ", rf"\1 --prefix {root} ", moved)


def run(stage: Stage, command: str) -> None:
    """Run a step, or what takes the place of one that needs the package index."""
    found = INSTALL.search(command)
    if found and not FROM_INDEX:
        assert (stage.root / stage.directory.lstrip("/") / found[1]).is_file()
        [packages] = Path(within(stage.root, command.split("/bin/pip")[0])).glob(
            "lib/python*/site-packages"
        )
        (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
        return
    if "useradd" in command and (os.getuid() or not shutil.which("useradd")):
        return
    subprocess.run(
        ["/bin/sh", "-ec", within(stage.root, command)],
        cwd=stage.root / stage.directory.lstrip("/"),
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONPATH": ""},
        stdin=subprocess.DEVNULL,
        check=True,
    )


def copy(stage: Stage, text: str, stages: dict[str, Stage]) -> None:
    """Copy files from the checkout, or from another stage."""
    *options, last = text.split()
    source = ROOT
    if options[0].startswith("--from="):
        source = stages[options.pop(0).partition("=")[2]].root
    target = stage.root / (Path(stage.directory) / last).as_posix().lstrip("/")
    for name in options:
        file = source / name.lstrip("/")
        if file.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(file, target, symlinks=True, ignore=ignored)
        else:
            into = target if not last.endswith("/") else target / file.name
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, into)


@pytest.fixture
def stages(tmp_path: Path) -> dict[str, Stage]:
    """The stages of the image after all their steps; the last one is the image."""
    found: dict[str, Stage] = {}
    for name, text in instructions():
        if name == "FROM":
            base, _, alias = text.partition(" AS ")
            assert base == "python:3.13-slim"
            stage = Stage(tmp_path / (alias or "image"))
            (stage.root / "etc").mkdir(parents=True)
            for file in ("passwd", "group", "shadow", "gshadow"):
                (stage.root / "etc" / file).touch()
            found[alias or "image"] = stage
        elif name == "WORKDIR":
            stage.directory = text
            (stage.root / text.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif name == "COPY":
            copy(stage, text, found)
        elif name == "RUN":
            run(stage, text)
        elif name == "ENV":
            stage.environment |= dict(pair.split("=", 1) for pair in shlex.split(text))
        else:
            stage.others.append((name, text))
    return found


@pytest.mark.proof
@pytest.mark.long
def test_the_image_holds_an_engine_that_works_and_nothing_of_the_checkout_or_the_build(
    stages: dict[str, Stage], server: Server, empty_database: Callable[[], str], tmp_path: Path
) -> None:
    image = stages["image"]
    check_its_user(image)
    assert sorted(path.name for path in image.root.iterdir()) == ["etc", "opt"]
    assert [path.name for path in (image.root / "opt").iterdir()] == ["payout-engine"]
    [packages] = (image.root / "opt" / "payout-engine").glob("lib/python*/site-packages")
    found = {path.name for path in packages.iterdir()}
    assert {"payout_engine", "payout_engine_sandbox"} <= found
    assert not {"hatchling", "pytest", "mypy", "rich"} & found

    # A program of the image finds its Python where it was built.
    programs = stages["build"].root / "opt" / "payout-engine" / "bin"
    assert (image.root / "opt" / "payout-engine" / "bin" / "payout-engine").is_file()

    def tell(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [programs / "payout-engine", *arguments],
            env={"PATH": os.defpath, **settings},
            cwd="/",
            capture_output=True,
            text=True,
        )

    told = tell("--version")
    assert re.fullmatch(r"payout-engine 1\.[0-9.]+(\.dev0)?\n", told.stdout), told.stderr
    [command] = [text for name, text in image.others if name == "CMD"]
    told = tell(*json.loads(command))
    assert told.returncode == 2
    assert json.loads(told.stderr)["message"].startswith("DATABASE_URL is not set")
    file = tmp_path / "database-url"
    file.write_text(empty_database(), encoding="utf-8")
    with server.migrating():
        told = tell("migrate", DATABASE_URL_FILE=str(file))
    assert told.stdout.endswith("the database is up to date\n"), told.stderr
    if FROM_INDEX:
        subprocess.run([programs / "python", "-m", "pip", "check"], check=True)


def check_its_user(image: Stage) -> None:
    """Check that the image is run by a user without rights, and ends at SIGTERM."""
    assert image.others == [
        ("USER", "10001:10001"),
        ("STOPSIGNAL", "SIGTERM"),
        ("ENTRYPOINT", '["payout-engine"]'),
        ("CMD", '["worker", "--log-format", "json"]'),
    ]
    assert image.environment["PATH"].startswith("/opt/payout-engine/bin:")
    if os.getuid() == 0 and shutil.which("useradd"):
        users = (image.root / "etc" / "passwd").read_text(encoding="utf-8")
        assert users.startswith("payouts:x:10001:10001:")
        assert users.strip().endswith(":/usr/sbin/nologin")


@pytest.mark.parametrize("path", list(image_requirements.PARTS))
def test_the_packages_of_the_image_are_those_of_the_lock_with_their_hashes(path: str) -> None:
    """Where it fails: python -m tools.image_requirements."""
    text = (ROOT / path).read_text(encoding="utf-8")
    assert text == image_requirements.part(ROOT, image_requirements.PARTS[path])
    entries = re.split(r"\n(?=\S)", text.strip())
    assert all(re.match(r"[a-z0-9-]+==\S+ .*--hash=sha256:", each, re.DOTALL) for each in entries)
    assert "//" not in text
    names = {entry.partition("==")[0] for entry in entries}
    wanted = {"deploy/requirements.txt": {"psycopg-binary", "stripe", "yarl", "yoyo-migrations"}}
    assert names >= wanted.get(path, {"hatchling"})
    assert not names & {"pytest", "mypy", "django", "rich"}


def test_a_file_that_the_image_copies_is_in_the_context() -> None:
    """`.dockerignore` leaves out everything that it does not name."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines
    for name, text in instructions():
        if name == "COPY" and not text.startswith("--from"):
            for source in text.split()[:-1]:
                assert (ROOT / source).exists()
                assert any(fnmatch.fnmatch(source, pattern) for pattern in kept), source
