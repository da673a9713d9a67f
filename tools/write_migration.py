"""Writes a migration out of the files that changed under procedures/ and sql/.

It makes or refreshes the deploy, revert and verify files, yoyo's symlink and sqitch's plan entry;
what was written by hand before the first or after the last generated block is kept.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools import frozen, sql_objects
from tools.frozen import Block, MigrationError, Script

PLAN_HEADER: Final = "%syntax-version=1.0.0\n%project=payout-engine\n\n"
PLANNER: Final = "payout-engine <payout-engine@localhost>"
SETTINGS: Final = """\
set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;
"""
# Everything belongs to payout_owner, whoever deploys.
AS_OWNER: Final = "\nset local role payout_owner;\n"
AS_ONESELF: Final = "reset role;\n"


@dataclass(frozen=True, kw_only=True)
class Change:
    """The files that a migration ships: `old` as frozen before it, `new` as they are today."""

    old: Mapping[str, str]
    new: Mapping[str, str]

    @property
    def changed(self) -> list[str]:
        """Paths of new and changed files, each after those whose objects it needs."""
        order = sql_objects.in_order(self.new)
        return [path for path in order if self.old.get(path) != self.new[path]]

    @property
    def removed(self) -> list[str]:
        """Paths of files that are gone, each before those whose objects it needs."""
        order = sql_objects.in_order(self.old)
        return [path for path in reversed(order) if path not in self.new]

    @property
    def reverse(self) -> Change:
        """The way back."""
        return Change(old=self.new, new=self.old)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The generated part of a script that makes this change."""
        blocks = []
        for path in self.changed:
            blocks += self._leavings(path)
            blocks.append(Block(kind="frozen", path=path, body=self.new[path]))
        for path in self.removed:
            blocks += self._leavings(path)
        return tuple(blocks)

    def _leavings(self, path: str) -> list[Block]:
        old, new = self.old.get(path, ""), self.new.get(path, "")
        body = sql_objects.leavings(path, old=old, new=new)
        # A file that is gone is marked as dropped even if nothing of it is left behind.
        if not body and path in self.new:
            return []
        return [Block(kind="dropped", path=path, body=body)]


def write_migration(
    root: Path, name: str, *, why: str | None = None, only: Sequence[str] = ()
) -> Change:
    """Write the newest migration, or write it again; return what it ships.

    `why` is the sentence of its header, needed the first time. `only` names files or folders; what
    changed elsewhere is left for a later migration. Raises MigrationError for a released
    migration, one that is not the newest, or a bad name.
    """
    previous = _previous(root, name)
    old = frozen.newest_frozen(root, before=name)
    change = Change(old=old, new=_chosen(root, only))
    deploy = frozen.deploy_path(root, name)
    if why is None and not deploy.exists():
        raise MigrationError(f"{name} is new: say why it is needed")
    if why is not None and "\n" in why:
        raise MigrationError(f"{name}: the reason is one line")
    header = _header(name, why or _why(root, name), previous)
    hand = (header + "\n" + SETTINGS + AS_OWNER, AS_ONESELF)
    script = _refreshed(deploy, change.blocks, hand)
    before = re.sub(rf"^-- ({name}|depends): .*\n", "", script.before, flags=re.MULTILINE)
    before = frozen.refresh_in_place(root, header + before)
    _write(deploy, Script(before=before, blocks=script.blocks, after=script.after))

    revert = frozen.revert_path(root, name)
    hand = (f"-- Revert {name}.\n\n" + SETTINGS + AS_OWNER, AS_ONESELF)
    _write(revert, _refreshed(revert, change.reverse.blocks, hand))

    _write_verify_files(root)
    link = deploy.with_suffix(".rollback.sql")
    if not link.is_symlink():
        link.symlink_to(revert.relative_to(deploy.parent))
    _write_plan(root)
    return change


def newest_unreleased(root: Path) -> str:
    """Return the name of the newest migration. Raises MigrationError when it is released."""
    names = frozen.migration_names(root)
    if not names:
        raise MigrationError("there is no migration yet: give the first one a name and a reason")
    _refuse_released(root, names[-1])
    return names[-1]


def _previous(root: Path, name: str) -> str | None:
    """Return the migration before `name`, after checking that `name` may be written."""
    if frozen.MIGRATION_NAME.fullmatch(name) is None:
        raise MigrationError(f"{name!r} is no migration name; one looks like 0002-add-cancel")
    names = frozen.migration_names(root)
    if name not in names:
        expected = f"{len(names) + 1:04}-"
        if not name.startswith(expected):
            raise MigrationError(f"{name}: the next migration is number {expected[:-1]}")
        return names[-1] if names else None
    _refuse_released(root, name)
    if name != names[-1]:
        raise MigrationError(f"{name}: only the newest migration, {names[-1]}, can be refreshed")
    return names[-2] if len(names) > 1 else None


def _refuse_released(root: Path, name: str) -> None:
    if frozen.is_released(root, name):
        raise MigrationError(
            f"{name} is released (migrations/FROZEN lists it) and never changes; "
            "write a new migration"
        )


def _chosen(root: Path, only: Sequence[str]) -> dict[str, str]:
    """Return the files as they shall be after the migration: today's, or those of `only`."""
    today = frozen.source_files(root)
    if not only:
        return today
    files = frozen.newest_frozen(root)
    for path in {*today, *files}:
        if any(path == each or path.startswith(each.rstrip("/") + "/") for each in only):
            files.pop(path, None)
            if path in today:
                files[path] = today[path]
    return {path: files[path] for path in (*today, *files) if path in files}


def _header(name: str, why: str, previous: str | None) -> str:
    return f"-- {name}: {why}\n" + (f"-- depends: {previous}\n" if previous else "")


def _why(root: Path, name: str) -> str:
    """Return the reason that the header of an existing migration states."""
    with frozen.deploy_path(root, name).open(encoding="utf-8") as script:
        found = re.fullmatch(rf"-- {name}: (.+)\n", script.readline())
    if found is None:
        raise MigrationError(f"{name}.sql: the first line is not '-- {name}: why'")
    return found[1]


def _refreshed(path: Path, blocks: tuple[Block, ...], hand: tuple[str, str]) -> Script:
    """Return the script at `path` with new blocks, or a new one around them."""
    if path.exists():
        found = frozen.read_script(path)
        hand = (found.before, found.after)
    return Script(before=hand[0], blocks=blocks, after=hand[1])


def _write_verify_files(root: Path) -> None:
    """Write what each migration's verify file looks for: what it ships and no later one replaces.

    sqitch runs the verify file of every deployed change against the schema of today.
    """
    shipped_later: set[str] = set()
    for name in reversed(frozen.migration_names(root)):
        shipped = frozen.read_script(frozen.deploy_path(root, name)).blocks
        checks = tuple(
            Block(kind="exists", path=block.path, body=_checks(block))
            for block in shipped
            if block.kind == "frozen" and block.path not in shipped_later
        )
        shipped_later |= {block.path for block in shipped}
        path = frozen.verify_path(root, name)
        hand = (f"-- Verify {name}: each query fails if what it names is missing.\n", "")
        _write(path, _refreshed(path, checks, hand))


def _checks(block: Block) -> str:
    return "".join(thing.check for thing in sql_objects.objects(block.path, block.body))


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
    for name in frozen.migration_names(root):
        why = _why(root, name)
        entries.append(f"{name} {requires}{planned.get(name, now)} {PLANNER} # {why}\n")
        requires = f"[{name}] "
    plan.write_text(PLAN_HEADER + "".join(entries), encoding="utf-8")


def _write(path: Path, script: Script) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script.text, encoding="utf-8")


def main() -> int:
    """Write the migration that the arguments name and say what it ships."""
    parser = argparse.ArgumentParser(description="Write a migration out of the changed files.")
    parser.add_argument("name", nargs="?", help="such as 0002-add-cancel (default: the newest)")
    parser.add_argument("--why", help="the reason, one sentence; needed for a new migration")
    parser.add_argument("--only", nargs="+", default=(), help="files or folders to ship now")
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: here)")
    arguments = parser.parse_args()
    root: Path = arguments.root
    try:
        name = arguments.name or newest_unreleased(root)
        change = write_migration(root, name, why=arguments.why or None, only=arguments.only)
    except MigrationError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"migrations/{name}.sql")
    for path in change.changed:
        print(f"  frozen   {path}")
    for path in change.removed:
        print(f"  dropped  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
