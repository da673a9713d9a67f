"""What migrations/ holds of procedures/ and sql/: frozen copies, and digests of what is released.

Run as a program it freezes: every migration that migrations/FROZEN does not list yet is added to
it, and from then on neither its deploy nor its revert file may change.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MIGRATION_NAME: Final = re.compile(r"\d{4}-[a-z0-9]+(-[a-z0-9]+)*")
BLOCK_START: Final = re.compile(r"-- (frozen|dropped|exists|generated): (\S+)(?: ([0-9a-f]{12}))?")
# Marks the place of the generated blocks while there are none.
NO_BLOCKS: Final = "-- generated: none\n"
# In this order the files are frozen, unless one needs what another defines.
FOLDERS: Final = (
    "procedures/guards",
    "procedures/scheduling",
    "procedures/ledger",
    "procedures/api",
    "procedures",
    "sql/error_codes.sql",
    "sql/views",
)
# Frozen where a migration holds their markers, which are written by hand.
IN_PLACE: Final = ("sql/roles.sql",)
IN_PLACE_COPY: Final = re.compile(
    rf"^-- frozen: ({'|'.join(map(re.escape, IN_PLACE))}) ([0-9a-f]{{12}})\n"
    r"(.*?)^-- end frozen: \1\n",
    flags=re.MULTILINE | re.DOTALL,
)


class MigrationError(Exception):
    """The files under migrations/, procedures/ or sql/ do not allow what was asked."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A generated part of a migration, between its start and its end marker.

    `kind` is ``frozen`` (a copy of the file `path`), ``dropped`` (statements that remove what the
    file once held) or ``exists`` (what a verify script looks for).
    """

    kind: str
    path: str
    body: str

    @property
    def text(self) -> str:
        """The block with its markers, as it stands in a migration."""
        title = f"{self.kind}: {self.path}"
        seal = f" {digest(self.body)}" if self.kind == "frozen" else ""
        return f"-- {title}{seal}\n{self.body}-- end {title}\n"


@dataclass(frozen=True, kw_only=True)
class Script:
    """One migration file: hand-written text, generated blocks, hand-written text."""

    before: str
    blocks: tuple[Block, ...]
    after: str

    @property
    def text(self) -> str:
        """The whole file. A line marks the place of the blocks while there are none."""
        middle = [block.text for block in self.blocks] or [NO_BLOCKS]
        return "\n".join(part for part in (self.before, *middle, self.after) if part)


def digest(text: str) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of a file's text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def source_files(root: Path) -> dict[str, str]:
    """Return path (relative to `root`) and text of every file that migrations freeze, in order."""
    files: dict[str, str] = {}
    for folder in FOLDERS:
        place = root / folder
        for file in sorted(place.rglob("*.sql")) if place.is_dir() else [place]:
            path = file.relative_to(root).as_posix()
            if path not in files and file.is_file():
                files[path] = file.read_text(encoding="utf-8")
    for path, text in files.items():
        if not text.endswith("\n"):
            raise MigrationError(f"{path}: the last line has no line end")
        if re.search(r"^-- (end )?(frozen|dropped|exists|generated): ", text, flags=re.MULTILINE):
            raise MigrationError(f"{path}: holds a line that looks like a marker of a frozen copy")
    return files


def migration_names(root: Path) -> list[str]:
    """Return the names of the migrations, oldest first."""
    files = (root / "migrations").glob("*.sql")
    return sorted(file.stem for file in files if not file.name.endswith(".rollback.sql"))


def deploy_path(root: Path, name: str) -> Path:
    """Return the file that a migration runs to deploy."""
    return root / "migrations" / f"{name}.sql"


def revert_path(root: Path, name: str) -> Path:
    """Return the file that undoes a migration."""
    return root / "migrations" / "revert" / f"{name}.sql"


def verify_path(root: Path, name: str) -> Path:
    """Return the file with which sqitch checks that a migration is in place."""
    return root / "migrations" / "verify" / f"{name}.sql"


def read_script(path: Path) -> Script:
    """Take a migration file apart. Raises MigrationError when its markers do not match."""
    text = path.read_text(encoding="utf-8")
    blocks: list[Block] = []
    loose = [""]
    lines = iter(enumerate(text.splitlines(keepends=True), start=1))
    for number, line in lines:
        start = BLOCK_START.fullmatch(line.rstrip("\n"))
        if start is None or start[2] in IN_PLACE:
            loose[-1] += line
            continue
        if start[1] != "generated":
            blocks.append(_read_block(path, number, start, lines))
        loose.append("")
    if len(loose) == 1:
        raise MigrationError(
            f"{path.name}: has neither a generated block nor the line {NO_BLOCKS.strip()!r}"
        )
    before, *between, after = loose
    if any(part.strip() for part in between):
        raise MigrationError(
            f"{path.name}: text stands between two generated blocks; move it before the first "
            "or after the last, where it is kept when the file is written again"
        )
    return Script(before=_trim(before), blocks=tuple(blocks), after=_trim(after))


def newest_frozen(root: Path, *, before: str | None = None) -> dict[str, str]:
    """Return path and text of the newest frozen copies, of all migrations or those `before` one."""
    files: dict[str, str] = {}
    for name in migration_names(root):
        if before is not None and name >= before:
            break
        for block in read_script(deploy_path(root, name)).blocks:
            if block.kind == "frozen":
                files[block.path] = block.body
            else:
                files.pop(block.path, None)
    return files


def in_place_files(root: Path) -> dict[str, str]:
    """Return path and text of the files that are frozen in a place chosen by hand."""
    return {
        path: (root / path).read_text(encoding="utf-8")
        for path in IN_PLACE
        if (root / path).is_file()
    }


def newest_in_place(root: Path) -> dict[str, str]:
    """Return path and text of the newest copies that stand in a place chosen by hand."""
    files: dict[str, str] = {}
    for name in migration_names(root):
        text = deploy_path(root, name).read_text(encoding="utf-8")
        for path, seal, body in IN_PLACE_COPY.findall(text):
            if digest(body) != seal:
                raise MigrationError(f"{name}.sql: the frozen copy of {path} was edited")
            files[path] = body
    return files


def refresh_in_place(root: Path, text: str) -> str:
    """Return a migration's text with today's text of the files between hand-placed markers."""
    today = in_place_files(root)

    def refreshed(found: re.Match[str]) -> str:
        return Block(kind="frozen", path=found[1], body=today[found[1]]).text

    return IN_PLACE_COPY.sub(refreshed, text)


def released(root: Path) -> dict[str, str]:
    """Return file (relative to migrations/) and SHA-256 as migrations/FROZEN lists them."""
    listing = root / "migrations" / "FROZEN"
    if not listing.exists():
        return {}
    rows = (line.split() for line in listing.read_text(encoding="utf-8").splitlines())
    return {file: seal for seal, file in rows}


def is_released(root: Path, name: str) -> bool:
    """Tell whether migrations/FROZEN lists a migration."""
    return f"{name}.sql" in released(root)


def file_seal(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def freeze(root: Path) -> list[str]:
    """Add every migration to migrations/FROZEN that it does not list; return their names.

    The listing has the format of ``sha256sum``, so ``sha256sum --check FROZEN`` works as well.
    """
    seals = released(root)
    added = [name for name in migration_names(root) if f"{name}.sql" not in seals]
    for name in added:
        for path in (deploy_path(root, name), revert_path(root, name)):
            seals[path.relative_to(root / "migrations").as_posix()] = file_seal(path)
    text = "".join(f"{seal}  {file}\n" for file, seal in seals.items())
    (root / "migrations" / "FROZEN").write_text(text, encoding="utf-8")
    return added


def _read_block(
    path: Path, number: int, start: re.Match[str], lines: Iterator[tuple[int, str]]
) -> Block:
    kind, source, seal = start.groups()
    body = ""
    for _, line in lines:
        if line == f"-- end {kind}: {source}\n":
            if kind == "frozen" and digest(body) != seal:
                raise MigrationError(
                    f"{path.name}:{number}: the frozen copy of {source} was edited; "
                    f"it has the digest {digest(body)}, not {seal}"
                )
            return Block(kind=kind, path=source, body=body)
        body += line
    raise MigrationError(f"{path.name}:{number}: the block '{kind}: {source}' has no end marker")


def _trim(text: str) -> str:
    """Drop blank lines at both ends; keep one line end."""
    stripped = text.strip("\n")
    return stripped + "\n" if stripped else ""


def main() -> int:
    """Freeze what is not frozen yet and say what that was."""
    parser = argparse.ArgumentParser(description="List the released migrations in FROZEN.")
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: here)")
    root: Path = parser.parse_args().root
    try:
        added = freeze(root)
    except MigrationError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"frozen: {', '.join(added)}" if added else "nothing new to freeze")
    return 0


if __name__ == "__main__":
    sys.exit(main())
