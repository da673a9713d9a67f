"""The engine, with workers that name the Stripe account of their key in each claim."""

from __future__ import annotations

from functools import partial

import pytest

from tests.procedures.engine import Engine
from tests.procedures.reconcile.listing import ACCOUNT


def with_account(engine: Engine) -> Engine:
    """Let every claim of the engine name the account that is reconciled."""
    engine.claim = partial(engine.claim, account=(ACCOUNT, False))  # type: ignore[method-assign]
    return engine


@pytest.fixture(name="engine")
def engine_with_account(engine: Engine) -> Engine:
    """An engine for one test, which is undone."""
    return with_account(engine)


@pytest.fixture(name="shared_engine")
def shared_engine_with_account(shared_engine: Engine) -> Engine:
    """An engine in a database of its own, for more than one connection."""
    return with_account(shared_engine)
