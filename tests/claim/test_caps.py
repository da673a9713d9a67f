"""A transfer that exceeds a cap waits, says so and goes on by itself; the others are sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.conftest import Connection
from tests.engine import Engine, no_answer, rate_limited, success, unguarded
from tests.mutants import mutant


def set_cap(
    engine: Engine,
    scope: str,
    *,
    amount: int | None = None,
    count: int | None = None,
    currency: str = "usd",
) -> None:
    engine.operator.execute(
        "select payout_api.set_cap(%s, %s, 'a test', %s, %s)", [scope, currency, amount, count]
    )


def settle(
    engine: Engine, *amounts: int, payee: str = "seller_1", currency: str = "usd"
) -> list[int]:
    """Settle one transfer for each amount, in this order."""
    settled = engine.db.execute("select count(*) from payout.settlements").fetchall()[0][0]
    return [
        engine.settle(
            payee, settlement_id=f"set_{settled + n}", amount_minor=amount, currency=currency
        )[0]
        for n, amount in enumerate(amounts)
    ]


def claimed(engine: Engine, **options: object) -> list[int]:
    return [claim.payout_transfer_id for claim in engine.claim(**options)]  # type: ignore[arg-type]


def unpaid(engine: Engine) -> list[tuple[int, str, str, datetime | None]]:
    return engine.db.execute(
        "select payout_transfer_id, reason, whose_turn, next_attempt_at from payout_api.unpaid "
        "where state = 'scheduled' order by payout_transfer_id"
    ).fetchall()


def end_window(engine: Engine) -> None:
    """Let the day and the hour of every cap be over."""
    engine.db.execute("update payout.cap_uses set begun_at = begun_at - interval '1 day'")
    engine.db.execute(
        "update payout.holds set goes_on_at = payout.clock() "
        "where goes_on_at is not null and released_at is null"
    )
    engine.sweep()


def end_of_hour(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


@mutant("no cap", "within_caps", "if not exists (select from payout.caps) then", "if true then")
@mutant(
    "a cap of a transfer ignored",
    "exceeded_cap",
    "where c.currency = p_transfer.currency\n",
    "where c.currency = p_transfer.currency and c.scope <> 'transfer'\n",
)
def test_a_transfer_over_its_cap_waits_for_a_person(engine: Engine) -> None:
    set_cap(engine, "transfer", amount=1000)
    small, large = settle(engine, 1000, 1001)
    claim = engine.claim_one()
    assert claim.payout_transfer_id == small
    engine.report(success(claim))
    assert unpaid(engine) == [(large, "over_the_cap_of_a_transfer", "operator", None)]
    engine.let_pass("3 hours")
    engine.sweep()
    assert claimed(engine) == []


def test_amounts_of_any_size_are_counted(engine: Engine) -> None:
    """The attack: sums beyond a bigint set transfers aside, as if their rows were wrong."""
    set_cap(engine, "payee", count=5)
    settle(engine, *[2**62] * 5)
    assert len(engine.claim()) == 5
    assert engine.discrepancies() == []


@mutant(
    "a claim that hands out more than was asked for",
    "claim_transfers",
    "v_size := least(v_size, least(p_limit, v_free) - cardinality(v_claims));",
    "",
)
def test_a_claim_hands_out_no_more_than_was_asked_for(engine: Engine) -> None:
    set_cap(engine, "transfer", amount=1000)
    settle(engine, 5000, *[10] * 12)
    assert [len(engine.claim(5)) for _ in range(4)] == [5, 5, 2, 0]


@mutant(
    "a transfer that a person let pass waits again",
    "exceeded_cap",
    "and h.released_by <> 'engine'",
    "and false",
)
def test_a_person_lets_one_transfer_pass_or_raises_the_cap(engine: Engine) -> None:
    set_cap(engine, "transfer", amount=1000)
    first, second = settle(engine, 5000, 6000)
    assert claimed(engine) == []
    ((hold_id,),) = engine.db.execute(
        "select hold_id from payout.holds where subject = %s", [str(first)]
    )
    engine.operator.execute("select payout_api.release_hold(%s, 'I know it')", [hold_id])
    assert claimed(engine) == [first]
    set_cap(engine, "transfer", amount=6000)
    engine.sweep()
    assert claimed(engine) == [second]


@mutant(
    "a day's amount that is not added up",
    "exceeded_cap",
    "case when u.begun_at = w.begun_at then u.amount_minor else 0",
    "case when false then u.amount_minor else 0",
    at="amount",
)
@mutant(
    "a day's transfers that are not counted",
    "exceeded_cap",
    "1 + case when u.begun_at = w.begun_at then u.transfers else 0 end >",
    "0 >",
    at="count",
)
@pytest.mark.parametrize("cap", [{"amount": 2500}, {"count": 2}], ids=["amount", "count"])
def test_a_payee_gets_no_more_than_its_cap_in_a_day(engine: Engine, cap: dict[str, int]) -> None:
    set_cap(engine, "payee", **cap)  # type: ignore[arg-type]
    first, second, third, fourth = settle(engine, 1000, 1000, 1000, 1000)
    (other,) = settle(engine, 1000, payee="seller_2")
    (euros,) = settle(engine, 9000, currency="eur")
    assert claimed(engine) == [first, second, other, euros]
    now = datetime.now(UTC)
    tomorrow = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert unpaid(engine) == [
        (third, "over_the_cap_of_a_payee_and_day", "engine", tomorrow),
        (fourth, "over_the_cap_of_a_payee_and_day", "engine", tomorrow),
    ]
    assert claimed(engine) == []
    end_window(engine)
    assert claimed(engine) == [third, fourth]


def test_a_small_one_passes_where_a_large_one_waits(engine: Engine) -> None:
    set_cap(engine, "payee", amount=2500)
    first, large, small = settle(engine, 1000, 2000, 1500)
    assert claimed(engine) == [first, small]
    end_window(engine)
    assert claimed(engine) == [large]


@mutant(
    "an hour's cap that is none",
    "exceeded_cap",
    "when c.scope = 'engine' and w.passes_later then 'currency' else 'transfer' end",
    "when c.scope = 'engine' and w.passes_later then 'payee' else 'transfer' end",
)
def test_the_engine_sends_no_more_than_its_cap_in_an_hour_of_a_currency(engine: Engine) -> None:
    set_cap(engine, "engine", count=3)
    transfers = [settle(engine, 100, payee=f"seller_{n}")[0] for n in range(6)]
    (euros,) = settle(engine, 100, currency="eur")
    now = datetime.now(UTC)
    assert claimed(engine) == [*transfers[:3], euros]
    engine.sweep()
    assert engine.claim() == []
    late = [row for row in unpaid(engine) if row[0] in transfers[3:]]
    assert late == [
        (transfer, "over_the_cap_of_an_hour", "engine", end_of_hour(now))
        for transfer in transfers[3:]
    ]
    waits = engine.db.execute(
        "select from payout.holds where awaits = 'cap' and released_at is null"
    )
    assert waits.rowcount == 1
    end_window(engine)
    assert claimed(engine) == transfers[3:]


@mutant(
    "an hour that is opened again by a clock that was set back",
    "exceeded_cap",
    "select greatest(u.begun_at,\n                date_trunc(",
    "select (date_trunc(",
)
@mutant(
    "an hour that is counted anew after a clock that was set back",
    "within_caps",
    "set begun_at = greatest(u.begun_at, excluded.begun_at),",
    "set begun_at = excluded.begun_at,",
)
def test_a_clock_that_is_set_back_across_the_hour_opens_no_cap_again(engine: Engine) -> None:
    """The attack: by a step of minutes the hour began anew, and twice the cap was handed out."""
    set_cap(engine, "engine", count=3)
    transfers = settle(engine, *[100] * 8)
    assert claimed(engine, limit=2) == transfers[:2]
    now = datetime.now(UTC)
    engine.db.execute("update payout.cap_uses set begun_at = begun_at + interval '1 hour'")
    assert claimed(engine) == [transfers[2]]
    assert claimed(engine) == []
    assert {row[3] for row in unpaid(engine)} == {end_of_hour(now) + timedelta(hours=1)}


def test_what_is_larger_than_a_whole_cap_does_not_wait_for_the_next_day(engine: Engine) -> None:
    set_cap(engine, "payee", amount=1000)
    (transfer,) = settle(engine, 1001)
    assert claimed(engine) == []
    assert unpaid(engine) == [(transfer, "over_the_cap_of_a_payee_and_day", "operator", None)]


@mutant(
    "a key counted at each of its sends",
    "within_caps",
    "and c.scope <> 'transfer' and not v_due.was_counted",
    "and c.scope <> 'transfer'",
)
def test_a_key_counts_once_however_often_it_is_sent(engine: Engine) -> None:
    set_cap(engine, "payee", count=2)
    first, second = settle(engine, 100, 100)
    for failure in (no_answer, rate_limited, no_answer):
        (claim,) = engine.claim(1)
        assert claim.payout_transfer_id == first
        engine.report(failure(claim))
        engine.forget_pace()
        engine.db.execute(
            "update payout.transfer_states set next_attempt_at = now() - interval '1 minute' "
            "where payout_transfer_id = %s",
            [first],
        )
    engine.report(success(engine.claim(1)[0]))
    assert claimed(engine) == [second]


@mutant(
    "two claims that count at once",
    "claim_transfers",
    "order by c.scope, c.currency for update",
    "order by c.scope, c.currency",
)
def test_claims_at_once_share_a_cap(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    set_cap(shared_engine, "engine", amount=1000)
    for number in range(8):
        settle(shared_engine, 300, payee=f"seller_{number}")
    one, other = connect("payout_worker"), connect("payout_worker")
    with ThreadPoolExecutor(1) as pool:
        with one.transaction():
            first = shared_engine.claim(3, connection=one)
            second = pool.submit(shared_engine.claim, 8, connection=other)
            shared_engine.db.execute("select pg_sleep(0.3)")
            assert not second.done()
        assert len(first) + len(second.result()) == 3


def test_without_a_cap_claims_count_nothing(engine: Engine) -> None:
    settle(engine, 100)
    engine.claim()
    assert engine.db.execute("select from payout.cap_uses").rowcount == 0
    set_cap(engine, "payee", count=1)
    set_cap(engine, "payee")
    settle(engine, 100, 100)
    assert len(engine.claim()) == 2


@mutant(
    "an alarm for each transfer over a cap",
    "exceeded_cap",
    "case when w.passes_later then c.scope = 'engine' else not exists (",
    "case when w.passes_later then c.scope = 'engine' else true or not exists (",
)
def test_a_cap_that_every_transfer_exceeds_raises_one_alarm_of_a_currency_in_a_while(
    engine: Engine,
) -> None:
    """A cap that was typed in major units: three thousand transfers were as many alarms."""
    told: list[str] = []

    def hear(notice: psycopg.errors.Diagnostic) -> None:
        told.append(notice.message_primary or "")

    engine.worker.add_notice_handler(hear)
    set_cap(engine, "payee", amount=50)
    set_cap(engine, "transfer", currency="eur", amount=50)
    settle(engine, *[5000] * 12)
    settle(engine, 5000, 5000, currency="eur")
    assert claimed(engine) == []
    assert [re.findall("over_the_cap_[a-z_]+", text) for text in sorted(told)] == [
        ["over_the_cap_of_a_payee_and_day"],
        ["over_the_cap_of_a_transfer"],
    ]
    assert {whose_turn for _, _, whose_turn, _ in unpaid(engine)} == {"operator"}
    with unguarded(engine.db, "payout.holds"):
        engine.db.execute("update payout.holds set placed_at = placed_at - interval '11 minutes'")
    settle(engine, 5000, 5000)
    assert claimed(engine) == []
    engine.worker.remove_notice_handler(hear)
    assert len(told) == 3


def test_a_cap_of_nothing_stops_a_currency(engine: Engine) -> None:
    set_cap(engine, "engine", count=0)
    settle(engine, 100)
    (euros,) = settle(engine, 100, currency="eur")
    assert claimed(engine) == [euros]
