"""Mutants: a test runs once more with a rule broken in its database, and then has to fail.

`@mutant` declares on a test which rule it holds and the edit that takes the rule away.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
import pytest
from psycopg.pq import TransactionStatus

ROOT: Final = Path(__file__).resolve().parents[1]
# A guard of the engine or a constraint: the database itself refuses what the mutant tries.
REFUSALS: Final = ("SP", "23")


class Edit(NamedTuple):
    """A piece of the file of a function or view, and the text that replaces it."""

    function: str
    old: str
    new: str


class Mutant(NamedTuple):
    """A broken rule: its name, and the edits and the statements that break it."""

    name: str
    edits: tuple[Edit, ...]
    sql: str
    at: str | None

    def statements(self) -> str:
        """Return the edited functions and the statements, as one script."""
        sources: dict[str, str] = {}
        for function, old, new in self.edits:
            source = sources.get(function) or _source(function)
            found = source.count(old)
            assert found == 1, f"{function} has {old!r} {found} times"
            sources[function] = source.replace(old, new)
        return "\n".join((*sources.values(), self.sql))

    def suits(self, item: pytest.Item) -> bool:
        """Tell whether the item has the set of parameters that the mutant names, if any."""
        ids = f"{self.at}-{_id(self)}", f"{_id(self)}-{self.at}"
        return self.at is None or item.callspec.id in ids  # type: ignore[attr-defined]


def mutant(
    name: str,
    function: str | None = None,
    old: str = "",
    new: str = "",
    *,
    edits: tuple[Edit, ...] = (),
    sql: str = "",
    at: str | None = None,
) -> pytest.MarkDecorator:
    """Declare a mutant that the test kills: one edit of a function, several edits, or statements.

    The old text must be in the function's file exactly once. In a test with parameters, `at` is
    the id of the set that kills the mutant; without it each set has to kill it.
    """
    if function is not None:
        edits = (Edit(function, old, new), *edits)
    return pytest.mark.mutant(Mutant(name, edits, sql, at))


@pytest.fixture(autouse=True)
def broken_by(request: pytest.FixtureRequest) -> Mutant | None:
    """The mutant under which the test runs, or None."""
    found: Mutant | None = getattr(request, "param", None)
    return found


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    config.addinivalue_line("markers", "mutant(mutant): a broken rule under which the test fails")
    config.addinivalue_line(
        "markers", "proof: a mutant, a wide exploration, of the package, with its own server"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make an item for each mutant of a test, beside the test itself."""
    if mutants := [mark.args[0] for mark in metafunc.definition.iter_markers("mutant")]:
        unbroken = pytest.param(None, id=pytest.HIDDEN_PARAM)
        broken = [pytest.param(mutant, id=_id(mutant)) for mutant in mutants]
        if len({mutant.name for mutant in mutants}) < len(mutants):
            raise pytest.UsageError(f"{metafunc.function.__name__} names a mutant twice")
        metafunc.parametrize("broken_by", [unbroken, *broken], indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep a mutant where it belongs; refuse one that is nowhere, or whose name is taken."""
    declared: dict[str, str] = {}
    kept = []
    for item in items:
        for mark in item.iter_markers("mutant"):
            name, test = mark.args[0].name, item.nodeid.partition("[")[0]
            if declared.setdefault(name, test) != test:
                raise pytest.UsageError(f"two mutants are named {name!r}: {declared[name]}, {test}")
        mutant = _mutant_of(item)
        if mutant is None or mutant.suits(item):
            kept.append(item)
        if mutant is not None:
            item.add_marker("proof")
    if not any("::" in argument for argument in config.args):
        proved = {mutant.name for item in kept if (mutant := _mutant_of(item))}
        if lost := sorted(declared.keys() - proved):
            raise pytest.UsageError(f"no set of parameters is named as these mutants say: {lost}")
    items[:] = kept


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Break the rule before the body of a test, which then has to fail by it.

    Another error than a failed assertion or a refusal of the database is the mutant's own.
    """
    mutant = _mutant_of(pyfuncitem)
    if mutant is None:
        return (yield)
    # The doctor would name the mutant: it is then recorded as meant.
    recorded = "select payout.record_catalogue('a mutant')"
    _database_of(pyfuncitem.funcargs).execute(f"{mutant.statements()};{recorded}".encode())
    try:
        yield
    except (AssertionError, pytest.fail.Exception) as error:
        if "pytest-timeout" in str(error):
            raise
        return True
    except psycopg.Error as error:
        if not str(error.sqlstate).startswith(REFUSALS):
            raise
        return True
    pytest.fail(f"the mutant survived: {mutant.name}", pytrace=False)


def _id(mutant: Mutant) -> str:
    return f"mutant: {mutant.name}"


def _source(function: str) -> str:
    (file,) = [*ROOT.glob(f"procedures/*/{function}.sql"), *ROOT.glob(f"sql/views/{function}.sql")]
    return file.read_text(encoding="utf-8")


def _mutant_of(item: pytest.Item) -> Mutant | None:
    callspec = getattr(item, "callspec", None)
    found: Mutant | None = callspec and callspec.params.get("broken_by")
    return found


def _database_of(fixtures: dict[str, Any]) -> Any:
    """Return the connection of the test: to its own database, or in the transaction undone."""
    if "clone" in fixtures:
        return fixtures["clone"]
    connection = fixtures.get("workbench") or fixtures["db"]
    status = connection.info.transaction_status
    assert status is TransactionStatus.INTRANS, "the mutant would stay in the workbench"
    return connection
