"""The last scene: why one payee is not paid, the call that changes it, the payments after it."""

from __future__ import annotations

import time
from typing import Final

import psycopg
from psycopg.rows import DictRow
from rich.console import Console

from payout_engine_sandbox.demo.processes import Stop
from payout_engine_sandbox.demo.report import heading
from payout_engine_sandbox.demo.stand import APP, OPERATOR, Stand

# Its account is closed at Stripe (scenario.EVENTS).
PAYEE: Final = "seller_07"
NEW_ACCOUNT: Final = "acct_seller_07_b"
EXPLAIN: Final = f"select * from payout_api.explain(p_payee_id => '{PAYEE}') limit 1;"
REGISTER: Final = f"select payout_api.register_payee('{PAYEE}', '{NEW_ACCOUNT}');"
UNPAID: Final = """
    select count(*) filter (where situation = 'waits_for_funds') as unfunded,
        count(*) filter (where state <> 'failed' and situation <> 'waits_for_funds') as waiting
    from payout_api.explain(p_payee_id => %s)
"""
SHOWN: Final = ("settlement_id", "state", "situation", "stripe_said", "whose_turn", "advice")
PATIENCE_SECONDS: Final = 60.0


def show_a_fix(console: Console, stand: Stand, stop: Stop) -> list[str]:
    """Explain an unpaid transfer, register another account; return problems, a line each."""
    heading(console, f"Why is {PAYEE} not paid?")
    with stand.connect(OPERATOR) as operator, stand.connect(APP) as app:
        console.print(f"=> {EXPLAIN}", soft_wrap=True, markup=False)
        row = operator.execute(EXPLAIN).fetchone()
        if row is None:
            return [f"nothing of {PAYEE} is unpaid, though its account is closed"]
        for name in SHOWN:
            if row[name] is not None:
                console.print(f"   {name:13} {row[name]}", markup=False)
        console.print(f"=> {REGISTER}", markup=False)
        app.execute(REGISTER)
        began = time.monotonic()
        unfunded, waiting = _unpaid(operator)
        before = unfunded + waiting
        while waiting and time.monotonic() - began < PATIENCE_SECONDS:
            stop.check()
            time.sleep(0.2)
            unfunded, waiting = _unpaid(operator)
    seconds = time.monotonic() - began
    if waiting:
        return [f"{waiting} of {before} transfers of {PAYEE} still wait {seconds:.0f} s later"]
    console.print(
        f"   {before - unfunded} transfers that waited are paid to {NEW_ACCOUNT} {seconds:.0f} s "
        "later: first one, then the others. One that Stripe had refused is looked for in its list "
        "before it is sent again"
        + (f"; {unfunded} wait for funds in their currency." if unfunded else ".")
    )
    return []


def _unpaid(operator: psycopg.Connection[DictRow]) -> tuple[int, int]:
    row = operator.execute(UNPAID, [PAYEE]).fetchone()
    assert row is not None
    return row["unfunded"], row["waiting"]
