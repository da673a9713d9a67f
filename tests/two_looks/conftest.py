"""The engines of tests/procedures, two applications, and somebody who works in the background."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Connection
from tests.procedures.conftest import engine, shared_engine, visit
from tests.procedures.scheduling.marketplace import register

__all__ = ["engine", "shared_engine", "visit"]


@pytest.fixture
def first(connect: Callable[..., Connection]) -> Connection:
    first = connect("payout_app")
    register(first, "seller_1", "seller_2")
    return first


@pytest.fixture
def second(connect: Callable[..., Connection]) -> Connection:
    return connect("payout_app", person=2)
