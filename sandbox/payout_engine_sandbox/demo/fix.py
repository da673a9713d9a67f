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
        count(*) filter (where state in ('unknown', 'parked')) as unanswered,
        count(*) filter (where state not in ('failed', 'unknown', 'parked')
            and situation <> 'waits_for_funds') as waiting
    from payout_api.explain(p_payee_id => %s)
"""
PAID: Final = """
    select count(*) as paid
    from payout.transfer_states as s
    join payout.transfer_requests as r using (payout_transfer_id, generation)
    where s.state = 'paid' and r.destination = %s
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
        unpaid = _unpaid(operator)
        before = unpaid["waiting"]
        while unpaid["waiting"] and time.monotonic() - began < PATIENCE_SECONDS:
            stop.check()
            time.sleep(0.2)
            unpaid = _unpaid(operator)
        paid = operator.execute(PAID, [NEW_ACCOUNT]).fetchone()
    assert paid is not None
    seconds = time.monotonic() - began
    if unpaid["waiting"]:
        waiting = f"{unpaid['waiting']} of {before} transfers of {PAYEE}"
        return [f"{waiting} still wait {seconds:.0f} s later"]
    # A send of the killed worker may have met the closed account: it is asked about once more when
    # that attempt is over, a quarter of an hour later.
    others = {"unfunded": "waiting for funds in their currency", "unanswered": "asked about later"}
    console.print(
        f"   {paid['paid']} transfers that waited are paid to {NEW_ACCOUNT} {seconds:.0f} s "
        "later: first one, then the others. One that Stripe had refused is looked for in its list "
        "before it is sent again"
        + "".join(f"; {told}: {unpaid[name]}" for name, told in others.items() if unpaid[name])
        + "."
    )
    return []


def _unpaid(operator: psycopg.Connection[DictRow]) -> DictRow:
    row = operator.execute(UNPAID, [PAYEE]).fetchone()
    assert row is not None
    return row
