"""A wait that cannot begin loses no answer of Stripe's."""

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
