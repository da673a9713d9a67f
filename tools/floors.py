"""The floors of procedures/: which function calls which, and that no call leads to a later floor.

The Python packages have floors too: the package that users install imports none of the rest.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pglast import ast as sql_ast
from pglast.parser import scan

from tools import schema_files
from tools.schema_files import COMMENTS, FLOORS
from tools.violation import Violation

SCHEMAS: Final = ("payout", "payout_api")
# Which of our packages the modules of a folder may import, beside those of their own.
IMPORTS: Final[Mapping[str, tuple[str, ...]]] = {
    "worker": ("payout_engine",),
    "sandbox": ("payout_engine", "payout_engine_sandbox"),
    "bench": ("payout_engine", "payout_engine_sandbox", "bench"),
    "tools": ("payout_engine", "payout_engine_sandbox", "tools"),
}
OURS: Final = ("payout_engine", "payout_engine_sandbox", "bench", "tools", "tests")


class Call(NamedTuple):
    """A call of one of our functions in the body of another."""

    path: str
    line: int
    caller_floor: str
    function: str
    floor: str

    @property
    def leads_up(self) -> bool:
        """Whether the function called stands on a later floor than its caller."""
        return FLOORS.index(self.floor) > FLOORS.index(self.caller_floor)


def calls(files: Mapping[str, str]) -> list[Call]:
    """Return every call between our functions, each once for each caller."""
    homes = {Path(path).stem: _floor(path) for path in files if _floor(path)}
    found: dict[tuple[str, str], Call] = {}
    for path, text in files.items():
        if not _floor(path):
            continue
        for function, line in _called(path, text):
            if function in homes and function != Path(path).stem:
                call = Call(path, line, _floor(path), function, homes[function])
                found.setdefault((path, function), call)
    return list(found.values())


def check(files: Mapping[str, str]) -> Iterator[Violation]:
    """Look for calls to a later floor, and for files on no floor."""
    for path in files:
        if path.startswith("procedures/") and _floor(path) not in FLOORS:
            yield Violation(path, 1, f"procedures/{_floor(path)}/ is not one of the floors")
    for call in calls(files):
        if call.leads_up:
            yield Violation(
                call.path,
                call.line,
                f"{call.caller_floor} calls {call.function} of the later floor {call.floor}",
            )


def check_imports(root: Path) -> Iterator[Violation]:
    """Look for imports of our own packages that a folder may not make."""
    for folder, allowed in IMPORTS.items():
        for file in sorted((root / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_bytes())):
                for name in _imported(node):
                    if name in OURS and name not in allowed:
                        path = file.relative_to(root).as_posix()
                        yield Violation(path, getattr(node, "lineno", 1), f"imports {name}")


def drawn(files: Mapping[str, str]) -> str:
    """Return the map: each floor with its functions and the calls that it makes to others."""
    sizes = Counter(_floor(path) for path in files if _floor(path))
    between = Counter((call.caller_floor, call.floor) for call in calls(files))
    lines = [f"{'floor':<10} {'functions':>9}  calls"]
    for floor in FLOORS:
        to = [f"{other} {between[floor, other]}" for other in FLOORS if between[floor, other]]
        to = [f"itself {between[floor, floor]}"] * bool(between[floor, floor]) + [
            each for each in to if not each.startswith(f"{floor} ")
        ]
        lines.append(f"{floor:<10} {sizes[floor]:>9}  {', '.join(to) or '-'}".rstrip())
    crossing = sum(count for (one, other), count in between.items() if one != other)
    lines.append(f"{crossing} call{'s' * (crossing != 1)} between floors, none to a later one")
    return "\n".join(lines)


def _floor(path: str) -> str:
    """Return the folder of a file below procedures/; empty for other files."""
    parts = path.split("/")
    return parts[1] if parts[0] == "procedures" and len(parts) == 3 else ""


def _called(path: str, text: str) -> Iterator[tuple[str, int]]:
    """Yield the functions that the bodies of a file name before a parenthesis, with their lines."""
    for statement in schema_files.parse(path, text):
        if not isinstance(statement.stmt, sql_ast.CreateFunctionStmt):
            continue
        texts = (o.arg[0].sval for o in statement.stmt.options or () if o.defname == "as")
        body = next(texts, text)  # one that only returns an expression has none of its own
        first_line = text.count("\n", 0, text.index(body)) + 1
        tokens = [token for token in scan(body) if token.name not in COMMENTS]
        words = [body[token.start : token.end + 1] for token in tokens]
        for position in range(len(words) - 3):
            schema, dot, function, parenthesis = words[position : position + 4]
            if schema in SCHEMAS and dot == "." and parenthesis == "(":
                yield function, first_line + body.count("\n", 0, tokens[position].start)


def _imported(node: ast.AST) -> list[str]:
    """Return the top-level packages that a node imports."""
    match node:
        case ast.Import():
            return [alias.name.partition(".")[0] for alias in node.names]
        case ast.ImportFrom():
            return [(node.module or "").partition(".")[0]]
    return []
