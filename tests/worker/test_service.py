"""The service manager learns when a worker is ready, how it is, that it lives and that it stops."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from payout_engine import pump as pump_module
from payout_engine import service
from payout_engine.pump import Pump
from payout_engine_sandbox.stripe_double import Fault, StripeDouble
from tests.crash.workers import CANARY, Worker
from tests.worker.fakes import FakeAdapter, FakeDatabase
from tests.worker.managers import Manager
from tests.worker.test_pump import make_pump

ABSTRACT = pytest.param(
    None,
    id="abstract",
    marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract addresses"),
)


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Manager]:
    with Manager(tmp_path / "notify") as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
        yield manager


@pytest.fixture
def double() -> Iterator[StripeDouble]:
    with StripeDouble.in_thread() as double:
        yield double


@pytest.mark.parametrize("name", ["notify", ABSTRACT])
def test_a_message_reaches_the_manager_on_either_kind_of_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str | None
) -> None:
    with Manager(tmp_path / name if name else None) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
        service.notify("READY=1", "STATUS=paying")
        assert manager.receive() == ["READY=1", "STATUS=paying"]


@pytest.mark.parametrize("address", [None, ""])
def test_nothing_is_sent_without_a_manager(
    monkeypatch: pytest.MonkeyPatch, address: str | None
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setattr(socket, "socket", lambda *arguments: pytest.fail("a socket was made"))
    service.notify("READY=1")
    service.show("well")


@pytest.mark.parametrize("address", ["/nowhere/notify", "@payout-engine-test/nowhere", "vsock:2:1"])
def test_a_manager_that_does_not_listen_disturbs_nothing(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    service.notify("READY=1")


def test_a_manager_that_does_not_read_disturbs_nothing(manager: Manager) -> None:
    for _ in range(3):
        service.notify("x" * 200_000)


def test_a_status_is_one_line_without_secrets(manager: Manager) -> None:
    service.show(f"two\nlines\nREADY=1 with {CANARY}")
    assert manager.receive() == ["STATUS=two lines READY=1 with ***"]


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        (None, None, None),
        ("", "", None),
        ("0", None, None),
        ("soon", None, None),
        ("-3000000", None, None),
        ("3000000", None, 1.0),
        ("3000000", "", 1.0),
        ("3000000", "mine", 1.0),
        ("3000000", "1", None),
    ],
)
def test_the_manager_gets_three_signs_of_life_in_the_time_it_waits(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, pid: str | None, seconds: float | None
) -> None:
    given = {"WATCHDOG_USEC": usec, "WATCHDOG_PID": str(os.getpid()) if pid == "mine" else pid}
    for name, value in given.items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert service.watchdog_pause() == seconds


def test_signs_of_life_end_with_the_work(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000")
    is_working = True

    async def main() -> None:
        nonlocal is_working
        feeding = asyncio.create_task(service.feed_watchdog(lambda: is_working))
        await asyncio.sleep(0.2)
        is_working = False
        await asyncio.sleep(0.05)
        while manager.receive():
            pass
        assert manager.lines.count("WATCHDOG=1") > 2
        await asyncio.sleep(0.2)
        assert manager.receive() == []
        feeding.cancel()

    asyncio.run(main())


def test_a_pump_turns_while_it_is_idle_pays_or_waits_for_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pump_module, "LONGEST_TURN_SECONDS", 0.3)

    async def main() -> None:
        database, adapter = FakeDatabase(orders=3), FakeAdapter()
        adapter.may_answer.clear()
        async with make_pump(database, adapter, max_in_flight=2) as pump:
            pump.wake()
            await asyncio.sleep(0.6)  # the two slots are taken: it waits for room
            assert adapter.under_way == 2
            assert pump.is_turning()
            adapter.may_answer.set()
            await database.is_quiet.wait()
            assert pump.is_turning()

    asyncio.run(main())


def test_a_pump_whose_claim_never_ends_turns_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump_module, "LONGEST_TURN_SECONDS", 0.1)

    async def main() -> None:
        database = FakeDatabase()
        may_go_on = asyncio.Event()
        database.on_claim = may_go_on.wait
        async with make_pump(database, FakeAdapter()) as pump:
            pump.wake()
            assert pump.is_turning()
            await asyncio.sleep(0.3)
            assert not pump.is_turning()
            may_go_on.set()
            await pump.drain()
            assert pump.is_turning()

    asyncio.run(main())


def test_a_pump_whose_loop_has_ended_turns_no_more() -> None:
    async def main() -> None:
        pump: Pump = make_pump(FakeDatabase(), FakeAdapter())
        async with pump:
            claiming: Any = pump._claiming
            claiming.cancel()
            await asyncio.wait([claiming])
            assert not pump.is_turning()

    asyncio.run(main())


def test_a_worker_is_ready_once_database_and_stripe_have_accepted_it(
    manager: Manager, dsn: Callable[..., str], double: StripeDouble, launch: Callable[..., Worker]
) -> None:
    double.inject(Fault(method="GET", path="/v1/account", effect="none", status=500, times=None))
    uri = dsn("payout_worker")
    worker = launch(database_url=uri, stripe=double.url, NOTIFY_SOCKET=manager.address)
    manager.wait_for("STATUS=not ready: AccountUnknown(")
    assert not manager.has("READY=1")
    double.clear_faults()
    manager.wait_for("READY=1")
    manager.wait_for("STATUS=payout-engine ")
    assert worker.log().count(" not ready: ") == 1
    with psycopg.connect(dsn()) as connection:
        found = connection.execute("select worker from payout.workers").fetchall()
    assert [name.rpartition(" ")[2] for (name,) in found] == [str(worker.pid)]
    assert manager.lines.count("READY=1") == 1
    assert not manager.has("STOPPING=1")
    worker.stop()
    manager.wait_for("STOPPING=1")


def test_a_worker_without_its_database_says_so_and_is_not_ready(
    manager: Manager, launch: Callable[..., Worker]
) -> None:
    worker = launch(
        database_url="postgresql://u:hidden@127.0.0.1:1/none",
        stripe="http://127.0.0.1:1",
        NOTIFY_SOCKET=manager.address,
    )
    manager.wait_for("STATUS=waiting for the database: OperationalError(")
    assert "hidden" not in "".join(manager.lines)
    worker.stop()
    assert not manager.has("READY=1")


def test_a_worker_gives_signs_of_life(
    manager: Manager, dsn: Callable[..., str], double: StripeDouble, launch: Callable[..., Worker]
) -> None:
    worker = launch(
        database_url=dsn("payout_worker"),
        stripe=double.url,
        NOTIFY_SOCKET=manager.address,
        WATCHDOG_USEC="150000",
    )
    manager.wait_for("READY=1")
    manager.lines.clear()
    manager.wait_for("WATCHDOG=1")
    worker.freeze()
    while manager.receive(seconds=0.2):
        pass
    assert manager.receive(seconds=0.5) == []
    worker.thaw()
    manager.lines.clear()
    manager.wait_for("WATCHDOG=1")
    worker.stop()
