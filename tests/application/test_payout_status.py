"""The status of each transfer in the application's words, and only for the application's eyes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from tests.application.reading import Status, status, statuses
from tests.conftest import ROOT, Connection
from tests.engine import (
    Claim,
    Engine,
    Outcome,
    no_answer,
    no_such_account,
    rate_limited,
    refusal_by_stripe,
    success,
    unfunded,
)
from tests.mutants import mutant
from tests.reconcile.listing import with_account
from tests.reconcile.test_reversals import report as report_reversals
from tests.reconcile.test_reversals import reversal, see_reversed
from tests.schema.refusals import Refusal, refusal

COLUMNS: Final = (
    "settlement_id, payee_id, source_transaction, amount_minor, currency, status, reason, "
    "stripe_transfer_id, pay_after, paid_at, reversed_minor, changed_at"
)
# The words, as the application is promised them.
WORDS: Final = {
    "scheduled": ("scheduled", "on_hold"),
    "in_flight": ("sending", "sending"),
    "retry_wait": ("sending", "on_hold"),
    "unknown": ("sending", "sending"),
    "parked": ("sending", "sending"),
    "failed": ("failed", "failed"),
    "paid": ("paid", "paid"),
    "cancelled": ("cancelled", "cancelled"),
    "settled_outside": ("settled_outside", "settled_outside"),
}


SETTLEMENTS: Final = "payout_transfers_settlement_id_payee_id_source_transaction_key"
VIEW: Final = (ROOT / "sql/views/payout_status.sql").read_text(encoding="utf-8")


def broken_view(name: str, old: str, new: str) -> pytest.MarkDecorator:
    """Declare a mutant of the view."""
    assert VIEW.count(old) == 1, old
    return mutant(name, sql=VIEW.replace(old, new))


def closed_account(claim: Claim) -> Outcome:
    return refusal_by_stripe(claim, 400, "account_closed") | {"should_retry": "false"}


def wrong_amount(claim: Claim) -> Outcome:
    return success(claim, amount_minor=1)


def test_each_state_has_its_word(engine: Engine) -> None:
    found = engine.db.execute("select state, status, status_on_hold from payout.states").fetchall()
    assert {state: words for state, *words in found} == {
        state: list(words) for state, words in WORDS.items()
    }


def test_the_view_has_these_columns(engine: Engine) -> None:
    found = engine.db.execute("select * from payout_api.payout_status")
    assert ", ".join(column.name for column in found.description or ()) == COLUMNS


def test_a_settlement_shows_a_row_for_each_transfer(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2", pay_after="2030-01-01Z")
    rows = statuses(engine)
    assert [row.payee_id for row in rows] == ["seller_1", "seller_2"]
    for row in rows:
        assert row == Status(
            *("set_1", row.payee_id, None, 1500, "usd", "scheduled", None, None),
            *(row.pay_after, None, 0, row.changed_at),
        )
        assert row.pay_after == datetime(2030, 1, 1, tzinfo=UTC)


def test_a_pending_settlement_has_no_rows(engine: Engine) -> None:
    engine.app.execute(
        "insert into payout.settlements (settlement_id, currency, total_minor) "
        "values ('set_1', 'usd', 1500)"
    )
    assert statuses(engine) == []


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (success, ("paid", None)),
        (rate_limited, ("sending", None)),
        (no_answer, ("sending", None)),
        (wrong_amount, ("sending", None)),
        (unfunded, ("failed", "balance_insufficient")),
        (no_such_account, ("failed", "no_such_account_or_charge")),
    ],
)
def test_an_answer_of_stripe_s_leads_to(
    engine: Engine, told: Callable[[Claim], Outcome], expected: tuple[str, str | None]
) -> None:
    engine.settle()
    claim = engine.claim_one()
    assert status(engine) == ("sending", None)
    engine.report(told(claim))
    assert status(engine) == expected


def test_a_further_key_is_scheduled_again(engine: Engine) -> None:
    engine.settle()
    engine.report(unfunded(engine.claim_one()))
    engine.make_due()
    engine.sweep()
    assert status(engine) == ("scheduled", None)


def test_a_paid_transfer_shows_its_time_and_stripe_s_id(engine: Engine) -> None:
    engine.settle()
    engine.report(success(engine.claim_one()))
    (row,) = statuses(engine)
    assert row.stripe_transfer_id == "tr_1"
    assert engine.db.execute(
        "select created_at from payout.ledger_entries where kind = 'paid'"
    ).fetchall() == [(row.paid_at,)]
    assert engine.db.execute("select changed_at from payout.transfer_states").fetchall() == [
        (row.changed_at,)
    ]


@broken_view(
    "money that was never taken back",
    "(where e.kind = 'reversal'))::bigint",
    "(where e.kind = 'paid'))::bigint",
)
def test_reversals_are_summed_up_and_the_transfer_stays_paid(engine: Engine) -> None:
    with_account(engine).settle()
    engine.report(success(engine.claim_one()))
    (before,) = statuses(engine)
    see_reversed(engine, 700)
    report_reversals(engine, reversal(1, 500), reversal(2, 200))
    (after,) = statuses(engine)
    assert (after.status, after.reversed_minor, after.paid_at) == ("paid", 700, before.paid_at)


@broken_view("a released hold", "where h.released_at is null\n        and st", "where st")
@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        ("engine", None),
        ("currency", "usd"),
        ("payee", "seller_1"),
        ("settlement", "set_1"),
        ("transfer", "its id"),
    ],
)
def test_a_hold_of_any_scope_shows_at_once_and_ends_at_once(
    engine: Engine, scope: str, subject: str | None
) -> None:
    (transfer,) = engine.settle()
    engine.settle("seller_2", settlement_id="set_2", currency="eur")
    engine.hold(scope, str(transfer) if subject == "its id" else subject)
    assert status(engine) == ("on_hold", f"{scope}_on_hold")
    (other,) = statuses(engine, "set_2")
    assert other.status == ("on_hold" if scope == "engine" else "scheduled")
    engine.release_holds()
    assert status(engine) == ("scheduled", None)


def waiting_for_funds(engine: Engine) -> None:
    engine.settle("seller_2", settlement_id="set_0")
    engine.report(unfunded(engine.claim(1)[0]))


def waiting_for_an_account(engine: Engine) -> None:
    engine.settle(settlement_id="set_0")
    engine.report(closed_account(engine.claim(1)[0]))


def waiting_after_a_change(engine: Engine) -> None:
    engine.set(account_change_waits_for="2 days")
    engine.settle(settlement_id="set_0", pay_after="2100-01-01")
    engine.app.execute("select payout_api.register_payee('seller_1', 'acct_other')")
    engine.app.execute("select payout_api.register_payee('seller_1', 'acct_1')")


def over_a_cap(engine: Engine) -> None:
    engine.settle(settlement_id="set_0")
    engine.db.execute("select payout_api.set_cap('payee', 'usd', 'a test', p_count => 1)")
    engine.report(success(engine.claim(1)[0]))


@broken_view("a wait that is not named", "'waits_for_' || h.awaits, ", "")
@pytest.mark.parametrize(
    ("wait", "reason"),
    [
        (waiting_for_funds, "waits_for_funds"),
        (waiting_for_an_account, "waits_for_account"),
        (waiting_after_a_change, "waits_for_account_change"),
        (over_a_cap, "waits_for_cap"),
    ],
)
def test_those_that_wait_say_for_what(
    engine: Engine, wait: Callable[[Engine], None], reason: str
) -> None:
    wait(engine)
    engine.settle()
    engine.claim()
    assert status(engine) == ("on_hold", reason)
    engine.end_waits()
    assert status(engine) == ("scheduled", None)


@broken_view("a wait that stops each state", "s.window_begins_at is null\n", "true\n")
def test_a_transfer_that_was_sent_waits_for_nothing(engine: Engine) -> None:
    """A key that was used is asked about further."""
    engine.settle("seller_1")
    engine.settle("seller_2", settlement_id="set_2")
    limited, poor = engine.claim()
    engine.report(rate_limited(limited), unfunded(poor))
    assert status(engine) == ("sending", None)


@broken_view("a hold on another payee", " and h.subject = t.payee_id", "")
@broken_view("a hold on another settlement", " and h.subject = t.settlement_id", "")
def test_a_hold_of_another_subject_shows_nothing(engine: Engine) -> None:
    engine.settle("seller_1")
    engine.settle("seller_2", settlement_id="set_2", currency="eur")
    engine.hold("currency", "eur")
    engine.hold("payee", "seller_2")
    engine.hold("settlement", "set_2")
    assert status(engine) == ("scheduled", None)


def test_a_worker_s_hold_is_none_of_the_application_s(engine: Engine) -> None:
    engine.settle()
    engine.db.execute("select payout.place_hold('worker', 'worker_1', 'its key is refused')")
    assert status(engine) == ("scheduled", None)


@mutant(
    "money that may have moved is called held",
    sql="alter table payout.states disable trigger user; "
    "update payout.states set status_on_hold = 'on_hold' where state = 'unknown'; "
    "alter table payout.states enable always trigger _500_refuse_change, "
    "enable always trigger _500_refuse_truncate",
)
def test_a_transfer_that_may_be_at_stripe_is_not_shown_as_held(engine: Engine) -> None:
    """Its payee may have the money already."""
    engine.settle("seller_1", "seller_2", "seller_3", "seller_4")
    first, second, third, _ = engine.claim()
    engine.report(no_answer(first), wrong_amount(second), rate_limited(third))
    engine.hold("engine")
    assert [(row.status, row.reason) for row in statuses(engine)] == [
        ("sending", None),
        ("sending", None),
        ("on_hold", "engine_on_hold"),
        ("sending", None),
    ]


def test_an_end_is_an_end_under_a_hold(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    first, second = engine.claim()
    engine.report(success(first), no_such_account(second))
    engine.hold("engine")
    assert [row.status for row in statuses(engine)] == ["paid", "failed"]


def test_the_reason_of_an_operator_stays_with_operators(engine: Engine) -> None:
    engine.settle()
    engine.operator.execute(
        "select payout_api.hold('payee', 'we think that this seller is a fraud', 'seller_1')"
    )
    assert "fraud" not in str(statuses(engine))


@mutant(
    "no index of payees",
    sql="drop index payout.payout_transfers_payee_id_idx",
    at="a_payee",
)
@pytest.mark.parametrize(
    ("condition", "index"),
    [
        pytest.param("settlement_id = 'set_7'", SETTLEMENTS, id="a_paid_settlement"),
        pytest.param("settlement_id = 'set_of_another'", SETTLEMENTS, id="one_on_hold"),
        pytest.param("payee_id = 'seller_2'", "payout_transfers_payee_id_idx", id="a_payee"),
    ],
)
def test_one_settlement_or_payee_is_read_and_no_other(
    engine: Engine, condition: str, index: str
) -> None:
    for number in range(100):
        engine.settle("seller_1", settlement_id=f"set_{number}")
    paid = (success(claim, stripe_transfer_id=f"tr_{claim[0]}") for claim in engine.claim(100))
    engine.report(*paid)
    engine.settle("seller_2", settlement_id="set_of_another")
    engine.db.execute(
        "insert into payout.holds (scope, subject, reason) "
        "select 'transfer', n::text, 'an alarm' from generate_series(1000000, 1005000) as n"
    )
    engine.hold("payee", "seller_2")
    engine.db.execute(
        "analyze payout.payout_transfers, payout.transfer_states, payout.settlements, "
        "payout.ledger_entries, payout.holds"
    )
    # So few rows are soonest read from end to end; here they stand for many.
    engine.db.execute("set local enable_seqscan = off")
    ((plan,),) = engine.db.execute(
        f"explain (analyze, format json) select * from payout_api.payout_status where {condition}"
    ).fetchall()
    scans = [part for part in parts(plan[0]["Plan"]) if "Index Name" in part]
    assert index in {scan["Index Name"] for scan in scans}
    assert sum(rows_read(part) for part in parts(plan[0]["Plan"])) < 20


def parts(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the nodes of a plan."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from parts(part)


def rows_read(part: dict[str, Any]) -> float:
    """Return how many rows of a table or an index a node of a plan has read."""
    if not part.keys() & {"Relation Name", "Index Name"}:
        return 0.0
    removed = sum(rows for name, rows in part.items() if name.startswith("Rows Removed by"))
    return float(part["Actual Loops"] * (part["Actual Rows"] + removed))


@pytest.mark.parametrize("role", ["payout_app", "payout_operator", "payout_auditor"])
def test_these_roles_may_look(visit: Callable[..., Connection], role: str) -> None:
    assert visit(role).execute("select * from payout_api.payout_status").fetchall() == []


def test_the_worker_may_not(visit: Callable[..., Connection]) -> None:
    assert refusal(visit("payout_worker"), "select from payout_api.payout_status") == Refusal(
        "42501", "permission denied for view payout_status"
    )


def test_the_application_changes_nothing_by_it(visit: Callable[..., Connection]) -> None:
    for statement, message in (
        ("update payout_api.payout_status set status = 'paid'", "cannot update view"),
        ("delete from payout_api.payout_status", "cannot delete from view"),
    ):
        assert refusal(visit("payout_app"), statement) == Refusal(
            "55000", f'{message} "payout_status"'
        )
