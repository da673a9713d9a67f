from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tools import prose

SENTENCE = "A transfer is sent to its payee once. "


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("sql/views/a.sql", "-- a: all.\nselect 1; -- What is paid.\n", 2),
        ("sql/tables/a.sql", "comment on table a is\n    'Who is paid.';\n", 2),
        ("worker/a.py", '"""Module."""\n\n\ndef f():\n    """Nobody calls it."""\n', 5),
        ("tests/a.py", "x = 1  # It ends. Whoever waits goes on.\n", 1),
        ("docs/a.md", "# Title\n\nWhat it is.\n", 3),
    ],
)
def test_a_sentence_without_its_subject_is_found(
    tmp_path: Path, path: str, text: str, line: int
) -> None:
    write(tmp_path, path, text)
    filler = {".sql": "-- {}\n", ".py": "# {}\n", ".md": "{}\n"}[Path(path).suffix]
    write(tmp_path, str(Path(path).with_stem("b")), filler.format(SENTENCE * 100) * 2)

    (violation,) = prose.check(tmp_path)

    assert (violation.path, violation.line) == (path, line)
    assert violation.message.startswith("a sentence begins with ")


@pytest.mark.parametrize(
    "text",
    [
        "select 'What is paid.';\n",
        "-- The rest is what was paid.\n",
        "-- Somewhat, whatnot.\n",
        "-- What does it cost?\n",
    ],
)
def test_other_text_is_left_alone(tmp_path: Path, text: str) -> None:
    write(tmp_path, "sql/a.sql", text + f"-- {SENTENCE * 100}\n")

    assert prose.check(tmp_path) == []


def test_a_folder_that_says_what_too_often_is_found(tmp_path: Path) -> None:
    write(tmp_path, "docs/a.md", "This is what is said. " * 3 + SENTENCE * 100)

    assert [str(each) for each in prose.check(tmp_path)] == [
        "docs:1: 'what' 3 times in 815 words; 2 in 1,000 may be"
    ]


def test_an_old_word_is_found_in_code_too(tmp_path: Path) -> None:
    write(tmp_path, "sql/a.sql", "select doorbell, extract(epoch from now());\nselect epoch;\n")

    assert [str(each) for each in prose.check(tmp_path)] == [
        "sql/a.sql:1: doorbell: docs/glossary.md has the word",
        "sql/a.sql:2: epoch: docs/glossary.md has the word",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "It rings the bell",
        "a Gate is open",
        "select payout.call_person(1)",
        "Each finding has a row",
        "all findings are open",
        "by rule K",
    ],
)
def test_a_word_of_before_is_found_wherever_it_stands(tmp_path: Path, text: str) -> None:
    for path in ("Makefile", ".ci/run", "DECISION-LOG.md", "tests/a.sql"):
        write(tmp_path, path, f"-- {text}\n")

    found = [each.path for each in prose.check(tmp_path)]

    assert found == ["tests/a.sql", "DECISION-LOG.md", "Makefile", ".ci/run"]


def test_a_decision_may_tell_a_name_of_before(tmp_path: Path) -> None:
    write(tmp_path, "DECISION-LOG.md", "- `listed_transfers` was `sightings`. \n" + SENTENCE * 9)

    assert prose.check(tmp_path) == []


@pytest.mark.parametrize(
    "text", ["without finding them again", "the gateway", "a rule of the books", "in its place"]
)
def test_a_word_that_only_looks_alike_is_left_alone(tmp_path: Path, text: str) -> None:
    write(tmp_path, "docs/a.md", f"A transfer ends, {text}. " + SENTENCE * 9)

    assert prose.check(tmp_path) == []


def test_the_glossary_has_each_word_once_in_alphabetical_order() -> None:
    rows = (ROOT / "docs/glossary.md").read_text(encoding="utf-8").splitlines()
    words = [row.split(" | ")[0].strip("|` ").replace("-", "") for row in rows if row[:2] == "| "]

    assert words[0] == "Word"
    assert words[1:] == sorted(set(words[1:]))
