"""Debian's Chromium, which shows a page as people see it, and says what it has drawn.

The page stands in a frame as wide as the screen of a phone or of a desk, in a page of ours that
looks into the frame; the page itself may run no script.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final, TypedDict

import pytest

CHROMIUM: Final = shutil.which("chromium")
PATIENCE_SECONDS: Final = 60.0

# Elements that reach beyond the page at its sides, labels of a chart that lie upon each other, the
# drawn bars of each chart, the cells of each table by the headings of their columns, and colors.
LOOK: Final = """
const look = (frame) => {
    const page = frame.contentDocument, root = page.documentElement, width = root.clientWidth;
    const all = (where, what) => [...where.querySelectorAll(what)];
    const box = (element) => element.getBoundingClientRect();
    const style = (element) => page.defaultView.getComputedStyle(element);
    const shown = (element) => box(element).width > 0;
    const told = (element, line = 0) => (element.innerText.split('\\n')[line] || '').trim();
    const beyond = (element) => box(element).right > width + 0.5 || box(element).left < -0.5;
    const cut = (element) => element.scrollWidth > element.clientWidth + 1
        && style(element).overflowX !== 'visible';
    const overlapping = (labels) => labels.filter((label, place) =>
        place && box(label).left < box(labels[place - 1]).right);
    const sections = {};
    for (const section of all(page, 'section')) {
        sections[section.id] = all(section, 'tbody tr').map((row) => row.className === 'group'
            ? {group: told(row)}
            : Object.fromEntries(all(row, 'td').flatMap((cell) => [[cell.dataset.label, told(cell)],
                [`below ${cell.dataset.label}`, told(cell, 1)]])));
    }
    const colors = (element) => [style(element).color, style(element).backgroundColor];
    return {
        width, scroll_width: root.scrollWidth, height: root.scrollHeight,
        beyond: all(page.body, '*').filter((element) => shown(element)
            && (beyond(element) || cut(element))).map((element) => element.outerHTML.slice(0, 120)),
        overlapping: all(page, '.dates').flatMap((dates) =>
            overlapping(all(dates, 'span'))).map((label) => label.outerHTML),
        bars: all(page, '.plot svg').map((chart) => all(chart, 'g').map((day) => ({
            told: day.querySelector('title').textContent,
            heights: ['settled', 'paid'].map((kind) => {
                const bar = day.querySelector('.' + kind);
                return bar ? box(bar).height / box(chart).height : 0;
            }),
        }))),
        sections,
        text: page.body.innerText,
        scripts: all(page, 'script').length,
        colors: {body: colors(page.body), lead: colors(page.querySelector('.lead')),
            checks: all(page, '.checks li').map((item) =>
                [style(item.querySelector('strong')).color, style(item).backgroundColor])},
        is_dark: page.defaultView.matchMedia('(prefers-color-scheme: dark)').matches,
        alignment: all(page, 'td.number').map((cell) => style(cell).textAlign)
            .filter((given) => given !== 'right'),
        numerals: style(page.body).fontVariantNumeric,
    };
};
onload = () => {
    const frames = [...document.querySelectorAll('iframe')];
    seen.textContent = JSON.stringify(frames.map(look));
};
"""


class Seen(TypedDict):
    """A page as it was drawn."""

    width: int
    scroll_width: int
    height: int
    beyond: list[str]
    overlapping: list[str]
    bars: list[list[dict[str, Any]]]
    sections: dict[str, list[dict[str, str]]]
    text: str
    scripts: int
    colors: dict[str, Any]
    is_dark: bool
    alignment: list[str]
    numerals: str


class Browser:
    """Chromium without a window; each call is a process of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def look(self, page: Path, *widths: int, dark: bool = False) -> list[Seen]:
        """Return what a page shows on screens of some widths."""
        dumped = self._run(self._framed(page, *widths), "--dump-dom", dark=dark)
        found = re.search(r'<pre id="seen">(.+?)</pre>', dumped, re.DOTALL)
        assert found, "Chromium showed no page"
        seen: list[Seen] = json.loads(html.unescape(found[1]))
        return seen

    def picture(self, page: Path, *, width: int, height: int, dark: bool = False) -> bytes:
        """Return a screenshot as PNG; a screen is 500 wide at least."""
        file = self._directory / "picture.png"
        size = f"--window-size={max(width, 500)},{height}"
        framed = self._framed(page, width, height=height)
        self._run(framed, size, f"--screenshot={file}", dark=dark)
        return file.read_bytes()

    def printed(self, page: Path) -> bytes:
        """Return the page as it is printed, as PDF."""
        file = self._directory / "page.pdf"
        self._run(page, f"--print-to-pdf={file}", "--no-pdf-header-footer", dark=True)
        return file.read_bytes()

    def _framed(self, page: Path, *widths: int, height: int = 2000) -> Path:
        content = html.escape(page.read_text(encoding="utf-8"))
        frames = (
            f'<iframe style="border:0;display:block;width:{width}px;height:{height}px" '
            f'srcdoc="{content}"></iframe>'
            for width in widths
        )
        around = self._directory / "around.html"
        around.write_text(
            f'<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">{"".join(frames)}'
            f'<pre id="seen"></pre><script>{LOOK}</script>',
            encoding="utf-8",
        )
        return around

    def _run(self, page: Path, *options: str, dark: bool) -> str:
        assert CHROMIUM is not None
        done = subprocess.run(
            [
                CHROMIUM,
                "--headless",
                "--disable-gpu",
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                f"--user-data-dir={self._directory / 'profile'}",
                f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                *options,
                page.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    """Chromium, where it is installed; in CI it has to be."""
    if CHROMIUM is None:
        assert os.environ.get("CI") != "true", "CI installs Chromium"
        pytest.skip("Chromium is not installed")
    directory = tmp_path / "browser"
    directory.mkdir()
    return Browser(directory)
