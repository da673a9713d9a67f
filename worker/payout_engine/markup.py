"""Writes HTML in which no text can become an element: whatever is not `Markup` is escaped.

Characters that change or hide the text around them are shown by their numbers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from html import escape
from typing import Final, TypeAlias

# The two joiners belong to some scripts.
JOINERS: Final = "\u200c\u200d"
SUSPECT: Final = re.compile(r"[^ -~]")
EMPTY: Final = ("meta", "rect", "line")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[Child] | None"


def element(name: str, /, *children: Child, **attributes: object) -> Markup:
    """Return an element; of its attributes, ``class_`` is ``class`` and ``data_label`` data-label.

    An attribute that is None is left out, and so is a child that is None, False or 0.
    """
    given = (
        f' {key.rstrip("_").replace("_", "-")}="{text(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    begin = f"<{name}{''.join(given)}"
    return Markup(f"{begin}/>" if name in EMPTY else f"{begin}>{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Markup:
    """Return children one after the other, escaped where they are no markup."""
    return Markup("".join(_parts(children)))


def text(value: str) -> Markup:
    """Return plain text as HTML."""
    return Markup(escape(SUSPECT.sub(_shown, value)))


def _parts(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if isinstance(child, Markup):
            yield child
        elif isinstance(child, str):
            yield text(child)
        elif child:
            yield from _parts(child)


def _shown(match: re.Match[str]) -> str:
    character = match[0]
    kind = unicodedata.category(character)
    if character in "\n\t" or character in JOINERS or kind not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    return f"\\u{ord(character):04x}"
