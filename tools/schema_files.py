"""The files that define the database, under sql/ and procedures/, in the order in which they run.

PostgreSQL's own parser (pglast) reads which objects a file defines and which it needs first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import psycopg
from pglast import ast, parse_sql
from pglast.enums import FunctionParameterMode
from pglast.parser import ParseError
from pglast.stream import RawStream
from pglast.visitors import Visitor

from payout_engine.errors import UserError

# The folders of procedures/, in the order of a transfer's life: a function calls functions of its
# own floor and of the floors before it.
FLOORS: Final = (
    "common",
    "transfers",
    "identity",
    "wakeup",
    "settle",
    "report",
    "reconcile",
    "claim",
    "audit",
    "sweep",
    "operate",
)
# In this order the files run, unless one needs an object of a later one.
SOURCES: Final = (
    "sql/roles.sql",
    "sql/types.sql",
    "sql/tables",
    "sql/data",
    *(f"procedures/{floor}" for floor in FLOORS),
    "sql/error_codes.sql",
    "sql/views",
)
# Every one of these can run again in a database that has an older version of it.
REPEATABLE: Final = (
    "sql/roles.sql",
    "sql/data/",
    "procedures/",
    "sql/error_codes.sql",
    "sql/views/",
)
SETTINGS: Final = """\
set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;
"""
RECORDER: Final = "procedures/audit/record_catalogue.sql"
OUTPUT_MODES: Final = (
    FunctionParameterMode.FUNC_PARAM_OUT,
    FunctionParameterMode.FUNC_PARAM_TABLE,
)
# The names of the tokens that are comments, as pglast calls them.
COMMENTS: Final = ("SQL_COMMENT", "C_COMMENT")
MARKER: Final = re.compile(r"^-- (frozen|dropped|altered|generated): ", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class SqlObject:
    """Something that a file defines.

    `signature` is its name for ``drop``; `shape` is the part that ``create or replace`` cannot
    change: parameter names, defaults and result of a function.
    """

    kind: str
    name: str
    signature: str
    shape: str = ""

    @property
    def drop(self) -> str:
        """The statement that removes the object; harmless when it is gone."""
        return f"drop {self.kind} if exists {self.signature};\n"


def source_files(root: Path) -> dict[str, str]:
    """Return path (relative to `root`) and text of every file of SOURCES, in its order."""
    files: dict[str, str] = {}
    for source in SOURCES:
        place = root / source
        for file in sorted(place.rglob("*.sql")) if place.is_dir() else [place]:
            if file.is_file():
                files[file.relative_to(root).as_posix()] = file.read_text(encoding="utf-8")
    for path, text in files.items():
        if not text.endswith("\n"):
            raise UserError(f"{path}: the last line has no line end")
        if MARKER.search(text):
            raise UserError(f"{path}: holds a line that looks like a marker of a frozen copy")
    return files


def is_repeatable(path: str) -> bool:
    """Tell whether a file can run again to bring an older database to its present text."""
    return path.startswith(REPEATABLE)


def build(conninfo: str, root: Path) -> None:
    """Build the schema in an empty database out of the files themselves, in one transaction."""
    files = source_files(root)
    with psycopg.connect(conninfo) as connection:
        connection.execute(SETTINGS)
        for path in in_order(files):
            try:
                connection.execute(files[path].encode())
            except psycopg.Error as error:
                error.add_note(f"while running {path}")
                raise
        connection.execute(record(files, "built from the files").encode())


def record(files: Iterable[str], reason: str) -> str:
    """Return the statement that ends each deployment: the doctor compares with what it records."""
    return f"select payout.record_catalogue('{reason}');\n" if RECORDER in files else ""


def parse(path: str, text: str) -> tuple[ast.RawStmt, ...]:
    """Parse a file. Raises UserError with the line of a syntax error."""
    try:
        return tuple(parse_sql(text))
    except ParseError as error:
        message, offset = error.args[0], error.args[1] if len(error.args) > 1 else 0
        line = text.count("\n", 0, offset or 0) + 1
        raise UserError(f"{path}:{line}: {message}") from None


@cache
def objects(path: str, text: str) -> tuple[SqlObject, ...]:
    """Return the objects that a file defines, in the order of the file."""
    return tuple(thing for each in parse(path, text) if (thing := _object(each.stmt)) is not None)


def checks(path: str, text: str) -> list[str]:
    """Return queries that fail when an object of a file does not exist; one for all triggers."""
    kinds = {"function": "regprocedure", "type": "regtype", "domain": "regtype"}
    things = objects(path, text)
    queries = [
        f"select '{thing.signature}'::{kinds.get(thing.kind, 'regclass')};\n"
        for thing in things
        if thing.kind != "trigger"
    ]
    if triggers := [thing for thing in things if thing.kind == "trigger"]:
        tables = sorted({thing.signature.partition(" on ")[2] for thing in triggers})
        queries.append(
            f"select 1 / (count(*) = {len(triggers)})::integer from pg_trigger\n"
            f"where not tgisinternal and tgrelid = any ('{{{','.join(tables)}}}'::regclass[]);\n"
        )
    return queries


def leavings(path: str, *, old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return the statements that run before a file of `new`, or in place of a file that is gone.

    They drop its objects that any file of `old` has in another shape, and the objects of its `old`
    text that no file of `new` has; else they revoke the rights that no file of `new` grants.
    """
    mine = objects(path, new.get(path, ""))
    replaced = {thing.drop for thing in mine}
    defined = {thing.drop for each in new.items() for thing in objects(*each)}
    statements = [
        thing.drop
        for source, text in reversed([*old.items()])
        for thing in reversed(objects(source, text))
        if (thing.drop in replaced and thing not in mine)
        or (source == path and thing.drop not in defined)
    ]
    # A dropped function or view takes its rights along.
    if not statements:
        granted = {grant for each in new.items() for grant in _grants(*each)}
        grants = _grants(path, old.get(path, ""))
        statements = [revoke for grant, revoke in grants.items() if grant not in granted]
    return "".join(statements)


def in_order(files: Mapping[str, str]) -> list[str]:
    """Return the paths so that each file follows those whose objects it names.

    Only objects that must exist when the file runs count: the types of columns and parameters, the
    relations and functions of a view, the function of a trigger; not the text of a function body.
    """
    owner = {
        thing.name: path
        for path, text in files.items()
        for thing in objects(path, text)
        if thing.kind != "trigger"
    }
    needs = {
        path: sorted({owner[name] for name in _names(path, text) if name in owner} - {path})
        for path, text in files.items()
    }
    ordered: dict[str, None] = {}

    def visit(path: str, trail: tuple[str, ...]) -> None:
        if path in trail:
            raise UserError(f"these files need each other: {', '.join((*trail, path))}")
        if path not in ordered:
            for needed in needs[path]:
                visit(needed, (*trail, path))
            ordered[path] = None

    for path in files:
        visit(path, ())
    return list(ordered)


def render(node: ast.Node | None) -> str:
    """Return a node as SQL on one line; our names need no quotes, so lower case is exact."""
    return RawStream()(node).lower() if node else ""


def qualified_name(parts: Iterable[Any] | None) -> str:
    """Return the parts of a name joined by dots."""
    return ".".join(part.sval for part in parts or ())


def _object(statement: ast.Node | None) -> SqlObject | None:
    match statement:
        case ast.CreateFunctionStmt():
            return _function(statement)
        case ast.ViewStmt():
            kind, name = "view", render(statement.view)
        case ast.CreateStmt():
            kind, name = "table", render(statement.relation)
        case ast.CreateSeqStmt():
            kind, name = "sequence", render(statement.sequence)
        case ast.CompositeTypeStmt():
            kind, name = "type", render(statement.typevar).removeprefix("only ")
        case ast.CreateDomainStmt():
            kind, name = "domain", qualified_name(statement.domainname)
        case ast.CreateTrigStmt():
            trigger = str(statement.trigname)
            signature = f"{trigger} on {render(statement.relation)}"
            return SqlObject(kind="trigger", name=trigger, signature=signature)
        case _:
            return None
    return SqlObject(kind=kind, name=name, signature=name)


def _function(function: ast.CreateFunctionStmt) -> SqlObject:
    name = qualified_name(function.funcname)
    parameters = function.parameters or ()
    inputs = [each for each in parameters if each.mode not in OUTPUT_MODES]
    types = ", ".join(render(each.argType) for each in inputs)
    shape = ", ".join(render(each) for each in (*parameters, function.returnType))
    return SqlObject(kind="function", name=name, signature=f"{name}({types})", shape=shape)


@cache
def _grants(path: str, text: str) -> dict[str, str]:
    """Return every grant of a file with the statement that takes it back."""
    found = {}
    for statement in parse(path, text):
        if isinstance(statement.stmt, ast.GrantStmt) and statement.stmt.is_grant:
            grant = render(statement.stmt)
            statement.stmt.is_grant = False
            found[grant] = f"{render(statement.stmt)};\n"
    return found


@cache
def _names(path: str, text: str) -> frozenset[str]:
    collector = _NameCollector()
    collector(parse(path, text))
    return frozenset(collector.names)


class _NameCollector(Visitor):
    """Collects the names of relations, functions and types, save inside function bodies."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_RangeVar(self, _: Any, node: ast.RangeVar) -> None:
        self.names.add(f"{node.schemaname}.{node.relname}")

    def visit_FuncCall(self, _: Any, node: ast.FuncCall) -> None:
        self.names.add(qualified_name(node.funcname))

    def visit_TypeName(self, _: Any, node: ast.TypeName) -> None:
        self.names.add(qualified_name(node.names))

    def visit_CreateTrigStmt(self, _: Any, node: ast.CreateTrigStmt) -> None:
        self.names.add(qualified_name(node.funcname))
