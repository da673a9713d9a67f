"""Every rule that keeps money safe is missed when it is taken away: no mutant of it survives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import psycopg
import pytest

from tests.conftest import Connection
from tests.engine import Engine
from tests.mutants.mutants import (
    CONCURRENT_MUTANTS,
    MUTANTS,
    ConcurrentMutant,
    Mutant,
    edited,
)
from tests.mutants.probes import Probe

PROBES: Final = list(dict.fromkeys(mutant.probe for mutant in MUTANTS))
CONCURRENT_PROBES: Final = list(dict.fromkeys(mutant.probe for mutant in CONCURRENT_MUTANTS))
# A guard of the engine, or a constraint: the database itself refuses what the mutant tries.
REFUSALS: Final = ("SP", "23")


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.__name__)
def test_the_engine_passes(workbench: Connection, probe: Probe) -> None:
    with workbench.transaction(force_rollback=True):
        probe(Engine(workbench))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_does_not_survive(workbench: Connection, mutant: Mutant) -> None:
    with workbench.transaction(force_rollback=True):
        mutant.apply(workbench)
        assert_caught(lambda: mutant.probe(Engine(workbench)))


@pytest.mark.parametrize("probe", CONCURRENT_PROBES, ids=lambda probe: probe.__name__)
def test_the_engine_passes_between_connections(
    db: Connection,
    connect: Callable[..., Connection],
    probe: Callable[[Engine, Callable[..., Connection]], None],
) -> None:
    probe(Engine(db, worker=connect("payout_worker")), connect)


@pytest.mark.parametrize("mutant", CONCURRENT_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_does_not_survive_between_connections(
    db: Connection, connect: Callable[..., Connection], mutant: ConcurrentMutant
) -> None:
    db.execute(edited(mutant.edit))
    engine = Engine(db, worker=connect("payout_worker"))
    assert_caught(lambda: mutant.probe(engine, connect))


def test_the_mutants_have_names_of_their_own() -> None:
    names = [mutant.name for mutant in MUTANTS] + [mutant.name for mutant in CONCURRENT_MUTANTS]
    assert len(set(names)) == len(names)


def assert_caught(probe: Callable[[], None]) -> None:
    """Fail unless the probe fails, or the database refuses; any other error is the mutant's own."""
    with pytest.raises((AssertionError, psycopg.Error, pytest.fail.Exception)) as caught:
        probe()
    if isinstance(caught.value, psycopg.Error):
        assert str(caught.value.sqlstate).startswith(REFUSALS), caught.value
