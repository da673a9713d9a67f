"""The last scene of the demo waits for nothing that takes longer than a person looks."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import psycopg
import pytest
from psycopg.rows import dict_row
from rich.console import Console

from payout_engine_sandbox.demo import fix
from payout_engine_sandbox.demo.processes import Stop
from payout_engine_sandbox.demo.stand import Stand
from tests.engine import Engine, no_answer


class Logins:
    """The logins of a demo, each of them the one connection of an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def connect(self, login: str) -> Iterator[Any]:
        """Give a connection with rows as the demo's have them."""
        yield self

    def execute(self, query: Any, values: Any = None) -> psycopg.Cursor[dict[str, Any]]:
        """Execute on the engine's connection."""
        return self._engine.db.cursor(row_factory=dict_row).execute(query, values)


def shown(engine: Engine) -> tuple[list[str], str]:
    printed = io.StringIO()
    console = Console(file=printed, width=500)
    problems = fix.show_a_fix(console, cast("Stand", Logins(engine)), Stop())
    return problems, printed.getvalue()


def test_a_transfer_whose_answer_was_lost_is_not_waited_for(engine: Engine) -> None:
    """A worker was killed while it sent one; the demo failed when that was asked about later."""
    engine.settle(fix.PAYEE)
    engine.report(no_answer(engine.claim_one()))
    problems, printed = shown(engine)
    assert problems == []
    assert "0 transfers that waited are paid to acct_seller_07_b" in printed
    assert "before it is sent again; asked about later: 1.\n" in printed


def test_a_transfer_that_should_have_been_sent_is_a_problem(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fix, "PATIENCE_SECONDS", 0.0)
    engine.settle(fix.PAYEE)
    problems, _ = shown(engine)
    assert problems == ["1 of 1 transfers of seller_07 still wait 0 s later"]
