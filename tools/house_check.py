"""Holds the SQL, the calls between floors and the prose to the style of this project.

It reads SQL with PostgreSQL's own parser and scanner (pglast) and prints the map of the calls
between floors and one line for each violation: file, line, the fault.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pglast import ast
from pglast.enums import ObjectType
from pglast.parser import scan

from payout_engine.errors import UserError
from tools import floors, prose, schema_files
from tools.schema_files import COMMENTS, OUTPUT_MODES, qualified_name, render
from tools.violation import Violation

ERROR_CODES: Final = "sql/error_codes.sql"
# No part of the schema: what operators run by hand, and the rights on the queue.
NOT_BUILT: Final = ("sql/ops/", "sql/queue_grants.sql")
LONGEST_LINE: Final = 100
LONGEST_BODY: Final = 60
MOST_VARIABLES: Final = 6
QUEUE_FOLDER: Final = "procedures/wakeup/"
# Settings that say how values are written; a digest of rows must not depend on the session's.
FORMATS: Final = (
    "search_path",
    "timezone",
    "intervalstyle",
    "bytea_output",
    "quote_all_identifiers",
)
ATTRIBUTE_ORDER: Final = ("language", "volatility", "strict", "security", "set", "as")


@dataclass(frozen=True, kw_only=True)
class Word:
    """A token outside of comments; `text` is its spelling, `line` counts from 1."""

    text: str
    line: int
    is_name: bool


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file, its statements, and where they start."""

    path: str
    text: str
    statements: tuple[ast.RawStmt, ...]

    @property
    def stem(self) -> str:
        """The name that the file's function or view must have."""
        return Path(self.path).stem

    @property
    def is_view(self) -> bool:
        """Whether the file defines a view."""
        return self.path.startswith("sql/views/") or self.path == ERROR_CODES

    @property
    def has_one_object(self) -> bool:
        """Whether the file defines one object and is named after it."""
        return self.is_view or self.path.startswith("procedures/")

    @property
    def main(self) -> ast.RawStmt | None:
        """The first statement of the kind that the file exists for."""
        kind = ast.ViewStmt if self.is_view else ast.CreateFunctionStmt
        return next((each for each in self.statements if isinstance(each.stmt, kind)), None)

    def line(self, offset: int) -> int:
        """Return the line of a character."""
        return self.text.count("\n", 0, offset) + 1

    def start(self, statement: ast.RawStmt) -> int:
        """Return the line on which a statement starts, comments before it not counted."""
        offset = statement.stmt_location or 0
        for token in scan(self.text[offset:]):
            if token.name not in COMMENTS:
                return self.line(offset + token.start)
        return self.line(offset)

    def found(self, line: int, message: str) -> Violation:
        """Return a violation in this file."""
        return Violation(self.path, line, message)


def check_tree(root: Path) -> list[Violation]:
    """Return every violation under `root`, by file and line."""
    files = schema_files.source_files(root)
    violations = [
        Violation(path, 1, "stands where neither the build nor a migration reads it")
        for place in ("procedures", "sql")
        for file in (root / place).rglob("*")
        if file.is_file() and (path := file.relative_to(root).as_posix()) not in files
        if not path.startswith(NOT_BUILT)
    ]
    for path, text in files.items():
        violations += check_file(path, text)
    violations += floors.check(files)
    violations += floors.check_imports(root)
    violations += prose.check(root)
    return sorted(violations)


def check_file(path: str, text: str) -> list[Violation]:
    """Return the violations in one file."""
    try:
        statements = schema_files.parse(path, text)
    except UserError as error:
        _, line, message = str(error).split(":", 2)
        return [Violation(path, int(line), message.strip())]
    file = SourceFile(path=path, text=text, statements=statements)
    violations = [*_check_text(file), *_check_triggers(file), *_check_tables(file)]
    if file.has_one_object:
        violations += _check_main(file)
    if file.main is not None and isinstance(file.main.stmt, ast.CreateFunctionStmt):
        violations += _check_function(file, file.main.stmt)
    return violations


def _check_text(file: SourceFile) -> Iterator[Violation]:
    if not re.match(rf"-- {re.escape(file.stem)}: \S.*\.\n", file.text):
        yield file.found(1, f"the first line is not '-- {file.stem}: one sentence.'")
    for number, line in enumerate(file.text.splitlines(), start=1):
        if len(line) > LONGEST_LINE:
            yield file.found(number, f"the line has {len(line)} characters, {LONGEST_LINE} may be")
        if "\t" in line or line != line.rstrip():
            yield file.found(number, "a tab, or blanks at the end of the line")
    for word in _words(file.text):
        if word.is_name and word.text != word.text.lower():
            yield file.found(word.line, f"{word.text} is not in lower case")


def _check_main(file: SourceFile) -> Iterator[Violation]:
    kind = "view" if file.is_view else "function"
    main = file.main
    mains = [each for each in file.statements if isinstance(each.stmt, type(main and main.stmt))]
    if main is None or len(mains) != 1:
        yield file.found(1, f"a file defines one {kind}, this one {len(mains) if main else 0}")
        return
    statement = main.stmt
    line = file.start(main)
    assert isinstance(statement, ast.CreateFunctionStmt | ast.ViewStmt)
    name = (
        qualified_name(statement.funcname)
        if isinstance(statement, ast.CreateFunctionStmt)
        else render(statement.view)
    )
    schema, _, bare = name.rpartition(".")
    if bare != file.stem:
        yield file.found(line, f"the {kind} {bare} is in a file of another name")
    if not schema:
        yield file.found(line, f"the {kind} {bare} is created without a schema")
    elif file.is_view and schema != "payout_api":
        yield file.found(line, f"the view {bare} is not in the schema payout_api")
    if not statement.replace:
        yield file.found(line, f"'create {kind}' instead of 'create or replace {kind}'")
    yield from _check_comment(file, main, kind)


def _check_comment(file: SourceFile, main: ast.RawStmt, kind: str) -> Iterator[Violation]:
    position = file.statements.index(main)
    after = file.statements[position + 1] if position + 1 < len(file.statements) else None
    wanted = ObjectType.OBJECT_VIEW if kind == "view" else ObjectType.OBJECT_FUNCTION
    line = file.line((main.stmt_location or 0) + (main.stmt_len or 0))
    if (
        after is None
        or not isinstance(after.stmt, ast.CommentStmt)
        or after.stmt.objtype != wanted
        or file.start(after) != line + 1
    ):
        yield file.found(line, f"'comment on {kind}' does not stand directly under the {kind}")


def _check_triggers(file: SourceFile) -> Iterator[Violation]:
    for statement in file.statements:
        if not isinstance(statement.stmt, ast.CreateTrigStmt):
            continue
        trigger, line = statement.stmt, file.start(statement)
        if not re.fullmatch(r"_\d{3}_[a-z_]+", trigger.trigname or ""):
            yield file.found(line, f"the trigger {trigger.trigname} is not named _NNN_rule")
        if not file.path.startswith("sql/tables/"):
            yield file.found(line, f"the trigger {trigger.trigname} does not stand with its table")
        if not trigger.relation or not trigger.relation.schemaname:
            yield file.found(line, f"the table of {trigger.trigname} has no schema")


def _check_tables(file: SourceFile) -> Iterator[Violation]:
    """Look for tables, types and domains without a comment under them, and tables elsewhere."""
    kinds = (ast.CreateStmt, ast.CompositeTypeStmt, ast.CreateDomainStmt, ast.CreateSeqStmt)
    for position, statement in enumerate(file.statements):
        if not isinstance(statement.stmt, kinds):
            continue
        line = file.start(statement)
        is_of_table = isinstance(statement.stmt, ast.CreateStmt | ast.CreateSeqStmt)
        if is_of_table != file.path.startswith("sql/tables/"):
            yield file.found(line, "a table stands in sql/tables/, a type in sql/types.sql")
        after = file.statements[position + 1 : position + 2]
        if not after or not isinstance(after[0].stmt, ast.CommentStmt):
            yield file.found(line, "no 'comment on' stands directly under it")


def _check_function(file: SourceFile, function: ast.CreateFunctionStmt) -> Iterator[Violation]:
    assert file.main is not None
    name = qualified_name(function.funcname)
    line = file.start(file.main)
    # Several settings may be set; the search_path is the first of them.
    options = {option.defname: option for option in reversed(function.options or ())}
    language = options["language"].arg.sval if "language" in options else None
    if language not in ("sql", "plpgsql"):
        yield file.found(line, f"the language is {language}, not sql or plpgsql")
    if "volatility" not in options:
        yield file.found(line, f"{name} does not say whether it is volatile, stable or immutable")
    order = [each.defname for each in function.options or () if each.defname in ATTRIBUTE_ORDER]
    if order != sorted(order, key=ATTRIBUTE_ORDER.index):
        yield file.found(line, f"the attributes stand in another order: {', '.join(order)}")
    yield from _check_settings(file, name, function, line)
    for parameter in function.parameters or ():
        is_input = parameter.mode not in OUTPUT_MODES
        if is_input and not (parameter.name or "").startswith("p_"):
            yield file.found(line, f"the parameter {parameter.name} does not start with p_")
    if "as" in options:
        body = options["as"].arg[0].sval
        line = file.line(file.text.index(body, file.main.stmt_location or 0))
        yield from _check_body(file, body, line, language)


def _check_settings(
    file: SourceFile, name: str, function: ast.CreateFunctionStmt, line: int
) -> Iterator[Violation]:
    """Look for private functions that turn a method of the planner off: a public caller does.

    A function that reads whole tables may turn one on again.
    """
    if name.startswith("payout_api.") or file.stem.startswith("tg_"):
        return
    for option in function.options or ():
        if option.defname != "set" or option.arg.name in FORMATS:
            continue
        if option.arg.name == "lock_timeout" and file.path.startswith(QUEUE_FOLDER):
            continue
        if render(option.arg).split()[-1].strip("'") != "on":
            yield file.found(line, f"{name} sets {option.arg.name}: its public callers may")


def _check_body(
    file: SourceFile, body: str, first_line: int, language: str | None
) -> Iterator[Violation]:
    length = len(body.strip("\n").splitlines())
    if length > LONGEST_BODY:
        yield file.found(first_line, f"the body has {length} lines, {LONGEST_BODY} may be")
    words = [*_words(body, first_line=first_line)]
    for word in words:
        if word.is_name and word.text != word.text.lower():
            yield file.found(word.line, f"{word.text} is not in lower case")
    if language == "plpgsql":
        yield from _check_statements(file, words)
        yield from _check_variables(file, words, first_line)


def _check_statements(file: SourceFile, words: list[Word]) -> Iterator[Violation]:
    """Look for code that swallows all errors, builds SQL, or raises without a code."""
    texts = [word.text for word in words]
    for position, word in enumerate(words):
        match texts[position : position + 2]:
            case ["when", "others"] if not file.path.startswith(QUEUE_FOLDER):
                yield file.found(word.line, "'when others' hides every bug: name the condition")
            case ["execute", _]:
                yield file.found(word.line, "'execute' runs SQL that no check can read")


def _check_variables(file: SourceFile, words: list[Word], first_line: int) -> Iterator[Violation]:
    names: list[Word] = []
    is_declaring = starts_declaration = False
    for word in words:
        if word.text in ("declare", "begin"):
            is_declaring = starts_declaration = word.text == "declare"
            continue
        if is_declaring and starts_declaration:
            names.append(word)
        starts_declaration = word.text == ";"
    for name in names:
        if not name.text.startswith("v_"):
            yield file.found(name.line, f"the variable {name.text} does not start with v_")
    if len(names) > MOST_VARIABLES:
        yield file.found(first_line, f"{len(names)} variables, {MOST_VARIABLES} may be")


def _words(text: str, *, first_line: int = 1) -> Iterator[Word]:
    for token in scan(text):
        if token.name not in COMMENTS:
            spelling = text[token.start : token.end + 1]
            yield Word(
                text=spelling,
                line=first_line + text.count("\n", 0, token.start),
                is_name=spelling[0].isalpha() and not spelling.endswith("'"),
            )


def main() -> int:
    """Print the map of the floors and each departure from the house style; 1 if there is one."""
    parser = argparse.ArgumentParser(description="Check procedures/ and sql/ for house style.")
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout (default: here)")
    root: Path = parser.parse_args().root
    try:
        files = schema_files.source_files(root)
        violations = check_tree(root)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print(floors.drawn(files))
    print(prose.counted(root))
    for violation in violations:
        print(violation)
    print(f"house check: {len(files)} files, {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
