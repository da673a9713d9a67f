"""A key that is rotated in its file is used without a restart, and only for the same account."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from payout_engine.stripe_payout_adapter import StripePayoutAdapter, boot_seconds
from payout_engine_sandbox.stripe_double import Fault, StripeDouble
from tests.worker.fakes import CANARY, make_order

NEXT: Final = "rk_test_next0123456789"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    put(file, CANARY)
    return file


def put(path: Path, key: str) -> None:
    """Replace the file as Kubernetes does: by a rename."""
    new = path.with_suffix(".new")
    new.write_text(f"{key}\n", encoding="ascii")
    new.replace(path)


@asynccontextmanager
async def started(
    path: Path, **options: Any
) -> AsyncIterator[tuple[StripeDouble, StripePayoutAdapter]]:
    async with (
        StripeDouble() as double,
        StripePayoutAdapter(
            api_key=CANARY, key_file=str(path), api_base=double.url, **options
        ) as adapter,
    ):
        assert await adapter.account_id() == "acct_platform"
        yield double, adapter


async def send(adapter: StripePayoutAdapter, number: int = 1) -> tuple[str, int | None]:
    outcome = await adapter.send(make_order(number), claimed_at=boot_seconds())
    assert CANARY not in repr(outcome)
    assert NEXT not in repr(outcome)
    return outcome["signal"], outcome.get("http_status")


def test_a_key_that_was_replaced_is_used_for_what_is_claimed_next(path: Path) -> None:
    async def main() -> None:
        async with started(path) as (double, adapter):
            put(path, NEXT)
            assert await adapter.account_id() == "acct_platform"
            double.revoke_key(api_key=CANARY)
            assert await send(adapter) == ("response", 200)
            await adapter.list_page("/v1/transfers", {})

    asyncio.run(main())


def test_a_key_that_stripe_refuses_is_tried_once_more_from_its_file(path: Path) -> None:
    async def main() -> None:
        async with started(path) as (double, adapter):
            double.revoke_key(api_key=CANARY)
            assert await send(adapter) == ("response", 401)
            assert len(double.sends) == 1
            put(path, NEXT)
            found = await asyncio.gather(*(send(adapter, number) for number in range(2, 22)))
            assert found == [("response", 200)] * 20
            assert len(double.transfers()) == 20
            assert [len(double.effects(f"payout_{number}")) for number in range(2, 22)] == [1] * 20

    asyncio.run(main())


def test_a_second_try_that_never_left_takes_nothing_back(path: Path) -> None:
    """The first answer stands: the request did leave."""
    now = boot_seconds()

    async def main() -> None:
        async with started(path, clock=lambda: now) as (double, adapter):

            async def too_late() -> None:
                nonlocal now
                now += 60
                adapter._api_key = NEXT

            adapter._replace_key = too_late  # type: ignore[method-assign]
            double.revoke_key(api_key=CANARY)
            outcome = await adapter.send(make_order(), claimed_at=now)
            assert (outcome["signal"], outcome["http_status"]) == ("response", 401)
            assert len(double.sends) == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("headers", "told"),
    [({}, 401), ({"Stripe-Should-Retry": "false"}, 400)],
    ids=["not saved", "saved"],
)
def test_a_refusal_of_the_second_try_stands_only_if_stripe_saved_it(
    path: Path, headers: dict[str, str], told: int
) -> None:
    """Else the first answer, which may be a copy, would be known to nobody."""

    async def main() -> None:
        async with started(path) as (double, adapter):

            async def replace() -> None:
                adapter._api_key = NEXT
                refusal = {"error_code": "account_invalid", "headers": headers}
                double.inject(Fault(effect="none", status=400, **refusal))  # type: ignore[arg-type]

            adapter._replace_key = replace  # type: ignore[method-assign]
            double.revoke_key(api_key=CANARY)
            outcome = await adapter.send(make_order(), claimed_at=boot_seconds())
            assert (outcome["signal"], outcome["http_status"]) == ("response", told)
            assert len(double.sends) == 2

    asyncio.run(main())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("not a key", "the key in use is kept: the Stripe key is not a secret or restricted key"),
        ("rk_live_other0123456789", "is of another mode: the one in use is kept"),
        ("", "the key in use is kept: the Stripe key is not a secret or restricted key"),
    ],
)
def test_a_file_without_a_key_for_this_process_changes_nothing(
    path: Path, caplog: pytest.LogCaptureFixture, content: str, told: str
) -> None:
    async def main() -> None:
        async with started(path) as (double, adapter):
            put(path, content)
            for number in range(1, 4):
                await adapter.account_id()
                assert await send(adapter, number) == ("response", 200)
            assert len(double.transfers()) == 3

    caplog.set_level(logging.INFO)
    asyncio.run(main())
    [message] = [record.getMessage() for record in caplog.records]
    assert told in message
    assert not content or content not in message


def test_a_key_of_another_account_is_not_for_what_was_claimed(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with started(path) as (double, adapter):
            put(path, NEXT)
            double.inject(
                Fault(
                    method="GET",
                    path="/v1/account",
                    effect="none",
                    status=200,
                    body='{"id": "acct_other", "object": "account"}',
                )
            )
            assert await adapter.account_id() == "acct_platform"
            double.revoke_key(api_key=NEXT)
            assert await send(adapter) == ("response", 200)

    asyncio.run(main())
    assert f"the key in {path} is of the account acct_other: the one in use, of acct_pl" in (
        caplog.text
    )


def test_a_new_key_that_stripe_does_not_take_yet_is_tried_again_later(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = boot_seconds()

    async def main() -> None:
        nonlocal now
        async with started(path, clock=lambda: now) as (double, adapter):
            put(path, NEXT)
            double.inject(
                Fault(
                    method="GET", path="/v1/account", effect="none", status=401, error_message="No."
                )
            )
            for _ in range(3):
                await adapter.account_id()
            now += 31
            await adapter.account_id()
            double.revoke_key(api_key=CANARY)
            outcome = await adapter.send(make_order(), claimed_at=now)
            assert outcome["http_status"] == 200

    asyncio.run(main())
    assert caplog.text.count("cannot be used yet") == 1
