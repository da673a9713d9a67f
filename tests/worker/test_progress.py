"""A comparison under way is one moving line in a terminal, and a line now and then elsewhere."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest

from payout_engine.output import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show(output: io.StringIO, monkeypatch: pytest.MonkeyPatch, *seconds: float) -> str:
    """Show 200 more transfers of 1,000 at each of these seconds after the beginning, at 100."""
    now = 100.0
    monkeypatch.setattr("payout_engine.output.time.monotonic", lambda: now)
    with Progress(output) as line:
        line.compared(100, 1000)
        for number, second in enumerate(seconds, start=1):
            now = 100.0 + second
            line.compared(100 + 200 * number, 1000)
    return output.getvalue()


def test_progress_is_a_line_now_and_then_where_no_line_can_move(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert show(io.StringIO(), monkeypatch, 1, 4.9, 10).splitlines() == [
        "[###...........................] 100 of about 1,000 transfers, 0/s",
        "[#####################.........] 700 of about 1,000 transfers, 60/s",
    ]


def test_progress_is_one_moving_line_in_a_terminal_that_is_gone_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert show(Terminal(), monkeypatch, 0.05, 2).split("\r\x1b[K") == [
        "",
        "[###...........................] 100 of about 1,000 transfers, 0/s",
        "[###############...............] 500 of about 1,000 transfers, 200/s",
        "",
    ]


def test_a_count_beyond_the_expected_one_fills_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = show(io.StringIO(), monkeypatch, *[9] * 5, 20)
    assert shown.splitlines()[-1].startswith(f"[{'#' * 30}] 1,300 of about 1,000")


def export(output: io.StringIO, monkeypatch: pytest.MonkeyPatch, *seconds: float) -> str:
    """Show 5,000 more entries at each of these seconds after the beginning."""
    now = 100.0
    monkeypatch.setattr("payout_engine.output.time.monotonic", lambda: now)
    with Progress(output, after_seconds=1.0) as line:
        line.exported(0, datetime(2026, 1, 1, tzinfo=UTC))
        for number, second in enumerate(seconds, start=1):
            now = 100.0 + second
            line.exported(5000 * number, datetime(2026, 3, 1, tzinfo=UTC))
    return output.getvalue()


def test_a_quick_export_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert export(io.StringIO(), monkeypatch, 0.2, 0.9) == ""


def test_an_export_that_takes_more_than_a_second_shows_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert export(io.StringIO(), monkeypatch, 0.9, 1.25, 3.0, 7.0) == (
        "10,000 entries, up to 2026-03-01, 8,000/s\n20,000 entries, up to 2026-03-01, 2,857/s\n"
    )
    assert export(Terminal(), monkeypatch, 1.25) == (
        "\r\x1b[K5,000 entries, up to 2026-03-01, 4,000/s\r\x1b[K"
    )
