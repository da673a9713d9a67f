"""Writes the one migration of the release being worked on, out of the changes since the last one.

Deploy, revert and verify file, yoyo's symlink and sqitch's plan are written anew each time; text
that a person wrote before the first or after the last generated block is kept. `--release` lists
the migration in migrations/FROZEN: from then on it never changes, and the next run begins another.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from payout_engine import sql_files
from payout_engine.errors import UserError
from tools import schema_files

MIGRATION_NAME: Final = re.compile(r"\d{4}-[a-z0-9]+(-[a-z0-9]+)*")
BLOCK_START: Final = re.compile(
    r"^-- (frozen|dropped|altered): (\S+) ([0-9a-f]{12})\n", re.MULTILINE
)
# For readers of a file: no migration ships it, and it may change after a release.
OPENING_COMMENT: Final = re.compile(r"\A((--.*\n)+\n)+")
# Ends the generated blocks, and marks their place while there are none.
BLOCKS_END: Final = "-- generated: end\n"
PLAN_HEADER: Final = "%syntax-version=1.0.0\n%project=payout-engine\n\n"
PLANNER: Final = "payout-engine <payout-engine@localhost>"
# Everything belongs to payout_owner, whoever deploys; sql/roles.sql, in the first one, sees to it.
AS_OWNER: Final = "set local role payout_owner;\n"
AS_ONESELF: Final = "reset role;\n"
REVERT_ALL: Final = """\
-- The roles belong to the cluster and stay.
drop schema payout_api cascade;
drop schema payout cascade;

alter default privileges for role payout_owner grant execute on functions to public;
do $$
begin
    execute format('grant temporary on database %I to public', current_database());
end
$$;
"""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A generated part of a script, from its marker to the next one.

    `kind` is ``frozen`` (a copy of the file `path`, without the comment that opens it),
    ``altered`` (the digest of a file whose change a person has written by hand) or ``dropped``
    (statements that remove objects of the file).
    """

    kind: str
    path: str
    seal: str
    body: str = ""

    @property
    def text(self) -> str:
        """The block with its marker, as it stands in a script."""
        return f"-- {self.kind}: {self.path} {self.seal}\n{self.body}"


@dataclass(frozen=True, kw_only=True)
class Script:
    """One file of a migration: text by hand, generated blocks, text by hand."""

    before: str
    blocks: tuple[Block, ...]
    after: str

    @property
    def text(self) -> str:
        """The whole file."""
        middle = "".join(block.text for block in self.blocks) + BLOCKS_END
        return "\n".join(part for part in (self.before, middle, self.after) if part)


@dataclass(frozen=True, kw_only=True)
class Change:
    """The files that a migration ships: `old` as the release before left them, `new` as today.

    Of a file whose change was written by hand, `old` has only the digest.
    """

    old: Mapping[str, Block]
    new: Mapping[str, str]

    @property
    def changed(self) -> list[str]:
        """Paths of new and changed files, each after those whose objects it needs."""
        order = schema_files.in_order(self.new)
        return [path for path in order if self._seal(path) != digest(self.new[path])]

    @property
    def removed(self) -> list[str]:
        """Paths of files that are gone, each before those whose objects it needs."""
        order = schema_files.in_order(self._old_texts)
        return [path for path in reversed(order) if path not in self.new]

    @property
    def _old_texts(self) -> dict[str, str]:
        return {path: block.body for path, block in self.old.items()}

    def _seal(self, path: str) -> str:
        return self.old[path].seal if path in self.old else ""

    def is_by_hand(self, path: str) -> bool:
        """Tell whether a person has to write the change of a file.

        A new file counts as well if it has a table that another file had before.
        """
        if schema_files.is_repeatable(path) or path in self.old:
            return not schema_files.is_repeatable(path)
        before = {each for text in self._old_texts.items() for each in schema_files.objects(*text)}
        return not before.isdisjoint(schema_files.objects(path, self.new[path]))

    def keeps_rows(self, path: str) -> bool:
        """Tell whether a database has rows of a file, which the new text may leave as they are."""
        return path.startswith("sql/data/") and path in self.old

    def deploy_blocks(self) -> tuple[Block, ...]:
        """Return the generated part of the deploy script."""
        blocks: list[Block] = []
        for path in self.changed:
            text = self.new[path]
            if self.is_by_hand(path):
                blocks.append(Block(kind="altered", path=path, seal=digest(text)))
                continue
            blocks += _leavings(path, self._old_texts, self.new)
            blocks.append(_copy("frozen", path, text))
        blocks += (self._farewell(path) for path in self.removed)
        return tuple(blocks)

    def revert_blocks(self) -> tuple[Block, ...]:
        """Return the generated part of the revert script: the way back."""
        blocks: list[Block] = []
        changed = self.changed
        for path in (*self.removed[::-1], *(each for each in changed if each in self.old)):
            old = self.old[path]
            if not schema_files.is_repeatable(path):
                blocks.append(Block(kind="altered", path=path, seal=old.seal))
                continue
            blocks += _leavings(path, self.new, self._old_texts)
            blocks.append(old)
        for path in reversed([each for each in changed if each not in self.old]):
            body = schema_files.leavings(path, old=self.new, new=self._old_texts)
            blocks.append(_copy("dropped", path, body))
        return tuple(blocks)

    def _farewell(self, path: str) -> Block:
        repeatable = schema_files.is_repeatable(path)
        text = schema_files.leavings(path, old=self._old_texts, new=self.new)
        return _copy("dropped", path, text if repeatable else "")


def write(root: Path, *, name: str | None = None, why: str | None = None) -> tuple[str, Change]:
    """Write the migration of the release being worked on; return its name and its change.

    `name` and `why` (the sentence of its header) begin a new one, once the last one is released.
    Raises UserError for a name or reason that does not fit.
    """
    names = migration_names(root)
    is_open = bool(names) and not is_released(root, names[-1])
    if not is_open:
        name = _new_name(name, why, number=len(names) + 1)
    elif name not in (None, names[-1]):
        raise UserError(
            f"{names[-1]} is not released: a release has one migration, which carries this too"
        )
    else:
        name = names.pop()
    why = why or _why(root, name)
    if "\n" in why:
        raise UserError(f"{name}: the reason is one line")
    change = Change(old=shipped(root, names), new=schema_files.source_files(root))
    is_first = not names
    header = f"-- {name}: {why}\n" + ("" if is_first else f"-- depends: {names[-1]}\n")
    start = schema_files.SETTINGS + ("" if is_first else "\n" + AS_OWNER)
    end = schema_files.record(change.new, name) + AS_ONESELF
    by_hand = _by_hand(deploy_path(root, name), f"{header}\n{start}", end)
    before = re.sub(rf"\A-- {name}: .*\n(-- depends: .*\n)?", header, by_hand[0])
    _write(
        deploy_path(root, name),
        Script(before=before, blocks=change.deploy_blocks(), after=by_hand[1]),
    )
    end = schema_files.record(change.old, f"reverted {name}") + AS_ONESELF
    _write_revert(root, name, change.revert_blocks(), end="" if is_first else end)
    _write_verify_files(root)
    link = deploy_path(root, name).with_suffix(".rollback.sql")
    if not link.is_symlink():
        link.symlink_to(revert_path(root, name).relative_to(link.parent))
    _write_plan(root)
    return name, change


def refresh(root: Path) -> list[str]:
    """Write the open migration, if there is one, anew; return the files that none carries yet."""
    names = migration_names(root)
    if names and not is_released(root, names[-1]):
        write(root)
        return []
    change = Change(old=shipped(root, names), new=schema_files.source_files(root))
    return [*change.changed, *change.removed]


def check(root: Path) -> list[str]:
    """Do as `refresh` does. Raises UserError if that changed a file of the migrations."""
    before = _written(root)
    left = refresh(root)
    if _written(root) != before:
        name = migration_names(root)[-1]
        raise UserError(f"{name} was out of date and is written anew: look at it")
    return left


def release(root: Path) -> list[str]:
    """List every migration in migrations/FROZEN that is not there yet; return their names.

    The listing has the format of ``sha256sum``, so ``sha256sum --check FROZEN`` works as well.
    Raises UserError if the newest one is not up to date with today's files.
    """
    names = migration_names(root)
    added = [name for name in names if not is_released(root, name)]
    if added:
        check(root)
    seals = released(root)
    for name in added:
        for path in (deploy_path(root, name), revert_path(root, name)):
            seals[path.relative_to(root / "migrations").as_posix()] = file_seal(path)
    text = "".join(f"{seal}  {file}\n" for file, seal in seals.items())
    (root / "migrations" / "FROZEN").write_text(text, encoding="utf-8")
    return added


def shipped(root: Path, names: list[str]) -> dict[str, Block]:
    """Return each file as the migrations `names` left it: its text, or by hand its digest."""
    files: dict[str, Block] = {}
    for name in names:
        for block in read_script(deploy_path(root, name)).blocks:
            if block.kind == "dropped":
                files.pop(block.path, None)
            else:
                files[block.path] = block
    return files


def read_script(path: Path) -> Script:
    """Take a script apart. Raises UserError when its digests do not match."""
    text = path.read_text(encoding="utf-8")
    generated, end, after = text.partition(f"\n{BLOCKS_END}")
    if not end or schema_files.MARKER.search(after):
        raise UserError(f"{path.name}: {BLOCKS_END.strip()!r} is not its last marker")
    before, *parts = BLOCK_START.split(generated + "\n")
    blocks = [
        Block(kind=kind, path=source, seal=seal, body=body)
        for kind, source, seal, body in zip(*(iter(parts),) * 4, strict=True)
    ]
    for block in blocks:
        is_whole = not block.body if block.kind == "altered" else digest(block.body) == block.seal
        if not is_whole:
            raise UserError(
                f"{path.name}: the block '{block.kind}: {block.path}' was edited; text by hand "
                "stands before the first block or after the last, where it is kept"
            )
    return Script(before=_trim(before), blocks=tuple(blocks), after=_trim(after))


def migration_names(root: Path) -> list[str]:
    """Return the names of the migrations, oldest first."""
    return sql_files.migration_names(root / "migrations")


def deploy_path(root: Path, name: str) -> Path:
    """Return the file that a migration runs to deploy."""
    return root / "migrations" / f"{name}.sql"


def revert_path(root: Path, name: str) -> Path:
    """Return the file that undoes a migration."""
    return root / "migrations" / "revert" / f"{name}.sql"


def verify_path(root: Path, name: str) -> Path:
    """Return the file with which sqitch checks that a migration is in place."""
    return root / "migrations" / "verify" / f"{name}.sql"


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


def digest(text: str) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of a file's text as it is shipped."""
    return hashlib.sha256(_shipped(text).encode()).hexdigest()[:12]


def file_seal(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _written(root: Path) -> dict[Path, bytes]:
    files = [root / "sqitch.plan", *(root / "migrations").rglob("*")]
    return {path: path.read_bytes() for path in files if path.is_file()}


def _new_name(name: str | None, why: str | None, *, number: int) -> str:
    expected = f"{number:04}-"
    if name is None or why is None:
        raise UserError(
            f"all migrations are released: give the next one a name ({expected}what-changes) "
            "and a reason"
        )
    if MIGRATION_NAME.fullmatch(name) is None or not name.startswith(expected):
        raise UserError(f"{name!r} is not its name: the next one looks like {expected}add-x")
    return name


def _why(root: Path, name: str) -> str:
    """Return the reason that the header of an existing migration states."""
    with deploy_path(root, name).open(encoding="utf-8") as script:
        found = re.fullmatch(rf"-- {name}: (.+)\n", script.readline())
    if found is None:
        raise UserError(f"{name}.sql: the first line is not '-- {name}: why'")
    return found[1]


def _by_hand(path: Path, before: str, after: str) -> tuple[str, str]:
    """Return the text by hand of an existing script, or that of a new one."""
    if not path.exists():
        return before, after
    found = read_script(path)
    return found.before, found.after


def _leavings(path: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[Block]:
    body = schema_files.leavings(path, old=old, new=new)
    return [_copy("dropped", path, body)] if body else []


def _copy(kind: str, path: str, text: str) -> Block:
    return Block(kind=kind, path=path, seal=digest(text), body=_shipped(text))


def _shipped(text: str) -> str:
    return OPENING_COMMENT.sub("", text)


def _write_revert(root: Path, name: str, blocks: tuple[Block, ...], *, end: str) -> None:
    path = revert_path(root, name)
    start = f"-- Revert {name}.\n\n{schema_files.SETTINGS}"
    if end:
        before, after = _by_hand(path, f"{start}\n{AS_OWNER}", end)
    else:
        before, after, blocks = f"{start}\n{REVERT_ALL}", "", ()
    _write(path, Script(before=before, blocks=blocks, after=after))


def _write_verify_files(root: Path) -> None:
    """Write each verify file: it looks for the objects that no later migration replaces.

    sqitch runs the verify file of every deployed change against the schema of today. A block for
    a change by hand has no text, so the last one of a file stands for the file's text of today.
    """
    shipped_later: set[str] = set()
    today = schema_files.source_files(root)
    for name in reversed(migration_names(root)):
        blocks = read_script(deploy_path(root, name)).blocks
        checks = [
            check
            for block in blocks
            if block.kind != "dropped" and block.path not in shipped_later
            for check in schema_files.checks(block.path, block.body or today[block.path])
        ]
        shipped_later |= {block.path for block in blocks}
        title = f"-- Verify {name}: each query fails if the object that it names is missing.\n\n"
        path = verify_path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(title + "".join(checks), encoding="utf-8")


def _write_plan(root: Path) -> None:
    """Write sqitch.plan for the migrations there are; entries keep the time they were planned."""
    plan = root / "sqitch.plan"
    planned = {}
    if plan.exists():
        for line in plan.read_text(encoding="utf-8").splitlines():
            entry = re.match(r"(\d{4}-\S+) (?:\[\S+\] )?(\S+Z) ", line)
            if entry:
                planned[entry[1]] = entry[2]
    now = datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    entries = []
    requires = ""
    for name in migration_names(root):
        why = _why(root, name)
        entries.append(f"{name} {requires}{planned.get(name, now)} {PLANNER} # {why}\n")
        requires = f"[{name}] "
    plan.write_text(PLAN_HEADER + "".join(entries), encoding="utf-8")


def _write(path: Path, script: Script) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script.text, encoding="utf-8")


def _trim(text: str) -> str:
    """Drop blank lines at both ends; keep one line end."""
    stripped = text.strip("\n")
    return stripped + "\n" if stripped else ""


def main() -> int:
    """Write the migration of the release, refresh it or release it, and say so."""
    parser = argparse.ArgumentParser(description="Write the migration of the next release.")
    parser.add_argument("name", nargs="?", help="for a new one, such as 0002-add-cancel")
    parser.add_argument("--why", help="the reason, one sentence; needed for a new one")
    parser.add_argument("--refresh", action="store_true", help="only if one is open already")
    parser.add_argument("--check", action="store_true", help="the same, and fail if it was late")
    parser.add_argument("--release", action="store_true", help="it never changes from now on")
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: here)")
    options = parser.parse_args()
    try:
        if options.release:
            added = release(options.root)
            print(f"released: {', '.join(added)}" if added else "nothing new to release")
            return 0
        if options.refresh or options.check:
            if left := check(options.root) if options.check else refresh(options.root):
                raise UserError(
                    f"in no migration yet: {', '.join(left)} (make migration name=... why=...)"
                )
            return 0
        name, change = write(options.root, name=options.name or None, why=options.why or None)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"migrations/{name}.sql")
    for path in change.changed:
        print(f"  {'BY HAND' if change.is_by_hand(path) else 'frozen '}  {path}")
        if change.keeps_rows(path):
            print("  BY HAND  its rows that changed or are gone, unless its statements change them")
    for path in change.removed:
        is_left = change.is_by_hand(path) or change.keeps_rows(path)
        print(f"  {'BY HAND' if is_left else 'dropped'}  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
