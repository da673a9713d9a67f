"""A worker goes on through the rotation of its Stripe key, without a restart and without a hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.crash.story import Story
from tests.crash.workers import CANARY, Worker
from tests.worker.test_key_file import NEXT, put


def test_a_worker_takes_a_rotated_key_without_a_restart(
    story: Story, launch: Callable[..., Worker], dsn: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "key"
    put(path, CANARY)
    worker = launch(
        database_url=dsn("payout_worker"),
        stripe=story.double.url,
        STRIPE_API_KEY="",
        STRIPE_API_KEY_FILE=str(path),
    )
    story.settle(2)
    worker.wait_for_reports(paid=2)
    put(path, NEXT)
    story.double.revoke_key(api_key=CANARY)
    story.settle(3, settlement_id="set_2")
    worker.wait_for_reports(paid=5)
    assert f"the Stripe key is now the one in {path}" in worker.log()
    assert story.engine.open_holds() == []
    worker.stop()
    assert NEXT not in worker.log()
    story.check_money()
