"""The progress of every transfer is what its facts say, or the difference is named, and mended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.application.reading import drawn, read
from tests.conftest import ROOT, Connection
from tests.engine import (
    Engine,
    no_answer,
    no_such_account,
    rate_limited,
    success,
    unfunded,
    unguarded,
)
from tests.mutants import mutant
from tests.schema.refusals import Refusal, refusal
from tests.settle.marketplace import complete, line

VERIFY: Final = "select column_name, stored, folded from payout_api.verify_projection()"
STATES: Final = "payout.transfer_states"
STATES_REACHED: Final = {
    "scheduled",
    "in_flight",
    "retry_wait",
    "unknown",
    "parked",
    "failed",
    "paid",
}
REBUILD: Final = (ROOT / "sql/ops/rebuild-projection.sql").read_text(encoding="utf-8")
# A rebuilt row does not take over the wake-up job, the time since when it stands there, and the
# hold under which it was found.
NOT_REBUILT: Final = "wakeup_id, changed_at, next_lookup_at, hold_id"


def differences(engine: Engine) -> list[tuple[Any, ...]]:
    return engine.db.execute(VERIFY).fetchall()


def progress(engine: Engine) -> list[tuple[Any, ...]]:
    """Return the whole projection, as far as the facts determine it."""
    rows = engine.db.execute(
        "select payout_transfer_id, to_jsonb(s) - string_to_array(%s, ', ') "
        "from payout.transfer_states as s order by payout_transfer_id",
        [NOT_REBUILT],
    )
    return rows.fetchall()


def make_busy(engine: Engine) -> None:
    """Bring transfers into every state that they reach by themselves, some by a long way."""
    payees = [f"seller_{number}" for number in range(12)]
    engine.settle(*payees, settlement_id="set_1")
    zombie, paid, old, *_ = engine.claim()
    engine.report(no_answer(old))
    # All leases run out and all keys grow old, over the weekend.
    engine.let_pass("20 hours")
    engine.sweep()
    engine.report(
        success(zombie, stripe_transfer_id="tr_zombie"),
        success(paid, stripe_transfer_id="tr_paid"),
    )
    engine.settle(*payees, settlement_id="set_2", currency="eur")
    paid, waiting, unknown, poor, poorer, poorest, refused, wrong, *_ = engine.claim()
    engine.report(
        success(paid, stripe_transfer_id="tr_2"),
        rate_limited(waiting),
        no_answer(unknown),
        unfunded(poor),
        unfunded(poorer),
        unfunded(poorest),
        no_such_account(refused),
        success(wrong, amount_minor=1),
    )
    # The alarm stopped the settlement; it goes on once its hold is gone.
    engine.release_holds()
    engine.make_due()
    engine.sweep()
    again = {claim.payout_transfer_id: claim for claim in engine.claim()}
    engine.report(
        no_answer(again[waiting.payout_transfer_id]),
        rate_limited(again[unknown.payout_transfer_id]),
        unfunded(again[poor.payout_transfer_id]),
        rate_limited(again[poorest.payout_transfer_id]),
        # A success under the key that was closed parks what the next key had in flight,
        success(poorer, stripe_transfer_id="tr_closed"),
        # and stops the next key of what was declined.
        success(poor, stripe_transfer_id="tr_closed_2"),
    )
    engine.release_holds()
    engine.settle("seller_1", settlement_id="set_later", pay_after="2100-01-01")
    engine.app.execute("select payout_api.register_payee('newcomer')")
    complete(engine.app, "set_waiting", [line("1", "newcomer", 5)])


@mutant(
    "an observation without its try",
    "record_outcomes",
    "coalesce(j.counts_as_try, false), coalesce",
    "false, coalesce",
)
@mutant(
    "an observation without its unknown send",
    "record_outcomes",
    "coalesce(j.leaves_unknown, false), j",
    "false, j",
)
@mutant(
    "a fold that forgets claims",
    "fold_facts",
    "when a.attempt > coalesce(m.attempt, 0) then",
    "when false then",
)
@mutant(
    "a fold that forgets new keys", "fold_facts", "where o.signal = 'key_opened'", "where false"
)
@mutant(
    "a fold that counts the tries of all keys",
    "fold_facts",
    "o.is_counted_try and o.observation_id > o.opened_by",
    "o.is_counted_try",
)
def test_a_busy_database_is_what_its_facts_say(engine: Engine) -> None:
    make_busy(engine)
    states = engine.db.execute("select distinct state::text from payout.transfer_states")
    assert {state for (state,) in states} == STATES_REACHED
    assert differences(engine) == []


def test_a_cancelled_transfer_is_what_its_books_say(engine: Engine) -> None:
    engine.settle()
    with engine.db.transaction(force_rollback=True):
        engine.db.execute(
            "update payout.transfer_states set state = 'cancelled', next_attempt_at = null"
        )
        assert differences(engine) == [
            ("money", None, "in_flight 1500 usd"),
            ("state", "cancelled", "scheduled"),
        ]
    engine.db.execute("select payout_api.cancel('why', p_settlement_id => 'set_1')")
    assert differences(engine) == []


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("state = 'failed', reason = 'x', lease_until = null", ("state", "failed", "in_flight")),
        ("generation = 2", ("generation", "2", "1")),
        ("attempt = 7", ("attempt", "7", "1")),
        ("tries = 3", ("tries", "3", "0")),
        ("has_unknown_send = true", ("has_unknown_send", "true", "false")),
    ],
)
def test_a_row_that_was_changed_by_hand_is_named_with_its_column(
    engine: Engine, change: str, difference: tuple[str, str, str]
) -> None:
    engine.settle()
    engine.claim_one()
    with engine.db.transaction(force_rollback=True):
        with unguarded(engine.db, STATES):
            engine.db.execute(f"update payout.transfer_states set {change}")
        assert difference in differences(engine)


@pytest.mark.parametrize("column", ["window_begins_at", "lease_until"])
def test_a_time_that_was_moved_is_named(engine: Engine, column: str) -> None:
    engine.settle()
    engine.claim_one()
    with engine.db.transaction(force_rollback=True):
        with unguarded(engine.db, STATES):
            engine.db.execute(
                f"update payout.transfer_states set {column} = {column} + '1 us'::interval"
            )
        assert [name for name, *_ in differences(engine)] == [column]


@mutant(
    "a window that was moved is that of the next claim",
    "fold_facts",
    "when w.generation then a.key_begins_at end",
    "when w.generation then a.window_begins_at end",
)
def test_a_window_that_was_moved_is_named_after_the_next_claim_too(engine: Engine) -> None:
    """The attack: the key is sent once Stripe has forgotten it; that claim copies the window."""
    engine.settle()
    engine.report(no_answer(engine.claim_one()))
    with engine.db.transaction(force_rollback=True):
        with unguarded(engine.db, STATES):
            engine.db.execute("update payout.transfer_states set window_begins_at = payout.clock()")
        engine.make_due()
        engine.report(no_answer(engine.claim_one()))
        assert [name for name, *_ in differences(engine)] == ["window_begins_at"]


def test_another_transfer_of_stripe_is_named(engine: Engine) -> None:
    engine.settle()
    engine.report_one(success(engine.claim_one()))
    with engine.db.transaction(force_rollback=True):
        with unguarded(engine.db, STATES):
            engine.db.execute("update payout.transfer_states set stripe_transfer_id = 'tr_9'")
        assert differences(engine) == [("stripe_transfer_id", "tr_9", "tr_1")]


def test_a_row_that_is_gone_and_one_too_many_are_named(engine: Engine) -> None:
    engine.settle()
    with engine.db.transaction(force_rollback=True):
        with unguarded(engine.db, STATES):
            engine.db.execute("delete from payout.transfer_states")
        assert ("state", None, "scheduled") in differences(engine)
    with engine.db.transaction(force_rollback=True):
        engine.db.execute("set session_replication_role = replica")
        engine.db.execute(
            "insert into payout.transfer_states (payout_transfer_id, next_attempt_at) "
            "values (99, now())"
        )
        assert ("state", "scheduled", None) in differences(engine)


@pytest.mark.parametrize(
    ("change", "booked"),
    [
        ("delete from payout.ledger_entries where kind = 'paid'", "in_flight 1500 usd"),
        (
            "update payout.ledger_entries set amount_minor = 1499 where kind = 'paid'",
            "in_flight 1 usd, stripe_balance 1499 usd",
        ),
        ("delete from payout.ledger_entries", None),
    ],
)
def test_books_that_have_the_money_elsewhere_are_named(
    engine: Engine, change: str, booked: str | None
) -> None:
    engine.settle()
    engine.report_one(success(engine.claim_one()))
    with engine.db.transaction(force_rollback=True):
        with unguarded(engine.db, "payout.ledger_entries"):
            engine.db.execute(change)
        assert differences(engine) == [("money", "stripe_balance 1500 usd", booked)]


def test_a_reversal_leaves_a_transfer_paid_and_has_to_be_told(engine: Engine) -> None:
    engine.settle()
    engine.report_one(success(engine.claim_one()))
    with engine.db.transaction(force_rollback=True):
        engine.db.execute(
            "insert into payout.ledger_entries (payout_transfer_id, kind, generation, "
            "debit_account, credit_account, amount_minor, currency, stripe_reversal_id) "
            "select payout_transfer_id, 'reversal', 1, 'stripe_balance', 'payable:' || payee_id, "
            "700, currency, 'trr_1' from payout.payout_transfers"
        )
        assert differences(engine) == [("reversed_minor", "700", "0")]


@mutant(
    "outcomes that nothing compares",
    "check_projection",
    "where c.stored is distinct from c.told",
    "where false",
    at="lost",
)
@pytest.mark.parametrize(
    ("change", "differing"),
    [
        pytest.param(
            "delete from payout.outcomes where status = 'paid'",
            [("status", "paid", "sending")],
            id="lost",
        ),
        pytest.param(
            "delete from payout.outcomes", [("status", "paid", "scheduled")], id="all_lost"
        ),
        pytest.param(
            "update payout.outcomes set reversed_minor = 1",
            [("reversed_minor", "0", "1")],
            id="never_reversed",
        ),
        pytest.param(
            "insert into payout.outcomes (payout_transfer_id, status) values (99, 'paid')",
            [("reversed_minor", None, "0"), ("status", None, "paid")],
            id="of_no_transfer",
        ),
    ],
)
def test_an_outcome_that_tells_otherwise_is_named(
    engine: Engine, change: str, differing: list[tuple[str, str | None, str]]
) -> None:
    engine.settle()
    engine.report_one(success(engine.claim_one()))
    with engine.db.transaction(force_rollback=True):
        with unguarded(engine.db, "payout.outcomes"):
            engine.db.execute(change)
        assert differences(engine) == differing


def test_the_application_is_told_of_each_row_that_is_made_again(engine: Engine) -> None:
    transfers = engine.settle("seller_1", "seller_2", "seller_3")
    engine.hold("payee", "seller_3")
    first, _ = engine.claim()
    engine.let_pass("1 second")
    engine.sweep()
    engine.report_one(no_such_account(first))
    start = drawn(engine.db)
    with unguarded(engine.db, STATES):
        engine.db.execute(
            "update payout.transfer_states set state = 'scheduled', next_attempt_at = now(), "
            "lease_until = null where payout_transfer_id = %s",
            [transfers[0]],
        )
    # Told as told before; the mark of the hold is not made again, the next sweep sets it.
    engine.db.execute(REBUILD)
    assert [outcome[2:8:4] for outcome in read(engine.app, start)] == [("seller_3", "scheduled")]
    assert differences(engine) == []
    engine.sweep()
    assert [outcome[2:8:4] for outcome in read(engine.app, start)[1:]] == [("seller_3", "on_hold")]
    # A row that was made up, and told, is corrected.
    with unguarded(engine.db, "payout.outcomes"):
        engine.db.execute(
            "insert into payout.outcomes (payout_transfer_id, status) values (%s, 'paid')",
            [transfers[0]],
        )
    engine.db.execute(REBUILD)
    corrected = read(engine.app, start)[3]
    assert (corrected.payee_id, corrected.status) == ("seller_1", "failed")
    assert corrected.reason == "no_such_account_or_charge"


def test_a_wrecked_projection_is_made_again_out_of_the_facts(engine: Engine) -> None:
    make_busy(engine)
    # The facts keep the date that was decided, not the one that the test hurried it to.
    engine.db.execute(
        "update payout.transfer_states as s set next_attempt_at = f.next_attempt_at "
        "from payout.fold_facts() as f "
        "where f.payout_transfer_id = s.payout_transfer_id and s.state <> 'paid'"
    )
    before = progress(engine)
    with unguarded(engine.db, STATES):
        engine.db.execute("delete from payout.transfer_states where payout_transfer_id % 3 = 0")
        engine.db.execute(
            "update payout.transfer_states set state = 'scheduled', attempt = attempt + 5, "
            "generation = 9, tries = 7, lease_until = null, next_attempt_at = now(), "
            "stripe_transfer_id = null, window_begins_at = null, has_unknown_send = true, "
            "next_lookup_at = null, reason = 'wrecked'"
        )
    assert len(differences(engine)) > 50
    guards = (
        "select tgname, tgenabled from pg_trigger "
        "where tgrelid = 'payout.transfer_states'::regclass order by tgname"
    )
    enabled = engine.db.execute(guards).fetchall()

    engine.db.execute(REBUILD)

    assert progress(engine) == before
    assert differences(engine) == []
    assert engine.db.execute(guards).fetchall() == enabled
    # And money moves on from there.
    engine.make_due()
    engine.sweep()
    assert engine.claim() != []


def test_a_date_that_was_decided_for_a_later_key_is_made_again(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    first, second = engine.claim()
    engine.report(unfunded(first), no_such_account(second))
    before = progress(engine)
    engine.db.execute(REBUILD)
    assert progress(engine) == before
    assert engine.db.execute(
        "select count(next_attempt_at), count(*) from payout.transfer_states"
    ).fetchone() == (1, 2)


@pytest.mark.parametrize("role", ["payout_operator", "payout_auditor"])
def test_operators_and_auditors_may_look(visit: Callable[..., Connection], role: str) -> None:
    assert visit(role).execute(VERIFY).fetchall() == []


@pytest.mark.parametrize("role", ["payout_app", "payout_worker"])
def test_nobody_else_may(visit: Callable[..., Connection], role: str) -> None:
    assert refusal(visit(role), VERIFY) == Refusal(
        "42501", "permission denied for function verify_projection"
    )
