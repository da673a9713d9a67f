"""Alarms reach the operators' hook: together, repeated, at a distance, and without a secret."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from payout_engine import alarms as alarms_module
from payout_engine import metrics
from payout_engine.alarms import AlarmHook
from payout_engine.engine import open_engine
from payout_engine.errors import UserError
from payout_engine.settings import Settings
from payout_engine_sandbox.stripe_double import StripeDouble
from tests.crash.workers import CANARY
from tests.engine import Engine

SECRET: Final = "T0P/B5ECRET"
ENVIRONMENT: Final = {"DATABASE_URL": "postgresql:///db", "STRIPE_API_KEY": CANARY}
KEEP: Final = """
import json, os, sys
with open({file!r}, "a") as file:
    print(json.dumps([json.load(sys.stdin), dict(os.environ)]), file=file)
sys.exit({code})
"""


def alarm(number: int) -> dict[str, Any]:
    return {"alarm": "a_test", "subject": f"transfer {number}", "payout_transfer_id": number}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms_module, "GATHERING_SECONDS", 0.05)
    monkeypatch.setattr(alarms_module, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(alarms_module, "DISTANCE_SECONDS", 0.2)


@asynccontextmanager
async def hook(**settings: str) -> AsyncIterator[AlarmHook]:
    async with AlarmHook(Settings.read(ENVIRONMENT | settings), worker="worker_1") as hook:
        yield hook


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


class Webhook:
    """An address that takes documents; the first answers are as given, then 200."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.documents: list[Any] = []
        self.on_document: Callable[[], None] = lambda: None
        self.at: list[float] = []

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        application = web.Application()
        application.add_routes([web.post(f"/{SECRET}", self._take)])
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/{SECRET}"
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.documents.append(await request.json())
        self.on_document()
        self.at.append(time.monotonic())
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


def delivered(result: str) -> float:
    return metrics.registry.get_sample_value("payout_alarm_deliveries_total", {"result": result})  # type: ignore[return-value]


def test_alarms_that_come_together_are_one_document() -> None:
    async def main() -> None:
        webhook, before = Webhook(), delivered("delivered")
        async with webhook.serve() as url, hook(PAYOUT_ALARM_URL=url) as alarms:
            for number in (1, 2):
                alarms.add(alarm(number))
            await until(lambda: webhook.documents)
        assert webhook.documents == [
            {
                "text": "payout alarm: a_test (transfer 1), a_test (transfer 2)",
                "worker": "worker_1",
                "alarms": [alarm(1), alarm(2)],
                "left_out": 0,
            }
        ]
        assert delivered("delivered") == before + 1

    asyncio.run(main())


def test_an_alarm_that_comes_during_a_delivery_is_in_the_next_one() -> None:
    async def main() -> None:
        webhook = Webhook()
        async with webhook.serve() as url, hook(PAYOUT_ALARM_URL=url) as alarms:
            late = [alarm(3), alarm(2)]
            webhook.on_document = lambda: alarms.add(late.pop()) if late else None
            alarms.add(alarm(1))
            await until(lambda: len(webhook.documents) == 3)
        assert [found["alarms"] for found in webhook.documents] == [
            [alarm(number)] for number in (1, 2, 3)
        ]

    asyncio.run(main())


def test_a_delivery_that_fails_is_repeated_and_told_without_the_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        webhook = Webhook(500, 302)
        async with webhook.serve() as url, hook(PAYOUT_ALARM_URL=url) as alarms:
            alarms.add(alarm(1))
            await until(lambda: len(webhook.documents) == 3)
        async with hook(PAYOUT_ALARM_URL=url) as alarms:  # nobody listens there any more
            alarms.add(alarm(2))
            await until(lambda: "3 tries left: ClientConnectorError" in caplog.text)

    asyncio.run(main())
    assert "the alarm hook failed, 4 tries left: HTTP status 500" in caplog.text
    assert "the alarm hook failed, 3 tries left: HTTP status 302" in caplog.text
    assert SECRET not in caplog.text
    assert "127.0.0.1" not in caplog.text


def test_a_storm_of_alarms_makes_a_few_deliveries_and_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alarms_module, "DISTANCE_SECONDS", 0.5)
    monkeypatch.setattr(alarms_module, "MOST_WAITING", 30)

    async def main() -> None:
        webhook = Webhook()
        async with webhook.serve() as url, hook(PAYOUT_ALARM_URL=url) as alarms:
            began_at = time.monotonic()
            for number in range(1000):
                alarms.add(alarm(number))
            assert time.monotonic() - began_at < 0.5
            await until(lambda: len(webhook.documents) == 2)
        first, second = webhook.documents
        assert (len(first["alarms"]), first["left_out"]) == (20, 970)
        assert (len(second["alarms"]), second["left_out"]) == (10, 0)
        assert webhook.at[1] - webhook.at[0] > 0.4

    asyncio.run(main())


def test_an_alarm_right_before_the_end_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms_module, "DISTANCE_SECONDS", 60.0)

    async def main() -> None:
        webhook = Webhook()
        async with webhook.serve() as url:
            async with hook(PAYOUT_ALARM_URL=url) as alarms:
                alarms.add(alarm(1))
                await until(lambda: webhook.documents)
                alarms.add(alarm(2))  # the distance to the first is not over
            assert [found["alarms"] for found in webhook.documents] == [[alarm(1)], [alarm(2)]]

    asyncio.run(main())


def test_a_hook_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(alarms_module, "DELIVERY_SECONDS", 0.2)
    monkeypatch.setattr(alarms_module, "TRIES", 2)

    async def main() -> None:
        before = delivered("failed")
        command = f"{sys.executable} -c 'import time; time.sleep(60)'"
        async with hook(PAYOUT_ALARM_COMMAND=command) as alarms:
            alarms.add(alarm(1))
            await until(lambda: delivered("failed") == before + 2)

    began_at = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began_at < 10


def test_a_command_gets_the_alarms_and_none_of_the_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file, script = tmp_path / "alarms", tmp_path / "keep.py"
    script.write_text(KEEP.format(file=str(file), code=0), encoding="utf-8")
    for name in ("STRIPE_API_KEY", "DATABASE_URL", "PGPASSWORD", "PAYOUT_ALARM_COMMAND"):
        monkeypatch.setenv(name, CANARY)
    monkeypatch.setenv("TEAM", "payments")

    async def main() -> None:
        async with hook(PAYOUT_ALARM_COMMAND=f"{sys.executable} {script}") as alarms:
            alarms.add(alarm(1))
            await until(file.exists)
            await until(file.read_text)

    asyncio.run(main())
    [[document, environment]] = [json.loads(text) for text in file.read_text().splitlines()]
    assert document["alarms"] == [alarm(1)]
    assert environment["TEAM"] == "payments"
    assert CANARY not in str(environment)


def test_a_command_that_fails_is_repeated(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    file, script = tmp_path / "alarms", tmp_path / "keep.py"
    script.write_text(KEEP.format(file=str(file), code=3), encoding="utf-8")

    async def main() -> None:
        async with hook(PAYOUT_ALARM_COMMAND=f"{sys.executable} {script}") as alarms:
            alarms.add(alarm(1))
            await until(lambda: "3 tries left: exit code 3" in caplog.text)

    asyncio.run(main())
    assert len(file.read_text().splitlines()) >= 2


def test_an_alarm_of_the_database_comes_with_its_ids_and_no_hook_is_no_trouble(
    shared_engine: Engine, dsn: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    """Through a real engine: the platform has no money, which is an alarm."""
    shared_engine.settle(currency="eur")
    webhook = Webhook()

    async def main(**more: str) -> None:
        with StripeDouble.in_thread() as double:
            double.set_balance(currency="eur", available_minor=0)
            given = {"DATABASE_URL": dsn("payout_worker"), "STRIPE_API_BASE": double.url}
            settings = Settings.read(ENVIRONMENT | given | more)
            async with open_engine(settings) as engine:
                await engine.pump.execute(1)

    async def with_hook() -> None:
        async with webhook.serve() as url:
            await main(PAYOUT_ALARM_URL=url)

    asyncio.run(with_hook())
    [document] = webhook.documents
    assert document["alarms"] == [
        {
            "alarm": "balance_insufficient",
            "subject": "currency eur",
            "hold_id": 1,
        }
    ]
    assert "payout alarm: balance_insufficient" in caplog.text
    asyncio.run(main())


def test_a_command_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    """It was noticed at the first alarm, which was lost."""
    program = tmp_path / "hook"

    async def main() -> None:
        async with hook(PAYOUT_ALARM_COMMAND=f"{program} --loud"):
            pass

    for _ in range(2):
        with pytest.raises(UserError, match="PAYOUT_ALARM_COMMAND names a program") as caught:
            asyncio.run(main())
        assert str(program) not in str(caught.value)
        program.write_text("#!/bin/sh\n")  # without the right to run it
    program.chmod(0o700)
    asyncio.run(main())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"PAYOUT_ALARM_URL": f"http://hooks.example/{SECRET}"}, "PAYOUT_ALARM_URL must be an"),
        ({"PAYOUT_ALARM_URL": f"https://[{SECRET}"}, "PAYOUT_ALARM_URL must be an https address"),
        ({"PAYOUT_ALARM_COMMAND": f"notify '{SECRET}"}, "PAYOUT_ALARM_COMMAND is no command"),
        (
            {"PAYOUT_ALARM_URL": f"https://x/{SECRET}", "PAYOUT_ALARM_COMMAND": "notify"},
            "set one of PAYOUT_ALARM_COMMAND and PAYOUT_ALARM_URL",
        ),
    ],
)
def test_a_wrong_hook_is_named_without_its_content(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        Settings.read(ENVIRONMENT | settings)
    assert SECRET not in str(caught.value)


def test_the_hook_shows_in_no_repr() -> None:
    shown = repr(Settings.read(ENVIRONMENT | {"PAYOUT_ALARM_URL": f"https://x/{SECRET}"}))
    assert SECRET not in shown
