"""`NOTIFY payout_outcomes` says that there is more, once after each read, and stops nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.application.reading import read
from tests.conftest import Connection
from tests.engine import Engine, success
from tests.mutants import mutant
from tests.settle.marketplace import complete, line


@pytest.fixture
def listener(shared_engine: Engine, connect: Callable[..., Connection]) -> Connection:
    """The application, as it listens; nothing was read before."""
    listener = connect("payout_app")
    listener.execute("listen payout_outcomes")
    return listener


def heard(connection: Connection) -> list[str]:
    """Return the payloads that came since the last look."""
    connection.execute("select")
    return [notice.payload for notice in connection.notifies(timeout=0)]


@mutant(
    "a notification with each commit",
    "notify_application",
    "setval('payout.awaited_outcomes', 1, false),",
    "setval('payout.awaited_outcomes', 1, true),",
)
def test_each_read_asks_for_one_notification(shared_engine: Engine, listener: Connection) -> None:
    engine = shared_engine
    engine.settle("seller_1", "seller_2", "seller_3", "seller_4")
    engine.claim(1)
    assert heard(listener) == []
    after = read(listener)[-1].outcome_id
    assert heard(listener) == []
    # Twice in one transaction.
    with engine.worker.transaction():
        engine.claim(1)
        engine.claim(1)
    assert heard(listener) == [""]
    engine.claim(1)
    assert heard(listener) == []
    assert len(read(listener, after)) == 3


@mutant(
    "a notification that nobody awaits",
    "notify_application",
    "pg_sequence_last_value('payout.awaited_outcomes'::regclass) is not null",
    "true",
)
def test_what_waits_for_an_account_asks_for_one_notification_too(
    shared_engine: Engine, listener: Connection
) -> None:
    shared_engine.app.execute("select payout_api.register_payee('newcomer')")
    read(listener)
    for settlement_id in ("set_1", "set_2"):
        complete(shared_engine.app, settlement_id, [line("1", "newcomer", 1500)])
    assert heard(listener) == [""]


@mutant(
    "a notification of nothing",
    "tg_transfer_states__tell_status",
    "if found then",
    "if true then",
)
def test_a_change_that_is_not_told_notifies_nobody(
    shared_engine: Engine, listener: Connection
) -> None:
    read(listener)
    shared_engine.settle()
    shared_engine.let_pass("1 minute")
    shared_engine.sweep()
    shared_engine.make_due()
    assert heard(listener) == []


@mutant(
    "a full queue of notifications to the application",
    "notify_application",
    "and payout.can_notify() then",
    "and true then",
)
def test_a_full_queue_of_notifications_fails_nothing_and_is_made_up_for(
    shared_engine: Engine, listener: Connection
) -> None:
    """A commit with a notification would fail then."""
    engine = shared_engine
    read(listener)
    ((can_notify,),) = engine.db.execute(
        "select pg_get_functiondef('payout.can_notify'::regproc)"
    ).fetchall()
    engine.db.execute(
        "create or replace function payout.can_notify() returns boolean language sql "
        "as 'select false'"
    )
    engine.settle("seller_1", "seller_2")
    engine.report(success(engine.claim(1)[0]))
    assert heard(listener) == []
    assert [outcome.status for outcome in read(listener)] == ["sending", "paid"]
    engine.db.execute(can_notify.encode())
    engine.claim()
    assert heard(listener) == [""]


def test_a_reversal_notifies(shared_engine: Engine, listener: Connection) -> None:
    engine = shared_engine
    engine.settle()
    engine.report(success(engine.claim_one()))
    read(listener)
    engine.db.execute(
        'select payout.book_reversals(t, \'[{"id": "trr_1", "amount": 500}]\') '
        "from payout.payout_transfers as t"
    )
    assert heard(listener) == [""]
