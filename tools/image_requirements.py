"""Writes the parts of `requirements.lock` that the container image installs, with their hashes.

One part builds the wheel, the other runs it: nothing else of the lock gets into the image.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parents[1]
LOCK: Final = "requirements.lock"
PARTS: Final = {
    "deploy/requirements-build.txt": "hatchling",
    "deploy/requirements.txt": "payout-engine",
}
ENTRY: Final = re.compile(r"^([A-Za-z0-9._-]+)==(?:.*\\\n)*.*\n", re.MULTILINE)


def part(root: Path, package: str) -> str:
    """Return the entries of the lock that a package needs, on any platform and Python."""
    lock = (root / LOCK).read_text(encoding="utf-8")
    entries = {canonicalize_name(found[1]): found[0] for found in ENTRY.finditer(lock)}
    names = _needed_by(package)
    return "".join(entry for name, entry in entries.items() if name in names)


def _needed_by(package: str) -> set[str]:
    """Return the names of a package and of all that it needs, with the extras that are asked for.

    Markers of platforms are passed over: the lock has them too.
    """
    names: set[str] = set()
    waiting = [Requirement(package)]
    seen: set[str] = set()
    while waiting:
        wanted = waiting.pop()
        if str(wanted) in seen:
            continue
        seen.add(str(wanted))
        names.add(canonicalize_name(wanted.name))
        for text in _requires(wanted.name):
            needed = Requirement(text)
            extra = re.search(r"extra == [\"']([^\"']+)[\"']", str(needed.marker or ""))
            if extra is None or extra[1] in wanted.extras:
                waiting.append(needed)
    return names


def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:  # needed on another platform
        return []


def main() -> None:
    """Write the parts."""
    for path, package in PARTS.items():
        (ROOT / path).write_text(part(ROOT, package), encoding="utf-8")


if __name__ == "__main__":
    main()
