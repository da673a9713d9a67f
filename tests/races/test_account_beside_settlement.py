"""An account is registered while a settlement of its payee is being scheduled.

Neither waits for the other. A settlement that did not see the account, and an account that did not
see its transfer, are brought together by the sweep.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from tests.conftest import Connection
from tests.engine import Engine
from tests.mutants import mutant
from tests.schema.refusals import wait_until_blocked
from tests.settle.marketplace import complete, line, refused, register, settle

LINES: Final = [line("1", "newcomer", 100)]
# The settlement waits at the end of its look for accounts, the registration at its end.
PAUSE_SETTLEMENT: Final = (
    "alter function payout.owed_transfers(payout.settlements) rename to owed_at_once; "
    "create function payout.owed_transfers(p_settlement payout.settlements) returns table "
    "(payee_id payout.external_id, source_transaction text, amount_minor bigint, "
    "has_account boolean) language plpgsql as $$ begin return query "
    "select * from payout.owed_at_once(p_settlement); perform pg_advisory_xact_lock(1); end $$; "
    "select pg_advisory_lock(1)"
)
GO_ON: Final = "select pg_advisory_unlock(1)"
LEVELS: Final = ["read committed", "repeatable read", "serializable"]


def dated(db: Connection) -> list[tuple[Any, ...]]:
    return db.execute(
        "select state, reason, next_attempt_at <= payout.clock() from payout.transfer_states"
    ).fetchall()


def set_level(session: Connection, level: str) -> None:
    session.execute("select set_config('default_transaction_isolation', %s, false)", [level])


@mutant(
    "an account that came beside its settlement is never looked for",
    "sweep",
    "    perform payout.look_for_accounts(payout.clock(), p_limit);\n",
    "",
)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("act", [complete, settle])
def test_an_account_that_commits_while_the_settlement_is_scheduled(
    act: Any,
    level: str,
    shared_engine: Engine,
    first: Connection,
    second: Connection,
    background: ThreadPoolExecutor,
) -> None:
    engine, db = shared_engine, shared_engine.db
    second.execute("select payout_api.register_payee('newcomer')")
    set_level(first, level)
    db.execute(PAUSE_SETTLEMENT)
    settling = background.submit(refused, act, first, "set_1", LINES)
    wait_until_blocked(db, first, by=settling)

    register(second, "newcomer")
    db.execute(GO_ON)
    assert settling.result() is None

    engine.sweep()
    assert dated(db) == [("scheduled", None, True)]
    assert engine.claim_one().request["destination"] == "acct_newcomer"


@mutant(
    "an account that saw no transfer is never looked for",
    "sweep",
    "    perform payout.look_for_accounts(payout.clock(), p_limit);\n",
    "",
)
@pytest.mark.parametrize("level", LEVELS)
def test_a_settlement_that_commits_while_the_account_is_registered(
    level: str, shared_engine: Engine, first: Connection, second: Connection
) -> None:
    engine, db = shared_engine, shared_engine.db
    first.execute("select payout_api.register_payee('newcomer')")
    second.execute(f"begin isolation level {level}".encode())
    register(second, "newcomer")

    complete(first, "set_1", LINES)
    engine.sweep()
    assert dated(db) == [("scheduled", "awaiting_account", None)]
    second.execute("commit")

    db.execute("update payout.account_waits set next_look_at = payout.clock()")
    engine.sweep()
    assert dated(db) == [("scheduled", None, True)]


@pytest.mark.parametrize("level", LEVELS)
def test_a_registration_whose_snapshot_is_older_than_the_settlement(
    level: str, shared_engine: Engine, first: Connection, second: Connection
) -> None:
    engine, db = shared_engine, shared_engine.db
    first.execute("select payout_api.register_payee('newcomer')")
    second.execute(f"begin isolation level {level}".encode())
    second.execute("select from payout.settlements")
    complete(first, "set_1", LINES)
    register(second, "newcomer")
    second.execute("commit")

    engine.sweep()
    assert dated(db) == [("scheduled", None, True)]


def test_a_sweep_and_a_registration_at_once_date_it_once(
    shared_engine: Engine, first: Connection, second: Connection, background: ThreadPoolExecutor
) -> None:
    """The registration waits for a sweep that has just looked, and looks again."""
    engine, db = shared_engine, shared_engine.db
    first.execute("select payout_api.register_payee('newcomer')")
    complete(first, "set_1", LINES)
    engine.worker.execute("begin")
    engine.sweep()

    registering = background.submit(register, second, "newcomer")
    wait_until_blocked(db, second, by=registering)
    engine.worker.execute("commit")
    registering.result()

    assert dated(db) == [("scheduled", None, True)]
