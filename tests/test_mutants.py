"""The proof of a mutant: it fails when the test does not notice, and when it proves nothing."""

from __future__ import annotations

import pytest

from tests.mutants import Edit, Mutant

pytest_plugins = ["pytester"]

DATABASE = """
import psycopg
import pytest
from types import SimpleNamespace
from psycopg.pq import TransactionStatus
from tests.mutants import mutant

@pytest.fixture
def db():
    info = SimpleNamespace(transaction_status=TransactionStatus.INTRANS)
    broken = []
    return SimpleNamespace(info=info, execute=broken.append, broken=broken)
"""


def run(pytester: pytest.Pytester, test: str) -> pytest.RunResult:
    """Run a test module under the plugin."""
    pytester.makepyfile(DATABASE + test)
    return pytester.runpytest_inprocess("-p", "tests.mutants", "-p", "no:xdist")


def test_a_text_that_is_not_there_once_is_an_error() -> None:
    for old in ("nowhere", "v_now"):
        edit = Edit("claim_transfers", old, "")
        with pytest.raises(AssertionError, match="claim_transfers has"):
            Mutant("void", (edit,), "", None).statements()


def test_a_mutant_that_the_test_notices_is_proved(pytester: pytest.Pytester) -> None:
    found = run(
        pytester,
        """
@mutant("seen", sql="select 1", at="b")
@pytest.mark.parametrize("letter", ["a", "b"])
def test_it(db, letter):
    assert not db.broken
""",
    )
    found.assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("pass", "the mutant survived: unseen"),
        ("assert not db.broken or 1 / 0", "ZeroDivisionError"),
        ("if db.broken: raise psycopg.errors.SyntaxError", "SyntaxError"),
    ],
    ids=["survived", "an error of its own", "another error of the database"],
)
def test_another_end_of_the_test_fails_the_proof(
    pytester: pytest.Pytester, body: str, told: str
) -> None:
    found = run(pytester, f'\n@mutant("unseen", sql="select 1")\ndef test_it(db):\n    {body}\n')
    found.assert_outcomes(passed=1, failed=1)
    found.stdout.fnmatch_lines([f"*{told}*"])


@pytest.mark.parametrize(
    ("test", "told"),
    [
        ("", "two mutants are named 'same'"),
        ("_x", "no set of parameters is named as these mutants say"),
    ],
    ids=["a name that is taken", "a set of parameters that is not there"],
)
def test_a_mutant_that_proves_nothing_stops_the_run(
    pytester: pytest.Pytester, test: str, told: str
) -> None:
    at = ', at="b"' if test else ""
    other = "" if test else '@mutant("same", sql="select 1")\ndef test_other(db): pass\n'
    found = run(
        pytester, f'\n@mutant("same", sql="select 1"{at})\ndef test_it{test}(db): pass\n{other}'
    )
    found.stderr.fnmatch_lines([f"*{told}*"])
