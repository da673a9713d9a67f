"""Checks the prose: sentences without a subject, the word "what", words that are not used here.

Prose is the comments of SQL and Python, docstrings, `comment on` and the documents. In code
only the words are looked for.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from pglast.parser import scan

from tools.schema_files import COMMENTS
from tools.violation import Violation

FOLDERS: Final = (
    "sql", "procedures", "worker", "sandbox", "tools", "tests", "bench", "docs",
)  # fmt: skip
DECISIONS: Final = "DECISION-LOG.md"
DOCUMENTS: Final = (
    "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", DECISIONS,
    "Makefile", ".ci/run",
)  # fmt: skip
MOST_WHATS: Final = 2.0
"""In 1,000 words."""
WORD: Final = re.compile(r"[A-Za-z][A-Za-z'-]*")
# A sentence begins with its subject; a worker or a row is a thing.
OPENING: Final = re.compile(
    r"(?:^|[.:;!?] )(What|Who|Whoever|Whatever|Nobody|Somebody|Anybody)\b(?!.{0,60}\?)"
)
# The glossary has the words to use in their place.
OLD_WORDS: Final = re.compile(
    r"\b((?:door)?bells?|sightings?|epochs?|findings|(?:a|an|each|every|no|one|the) finding|gates?"
    r"|call(?:s|ed|ing)?[_ ](?:a[_ ])?person|calls? people|(?-i:rule [A-Z]))\b",
    re.IGNORECASE,
)
# PostgreSQL's own word for the seconds since 1970.
SECONDS_SINCE_1970: Final = re.compile(r"extract\(epoch from|'epoch'")
QUOTED: Final = re.compile(r"`[^`]*`")
# The files that name the old words.
THEMSELVES: Final = ("tools/prose.py", "tests/tools/test_prose.py", "docs/style.md")


class Line(NamedTuple):
    """A line of prose and where it stands."""

    path: str
    line: int
    text: str


def check(root: Path) -> list[Violation]:
    """Return sentences that open wrongly, old words, and the folders with too many whats."""
    found = []
    for line in lines(root):
        if opening := OPENING.search(line.text):
            found.append(Violation(line.path, line.line, f"a sentence begins with {opening[1]}"))
    for path, text in _texts(root):
        for number, row in enumerate(text.splitlines(), start=1):
            # A decision may name things as they were called before.
            row = QUOTED.sub("", row) if path == DECISIONS else row
            word = OLD_WORDS.search(SECONDS_SINCE_1970.sub("", row))
            if word and path not in THEMSELVES:
                found.append(Violation(path, number, f"{word[1]}: docs/glossary.md has the word"))
    for folder, (words, whats) in _counts(root).items():
        if words and 1000 * whats / words > MOST_WHATS:
            message = f"'what' {whats} times in {words} words; {MOST_WHATS:g} in 1,000 may be"
            found.append(Violation(folder, 1, message))
    return found


def counted(root: Path) -> str:
    """Return a line with the share of the word in the prose of each folder."""
    counts = _counts(root)
    told = [
        f"{folder} {1000 * whats / words:.1f}" for folder, (words, whats) in counts.items() if words
    ]
    return f"'what' in 1,000 words: {', '.join(told)}"


@cache
def lines(root: Path) -> tuple[Line, ...]:
    """Return all prose, line by line."""
    found: list[Line] = []
    for path, text in _texts(root):
        match Path(path).suffix:
            case ".sql":
                found += (Line(path, *each) for each in _of_sql(text))
            case ".py":
                found += (Line(path, *each) for each in _of_python(text))
            case ".md":
                found += (Line(path, *each) for each in _of_document(text))
    return tuple(found)


def _counts(root: Path) -> dict[str, tuple[int, int]]:
    counts: dict[str, tuple[int, int]] = {}
    for line in lines(root):
        words = [word.lower() for word in WORD.findall(line.text)]
        folder = line.path.partition("/")[0] if "/" in line.path else "documents"
        before = counts.get(folder, (0, 0))
        counts[folder] = (before[0] + len(words), before[1] + words.count("what"))
    return counts


def _texts(root: Path) -> Iterator[tuple[str, str]]:
    files = [
        file
        for folder in FOLDERS
        for file in sorted((root / folder).rglob("*"))
        if file.suffix in (".sql", ".py", ".md") and "__pycache__" not in file.parts
    ]
    for file in (*files, *(root / name for name in DOCUMENTS)):
        if file.is_file():
            yield file.relative_to(root).as_posix(), file.read_text(encoding="utf-8")


def _of_sql(text: str) -> Iterator[tuple[int, str]]:
    """Yield the comments of a file and the texts of its `comment on`."""
    is_comment_on = False
    before = ""
    for token in scan(text):
        spelling = text[token.start : token.end + 1]
        line = text.count("\n", 0, token.start) + 1
        if token.name in COMMENTS:
            yield line, spelling.lstrip("- ")
            continue
        if spelling.lower() == "comment" and before in ("", ";"):
            is_comment_on = True
        elif is_comment_on and token.name == "SCONST":
            yield line, spelling.strip("'")
        is_comment_on = is_comment_on and spelling != ";"
        before = spelling


def _of_python(text: str) -> Iterator[tuple[int, str]]:
    """Yield the comments and docstrings of a module."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, kinds) and ast.get_docstring(node) and node.body:
            for number, row in enumerate((ast.get_docstring(node) or "").splitlines()):
                yield node.body[0].lineno + number, row.strip()


def _of_document(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a document outside of code blocks."""
    is_code = False
    for number, row in enumerate(text.splitlines(), start=1):
        if row.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code:
            yield number, QUOTED.sub("", row)
