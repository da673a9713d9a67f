"""All workers together send no faster than the pace, which a refusal for the rate lowers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, NamedTuple

import psycopg
import pytest

from tests.conftest import Connection
from tests.engine import Claim, Engine, Outcome, outcome, rate_limited, success
from tests.mutants import mutant
from tests.schema.refusals import refusal


class Pace(NamedTuple):
    """The row of `paces` for sends."""

    per_second: float | None
    refused_per_second: float | None


def pace(engine: Engine) -> Pace:
    rows = engine.db.execute(
        "select per_second::float8, refused_per_second::float8 from payout.paces "
        "where kind = 'sends'"
    )
    return Pace(*rows.fetchall()[0])


def set_pace(engine: Engine, **columns: object) -> None:
    assignments = ", ".join(f"{name} = %({name})s" for name in columns)
    engine.db.execute(f"update payout.paces set {assignments} where kind = 'sends'", columns)


def settle_many(engine: Engine, number: int = 60) -> None:
    engine.settle(*(f"seller_{n}" for n in range(number)))


def turns(claims: list[Claim]) -> list[float]:
    return sorted(claim.send_in_seconds for claim in claims)


def test_without_a_pace_everything_that_is_due_is_handed_out_at_once(engine: Engine) -> None:
    settle_many(engine)
    claims = engine.claim()
    assert turns(claims) == [0.0] * 60
    assert pace(engine) == Pace(None, None)


@mutant(
    "a claim that knows no pace",
    "claim_transfers",
    "least(p_limit, v_free) - cardinality(v_claims)",
    "p_limit - cardinality(v_claims)",
)
@mutant(
    "a setting that bounds nothing",
    "free_turns",
    "least(p.per_second, e.sends_per_second)",
    "p.per_second",
)
def test_a_claim_hands_out_the_turns_of_a_quarter_second_and_the_next_one_those_that_follow(
    engine: Engine,
) -> None:
    settle_many(engine)
    engine.set(sends_per_second=20)
    first = turns(engine.claim())
    assert len(first) == 6
    assert first[0] == 0
    assert [round(later - turn, 3) for turn, later in itertools.pairwise(first)] == (
        [0.05] * (len(first) - 1)
    )
    (only,) = engine.claim(worker="worker_2")
    assert 0.2 < only.send_in_seconds <= 0.3
    engine.db.execute("select pg_sleep(0.25)")
    assert 4 <= len(engine.claim()) <= 6


def end_of_turns(engine: Engine) -> int:
    """Return the time of the first turn that is not handed out, in microseconds."""
    query = "select pg_sequence_last_value('payout.send_turns')"
    ((at,),) = engine.db.execute(query).fetchall()
    return int(at)


@mutant(
    "turns that everybody gets again",
    "take_turns",
    "1e6 * p_count * apart_seconds",
    "0",
)
def test_the_turns_of_all_workers_follow_one_another(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    """No claim waits for another one's commit, and no turn is handed out again by a rollback."""
    settle_many(shared_engine)
    shared_engine.set(sends_per_second=1)
    one, other = connect("payout_worker"), connect("payout_worker")
    ends = []

    def claim(connection: Connection) -> None:
        """The turns of a claim begin where those before it end, or now."""
        assert len(shared_engine.claim(1, connection=connection)) == 1
        ends.append(end_of_turns(shared_engine))

    with one.transaction(force_rollback=True):
        claim(one)
        claim(other)
    claim(other)
    assert ends[1] - ends[0] >= 1_000_000
    assert ends[2] - ends[1] >= 1_000_000


def test_claims_at_once_share_the_turns_of_the_next_seconds(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    """Workers that are woken together, as by a large settlement."""
    settle_many(shared_engine, 200)
    shared_engine.set(sends_per_second=20)
    workers = [connect("payout_worker") for _ in range(8)]
    barrier = Barrier(len(workers))
    ((began,),) = shared_engine.db.execute("select payout.clock()").fetchall()

    def claim(connection: Connection) -> int:
        barrier.wait()
        return sum(len(shared_engine.claim(25, connection=connection)) for _ in range(4))

    with ThreadPoolExecutor(len(workers)) as pool:
        handed_out = sum(pool.map(claim, workers))
    ((ahead,),) = shared_engine.db.execute(
        "select (pg_sequence_last_value('payout.send_turns'::regclass) / 1e6 "
        "- extract(epoch from %s))::float8",
        [began],
    ).fetchall()
    # Each has its own turn.
    assert handed_out * 0.05 <= ahead + 0.001
    assert ahead <= 5 + 11 * 0.05 + 2


@mutant(
    "a failed claim keeps the turns for itself",
    "take_turns",
    "            perform pg_advisory_unlock(hashtext('payout.take_turns'), hashtext(p_kind))\n"
    "            where v_has_lock;\n"
    "            raise;",
    "            raise;",
)
def test_a_claim_that_fails_holds_up_no_other(engine: Engine) -> None:
    settle_many(engine, 2)
    engine.set(sends_per_second=20)
    engine.db.execute("alter sequence payout.send_turns maxvalue 10")
    with (
        pytest.raises(psycopg.errors.NumericValueOutOfRange, match=r"^setval: value \d+ is out"),
        engine.db.transaction(),
    ):
        engine.db.execute("select payout.take_turns('sends', 1, payout.clock())")
    given_back = engine.db.execute(
        "select pg_advisory_unlock(hashtext('payout.take_turns'), hashtext('sends'))"
    ).fetchall()
    assert given_back == [(False,)]
    engine.db.execute("alter sequence payout.send_turns no maxvalue")
    assert len(engine.claim()) == 2


@mutant(
    "a stranger's lock is waited for",
    "take_turns",
    "for v_try in 1 .. 50 loop",
    "for v_try in 1 .. 5000 loop",
)
@mutant(
    "a lock that is given back by who has none",
    "take_turns",
    "        where v_has_lock;\n    exception",
    "        ;\n    exception",
)
def test_a_lock_that_any_login_may_take_stops_no_claim_and_no_read(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    engine, stranger = shared_engine, connect("payout_app")
    warnings: list[str | None] = []
    engine.worker.add_notice_handler(lambda notice: warnings.append(notice.message_primary))
    settle_many(engine, 2)
    engine.set(sends_per_second=20)
    stranger.execute(
        "select pg_advisory_lock(hashtext('payout.take_turns'), hashtext(kind)) "
        "from unnest('{sends,reads}'::text[]) as kind"
    )
    engine.worker.execute("set statement_timeout = '2s'")
    reads = "select kind from payout_api.claim_reads('worker_1', 1, null, null, 'comparison')"
    assert refusal(engine.worker, "select payout_api.claim_transfers('worker_1')") is None
    assert refusal(engine.worker, reads) is None
    assert warnings == []


@mutant(
    "a clock that was set back stops all sends",
    "free_turns",
    "a.ahead between 0 and 60",
    "a.ahead > 0",
)
def test_a_turn_that_a_wrong_clock_set_far_ahead_stops_nothing(engine: Engine) -> None:
    settle_many(engine, 2)
    engine.set(sends_per_second=20)
    engine.db.execute(
        "select setval('payout.send_turns', (extract(epoch from now() + '50 hours') * 1e6)::bigint)"
    )
    assert len(engine.claim()) == 2


@mutant(
    "a refusal for the rate that slows nobody down",
    "slow_down",
    "perform payout.lower_pace('sends', v_refusal.claimed_at);",
    "",
)
def test_a_refusal_for_the_rate_halves_what_stripe_answered_in_the_last_second(
    engine: Engine,
) -> None:
    """The attack: a limit of 10 a second, and 56,321 refused requests for 1,500 payees."""
    settle_many(engine)
    claims = engine.claim(24)
    engine.report(*(success(c, stripe_transfer_id=f"tr_{n}") for n, c in enumerate(claims[:20])))
    engine.report(*(rate_limited(claim) for claim in claims[20:]))
    assert pace(engine) == Pace(10, None)
    (claim,) = engine.claim()
    assert 0.9 < claim.send_in_seconds <= 1


@mutant(
    "each of many refusals halves the pace",
    "lower_pace",
    "p.refused_at between p_claimed_at and v_now",
    "false",
)
def test_refusals_of_what_was_handed_out_before_count_once(engine: Engine) -> None:
    settle_many(engine)
    engine.set(sends_per_second=12)
    first = engine.claim(10)
    for claim in first:
        engine.report(rate_limited(claim))
    assert pace(engine) == Pace(5, 12)
    engine.db.execute("select setval('payout.send_turns', 1)")
    (later, *_) = engine.claim()
    engine.report(rate_limited(later))
    assert pace(engine) == Pace(2.5, 5)


@pytest.mark.parametrize(
    "answer",
    [
        {"http_status": 429, "error_code": "lock_timeout"},
        {"http_status": 429, "rate_limited_reason": "resource-specific"},
        {"http_status": 409, "error_code": "idempotency_key_in_use"},
        {"http_status": 503},
    ],
)
def test_another_refusal_slows_nobody_down(engine: Engine, answer: dict[str, Any]) -> None:
    engine.settle()
    engine.report(outcome(engine.claim_one(), "response", **answer))
    assert pace(engine) == Pace(None, None)


def test_a_refusal_that_another_worker_makes_up_slows_nobody_down(engine: Engine) -> None:
    engine.settle()
    forged = rate_limited(engine.claim_one()) | {"claim_token": "invented"}
    assert engine.report_one(forged) == ("alarm", "in_flight")
    assert pace(engine) == Pace(None, None)


def paces_in_use(engine: Engine, seconds: int) -> list[float | None]:
    """Return the pace after each second in which all turns were used."""
    found = []
    for _ in range(seconds):
        engine.db.execute(
            "update payout.paces set grown_at = grown_at - interval '1 second', "
            "refused_at = refused_at - interval '1 second'"
        )
        engine.db.execute("select payout.raise_pace('sends', payout.clock())")
        found.append(pace(engine).per_second)
    return found


@mutant(
    "a pace that stays low",
    "raise_pace",
    "then least(o.per_second * 2 ^ (o.seconds / 5)",
    "then least(o.per_second",
)
@mutant("a pace that does not stay", "raise_pace", "interval '1 minute'", "interval '1 second'")
@mutant(
    "a pace that its own rounding holds down",
    "raise_pace",
    "round(0.95 * p.refused_per_second, 6)",
    "0.95 * p.refused_per_second",
    at="rounded down",
)
@pytest.mark.parametrize("refused", [25, 25.000011], ids=["exact", "rounded down"])
def test_a_lowered_pace_grows_to_the_limit_and_stays_there_for_a_while(
    engine: Engine, refused: float
) -> None:
    set_pace(engine, per_second=12.5, refused_per_second=refused, refused_at="now")
    grown = paces_in_use(engine, 63)
    assert grown[2] is not None
    assert 18 < grown[2] < 20
    assert grown[4:59] == pytest.approx([23.75] * 55, abs=0.0001)
    assert grown[-1] is not None
    assert 27 < grown[-1] < 32


@mutant(
    "a setting that was not used taken for the limit",
    "lower_pace",
    "case when 0.8 * v_most <= coalesce(v_answered, v_most) then v_most end",
    "v_most",
)
def test_a_setting_that_is_not_used_is_not_the_limit(engine: Engine) -> None:
    """The attack: a setting of four times the limit was halved again and again."""
    settle_many(engine)
    engine.set(sends_per_second=1000)
    claims = engine.claim(30)
    engine.report(*(success(c, stripe_transfer_id=f"tr_{n}") for n, c in enumerate(claims[:24])))
    engine.report(*(rate_limited(claim) for claim in claims[24:]))
    assert pace(engine) == Pace(12, None)


@mutant(
    "a limit that is never forgotten",
    "raise_pace",
    "interval '1 minute'",
    "interval '1 year'",
)
def test_a_limit_that_is_gone_is_forgotten(engine: Engine) -> None:
    set_pace(engine, per_second=27.4, refused_per_second=25, refused_at="now")
    grown = paces_in_use(engine, 150)
    assert grown[-1] is None
    assert pace(engine) == Pace(None, None)


def test_a_pace_that_is_not_used_does_not_grow(engine: Engine) -> None:
    settle_many(engine, 2)
    set_pace(engine, per_second=12, refused_per_second=25, refused_at="now")
    engine.let_pass("1 hour")
    engine.claim()
    assert pace(engine).per_second == 12


def test_the_setting_is_never_passed(engine: Engine) -> None:
    settle_many(engine)
    engine.set(sends_per_second=20)
    set_pace(engine, per_second=300)
    assert len(engine.claim()) == 6


def failing(claim: Claim) -> Outcome:
    return outcome(claim, "not_sent")


def test_a_backlog_after_an_outage_flows_at_the_pace(engine: Engine) -> None:
    settle_many(engine, 40)
    engine.report(*(failing(claim) for claim in engine.claim()))
    engine.let_pass("10 minutes")
    engine.set(sends_per_second=20)
    assert len(engine.claim()) == 6
