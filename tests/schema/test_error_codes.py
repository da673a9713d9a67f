"""The list of errors that callers rely on is the list of errors that are raised."""

from __future__ import annotations

import re
from typing import Final

import pytest

from tests.conftest import ROOT, Connection

# The code of a check of a table or of a domain, where a function speaks for it; and the one that a
# query names for a settlement.
OTHERS: Final = {
    ("refuse_bad_row", "'23514'"),
    ("id_fits", "'23514'"),
    ("refuse_settlement", "v_wrong.code"),
}
# A query names the first thing that is wrong with a settlement, with its code.
QUERY: Final = ROOT / "procedures/settle/settlement_problem.sql"
REACTIONS: Final = {
    "SP1": "stop and alert",
    "SP2": "finish quietly",
    "SP3": "correct the call",
    "SP4": "try later",
}


def raised() -> set[str]:
    """Return every SQLSTATE of ours that a file under procedures/ raises."""
    found = {code.strip("'") for _, code in written() - OTHERS}
    return found | set(re.findall(r"'(SP\d{3})'", QUERY.read_text()))


def written() -> set[tuple[str, str]]:
    """Return each function with the codes that stand in it."""
    return {
        (file.stem, code)
        for file in (ROOT / "procedures").rglob("*.sql")
        for code in re.findall(r"errcode\s*=\s*('\w+'|[\w.]+)", file.read_text())
    }


def test_the_list_has_exactly_the_codes_that_functions_raise(db: Connection) -> None:
    listed = [code for (code,) in db.execute("select sqlstate from payout_api.error_codes")]

    assert len(listed) == len(set(listed))
    assert set(listed) == raised()


def test_no_file_names_a_code_that_is_not_on_the_list() -> None:
    files = [file for folder in ("procedures", "sql") for file in (ROOT / folder).rglob("*.sql")]
    named = {code for file in files for code in re.findall(r"\bSP\d{3}\b", file.read_text())}
    assert named - raised() == set()


def test_every_code_is_of_our_class() -> None:
    # Class SP: Postgres and the standard use no code of it, and psycopg knows none.
    assert [code for code in raised() if not re.fullmatch(r"SP[1-4]\d\d", code)] == []


def test_only_functions_that_speak_for_a_check_raise_its_code() -> None:
    assert written() >= OTHERS
    assert {(name, code) for name, code in written() if not code.startswith("'SP")} == OTHERS


def test_every_exception_has_a_code() -> None:
    for file in sorted((ROOT / "procedures").rglob("*.sql")):
        text = file.read_text()
        statements = re.findall(r"^ *raise exception\b[^;]*;", text, flags=re.MULTILINE)
        codes = ("errcode = '", "errcode = v_wrong.code")
        assert [text for text in statements if not any(code in text for code in codes)] == []


def test_the_third_character_gives_the_reaction_of_the_caller(db: Connection) -> None:
    listed = db.execute("select sqlstate, reaction, meaning from payout_api.error_codes").fetchall()

    for code, reaction, meaning in listed:
        assert (code, reaction) == (code, REACTIONS[code[:3]])
        assert meaning == meaning.strip() != ""


@pytest.mark.parametrize("code", sorted(raised()))
def test_the_header_of_a_file_names_the_code_it_raises(code: str) -> None:
    for file in sorted((ROOT / "procedures").rglob("*.sql")):
        text = file.read_text()
        header, _, body = text.partition("\ncreate or replace ")
        if f"errcode = '{code}'" in body:
            assert code in header, f"{file.relative_to(ROOT)} raises {code}"
