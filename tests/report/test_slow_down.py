"""A decline begins a wait once, and a wait that cannot begin loses no answer of Stripe's."""

from __future__ import annotations

import psycopg

from tests.engine import Engine, success, unfunded
from tests.mutants import mutant


@mutant(
    "a wait that cannot begin loses the answers",
    "report_outcomes",
    "when integrity_constraint_violation or data_exception\n"
    "                or sqlstate 'SP103' or sqlstate 'SP201' then",
    "when division_by_zero then",
)
def test_answers_are_kept_though_no_wait_can_begin(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    poor, paid = engine.claim()
    engine.db.execute("alter table payout.holds add constraint no_more check (awaits is null)")
    told: list[str | None] = []

    def tell(warning: psycopg.errors.Diagnostic) -> None:
        told.append(warning.message_primary)

    engine.worker.add_notice_handler(tell)
    try:
        engine.report(unfunded(poor), success(paid))
    finally:
        engine.worker.remove_notice_handler(tell)
    refused = 'new row for relation "holds" violates check constraint "no_more"'
    assert told == [f"payout alarm: no_wait_was_begun, {refused}"]
    assert engine.progress(poor.payout_transfer_id).state == "failed"
    assert engine.progress(paid.payout_transfer_id).state == "paid"


@mutant(
    "a report that was not stored repeats an old decline",
    "report_outcomes",
    "as r where r.verdict = 'ok'));",
    "as r));",
)
def test_a_report_of_another_claim_begins_no_wait_again(engine: Engine) -> None:
    """The attack: any login of a worker stops a currency by a decline that is long over."""
    engine.settle()
    claim = engine.claim_one()
    engine.report(unfunded(claim))
    engine.end_waits()
    assert engine.report_one(unfunded(claim._replace(claim_token="forged"))) == ("alarm", "failed")
    open_scopes = "select scope from payout.holds where released_at is null"
    assert engine.db.execute(open_scopes).fetchall() == [("transfer",)]
