"""Facts of test mode must not count once the database is back in live mode."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from tests.engine import Engine, no_answer
from tests.operate.test_change_stripe_account import (
    CHANGE,
    LIVE,
    STAGING,
    TEST,
    USED_IN_TEST_MODE,
)
from tests.reconcile.listing import begin, carry, claim, event, ours, report
from tests.schema.refusals import refusal, refusal_at_commit, wait_until_blocked

BACK = [*LIVE, "it was the wrong database"]


def test_a_transfer_adopted_by_a_run_in_test_mode_forbids_the_way_back_to_live_mode(
    engine: Engine,
) -> None:
    """A staging copy has paid the same settlement in test mode; this database never sent it."""
    engine.claim(account=LIVE)
    (transfer,) = engine.settle(pay_after="2030-01-01")
    engine.db.execute(CHANGE, TEST)
    report(engine.db, begin(engine.db, account=STAGING[0]), ours(engine.db, "tr_test"))
    assert engine.progress(transfer).state == "paid"
    assert refusal(engine.db, CHANGE, BACK) == USED_IN_TEST_MODE


def take_event(engine: Engine) -> None:
    """Take an event of the test account about the transfer of set_1."""
    (read,) = claim(engine.worker, "events", account=STAGING[0])
    carry(engine.worker, read, event(1, ours(engine.db, "tr_test", amount_reversed=100)))


def test_a_transfer_settled_by_a_test_event_forbids_the_way_back(shared_engine: Engine) -> None:
    """Had the transfer stayed open, its attempt in live mode would refuse the way back as well."""
    engine = shared_engine
    engine.claim(account=LIVE)
    (transfer,) = engine.settle()
    engine.report(no_answer(*engine.claim(account=LIVE)))
    engine.operator.execute(CHANGE, TEST)
    take_event(engine)
    assert engine.progress(transfer).state == "paid"
    assert refusal(engine.operator, CHANGE, BACK) == USED_IN_TEST_MODE


def test_a_test_event_under_way_forbids_the_way_back(
    shared_engine: Engine, background: ThreadPoolExecutor
) -> None:
    engine = shared_engine
    engine.claim(account=LIVE)
    engine.settle(pay_after="2030-01-01")
    engine.operator.execute(CHANGE, TEST)
    engine.worker.execute("begin")
    take_event(engine)
    changing = background.submit(refusal_at_commit, engine.operator, CHANGE, BACK)
    with suppress(AssertionError):
        wait_until_blocked(engine.db, engine.operator, by=changing)
    engine.worker.execute("commit")
    assert changing.result() == USED_IN_TEST_MODE
