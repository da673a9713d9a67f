"""Claims that name the Stripe account of the key, for the modules that ask for it."""

from __future__ import annotations

from typing import Final

import pytest

from tests.reconcile.listing import with_account

ENGINES: Final = ("engine", "shared_engine")


@pytest.fixture
def names_account(request: pytest.FixtureRequest) -> None:
    """Let the engine of the test claim for the account that is reconciled."""
    for name in ENGINES:
        if name in request.fixturenames:
            with_account(request.getfixturevalue(name))
