"""The engine, with workers that name the Stripe account of their key in each claim."""

from __future__ import annotations

import pytest

from tests.engine import Engine
from tests.reconcile.listing import with_account


@pytest.fixture(name="engine")
def engine_with_account(engine: Engine) -> Engine:
    """An engine for one test, which is undone."""
    return with_account(engine)


@pytest.fixture(name="shared_engine")
def shared_engine_with_account(shared_engine: Engine) -> Engine:
    """An engine in a database of its own, for more than one connection."""
    return with_account(shared_engine)
