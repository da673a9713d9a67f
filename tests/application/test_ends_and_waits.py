"""The application is told when earnings wait for an account, and how a debt ended otherwise."""

from __future__ import annotations

from tests.application.reading import drawn, status, told
from tests.engine import Engine
from tests.operate.test_acts import act, outside
from tests.operate.test_explain import waiting_for_account


def test_earnings_that_wait_for_an_account_are_told_so_until_there_is_one(engine: Engine) -> None:
    start = drawn(engine.db)
    waiting_for_account(engine)
    assert status(engine) == ("waiting_for_account", "awaiting_account")
    engine.app.execute("select payout_api.register_payee('seller_1', 'acct_1')")
    assert status(engine) == ("scheduled", None)
    assert told(engine, start) == [("waiting_for_account", "awaiting_account"), ("scheduled", None)]


def test_what_is_cancelled_is_told_with_its_reason(engine: Engine) -> None:
    start = drawn(engine.db)
    (transfer,) = engine.settle()
    act(engine, "cancel", payout_transfer_id=transfer)
    assert status(engine) == ("cancelled", "cancelled_by_operator")
    assert told(engine, start) == [("cancelled", "cancelled_by_operator")]


def test_what_was_paid_in_another_way_is_told_so(engine: Engine) -> None:
    start = drawn(engine.db)
    (transfer,) = engine.settle()
    outside(engine, transfer)
    assert status(engine) == ("settled_outside", "paid_in_another_way")
    assert told(engine, start) == [("settled_outside", "paid_in_another_way")]


def test_what_is_cancelled_while_it_waits_goes_out_no_more(engine: Engine) -> None:
    waiting_for_account(engine)
    act(engine, "cancel", settlement_id="set_1")
    engine.app.execute("select payout_api.register_payee('seller_1', 'acct_1')")
    engine.sweep()
    assert engine.claim() == []
    assert status(engine) == ("cancelled", "cancelled_by_operator")
