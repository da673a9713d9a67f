"""The compose file agrees with the image, the command line and itself; its logins pay."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
import yaml

from payout_engine import cli
from payout_engine.database import inspect_database
from payout_engine.settings import ENVIRONMENT
from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from tests.conftest import ROOT
from tests.deploy.test_systemd import STOP_SECONDS

FILE: Final = ROOT / "deploy" / "compose.yml"
MOUNTED: Final = "/run/secrets/"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def test_every_secret_is_a_file_that_is_declared_and_mounted(compose: dict[str, Any]) -> None:
    assert all(list(secret) == ["file"] for secret in compose["secrets"].values())
    for service in compose["services"].values():
        named = {
            value.removeprefix(MOUNTED)
            for name, value in service["environment"].items()
            if name.endswith("_FILE")
        }
        assert named <= set(service["secrets"]) <= set(compose["secrets"])
        assert not re.search(r"(?i)password=|sk_|rk_|://", str(service["environment"]))


def test_the_page_makes_each_of_these_secrets(compose: dict[str, Any]) -> None:
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    [steps] = re.findall(r"## Compose\n.*?```sh\n(.*?)```", text, re.DOTALL)
    for secret in compose["secrets"].values():
        folder, _, name = secret["file"].partition("/")
        assert f" {folder} " in steps
        assert re.search(rf"(> |tee ){name}\b", steps), name


@pytest.mark.parametrize("name", ["migrate", "worker"])
def test_a_service_runs_a_command_of_ours_with_settings_that_exist(
    compose: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = compose["services"][name]
    assert service["image"] == compose["services"]["migrate"]["image"]
    for setting in service["environment"]:
        assert re.search(rf"\b{setting}\b", ENVIRONMENT)
    was_run = False

    def run(options: object) -> int:
        nonlocal was_run
        was_run = True
        return 0

    run.__name__ = name
    monkeypatch.setattr(cli, name, run)
    assert cli.main(service["command"]) == 0
    assert was_run


def test_the_image_is_built_from_the_files_of_the_checkout(compose: dict[str, Any]) -> None:
    build = compose["services"]["migrate"]["build"]
    context = (FILE.parent / build["context"]).resolve()
    assert context == ROOT
    assert (context / build["dockerfile"]).is_file()


def test_the_worker_starts_after_the_migration_and_has_its_time_to_stop(
    compose: dict[str, Any],
) -> None:
    worker = compose["services"]["worker"]
    assert worker["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert int(worker["stop_grace_period"].removesuffix("s")) >= STOP_SECONDS + 10
    assert worker["read_only"] is True
    assert worker["cap_drop"] == ["ALL"]


def test_the_login_that_the_first_start_makes_is_a_workers_after_the_migration(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content: str = compose["configs"]["logins"]["content"]
    first, *statements = content.splitlines()
    assert first == "\\set password `cat /run/secrets/worker-password`"
    with EmbeddedPostgres.start() as server:
        with psycopg.connect(server.uri(), autocommit=True) as connection:
            connection.execute("create database shop")
            for statement in statements:
                connection.execute(statement.replace(":'password'", "'secret'").encode())
        monkeypatch.setenv("DATABASE_URL", server.uri("shop"))
        assert cli.main(["migrate"]) == 0
        asyncio.run(inspect_database(server.uri("shop", user="payouts"))).check_worker()
