"""What a file of SQL defines and needs, read with PostgreSQL's own parser (pglast).

It serves the migration writer: the order of frozen copies, and the statements that take away what
an older text of a file held and a newer one does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from pglast import ast, parse_sql
from pglast.enums import FunctionParameterMode
from pglast.parser import ParseError
from pglast.stream import RawStream
from pglast.visitors import Visitor

from tools.frozen import MigrationError

OUTPUT_MODES: Final = (
    FunctionParameterMode.FUNC_PARAM_OUT,
    FunctionParameterMode.FUNC_PARAM_TABLE,
)


@dataclass(frozen=True, kw_only=True)
class SqlObject:
    """A function, view or trigger that a file defines.

    `signature` is how ``drop`` names it; `shape` is what ``create or replace`` cannot change:
    parameter names, defaults and result of a function.
    """

    kind: str
    name: str
    signature: str
    shape: str = ""

    @property
    def drop(self) -> str:
        """The statement that removes the object; harmless when it is gone."""
        return f"drop {self.kind} if exists {self.signature};\n"

    @property
    def check(self) -> str:
        """A query that fails when the object does not exist."""
        if self.kind == "function":
            return f"select '{self.signature}'::regprocedure;\n"
        if self.kind == "view":
            return f"select '{self.signature}'::regclass;\n"
        trigger, _, table = self.signature.partition(" on ")
        return (
            "select 1 / count(*) from pg_trigger\n"
            f"where tgrelid = '{table}'::regclass and tgname = '{trigger}';\n"
        )


def parse(path: str, text: str) -> tuple[ast.RawStmt, ...]:
    """Parse a file. Raises MigrationError with the line of a syntax error."""
    try:
        return tuple(parse_sql(text))
    except ParseError as error:
        message, offset = error.args[0], error.args[1] if len(error.args) > 1 else 0
        line = text.count("\n", 0, offset or 0) + 1
        raise MigrationError(f"{path}:{line}: {message}") from None


@cache
def objects(path: str, text: str) -> tuple[SqlObject, ...]:
    """Return what a file defines, in the order of the file."""
    found: list[SqlObject] = []
    for statement in parse(path, text):
        match statement.stmt:
            case ast.CreateFunctionStmt() as function:
                found.append(_function(function))
            case ast.ViewStmt() as view:
                name = render(view.view)
                found.append(SqlObject(kind="view", name=name, signature=name))
            case ast.CreateTrigStmt() as trigger:
                name = str(trigger.trigname)
                signature = f"{name} on {render(trigger.relation)}"
                found.append(SqlObject(kind="trigger", name=name, signature=signature))
    return tuple(found)


def leavings(path: str, *, old: str, new: str) -> str:
    """Return the statements that take away what the text `old` left and `new` does not replace.

    Objects that only `old` has, or has in another shape, are dropped, the last one first; rights
    that only `old` grants are revoked.
    """
    kept = objects(path, new)
    dropped = [thing for thing in reversed(objects(path, old)) if thing not in kept]
    statements = [thing.drop for thing in dropped]
    # A dropped function or view takes its rights along.
    if all(thing.kind == "trigger" for thing in dropped):
        granted = _grants(path, new)
        statements += [
            revoke for grant, revoke in _grants(path, old).items() if grant not in granted
        ]
    return "".join(statements)


def in_order(files: Mapping[str, str]) -> list[str]:
    """Return the paths so that each file follows those whose objects it names.

    Only what must exist when the file runs counts: types of parameters, relations and functions
    of a view, the function of a trigger; not what a function's body names.
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
    ordered: list[str] = []

    def visit(path: str, trail: tuple[str, ...]) -> None:
        if path in trail:
            raise MigrationError(f"these files need each other: {', '.join((*trail, path))}")
        if path not in ordered:
            for needed in needs[path]:
                visit(needed, (*trail, path))
            ordered.append(path)

    for path in files:
        visit(path, ())
    return ordered


def render(node: ast.Node | None) -> str:
    """Return a node as SQL on one line; our names need no quotes, so lower case is exact."""
    return RawStream()(node).lower() if node else ""


def qualified_name(parts: Iterable[Any] | None) -> str:
    """Return the parts of a name joined by dots."""
    return ".".join(part.sval for part in parts or ())


def _function(function: ast.CreateFunctionStmt) -> SqlObject:
    name = qualified_name(function.funcname)
    parameters = function.parameters or ()
    inputs = [each for each in parameters if each.mode not in OUTPUT_MODES]
    types = ", ".join(render(each.argType) for each in inputs)
    shape = ", ".join(render(each) for each in (*parameters, function.returnType))
    return SqlObject(kind="function", name=name, signature=f"{name}({types})", shape=shape)


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
