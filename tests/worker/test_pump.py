"""The pump keeps its slots full, claims no more than it can send, and reports every outcome."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import psycopg
import pytest

from payout_engine.errors import NotCompared, NotNow, Unsafe
from payout_engine.pump import SECOND_CLAIM_SECONDS, Pump
from payout_engine.reconcile import NewestUnread
from payout_engine.reporter import Reporter
from payout_engine.stripe_payout_adapter import Refused, StripePayoutAdapter
from payout_engine_sandbox.stripe_double import Latch, StripeDouble
from tests.worker.fakes import CANARY, FakeAdapter, FakeDatabase, make_order


def make_pump(database: FakeDatabase, adapter: Any, **options: Any) -> Pump:
    return Pump(
        database=database,
        adapter=adapter,
        reporter=Reporter(database=database),
        **({"compare_newest": nothing_is_new} | options),
    )


async def nothing_is_new() -> None:
    """Compare Stripe's newest transfers: the database wants that of no claim here."""
    raise AssertionError("nobody asked for it")


def numbers(database: FakeDatabase) -> list[int]:
    return sorted(outcome["payout_transfer_id"] for outcome in database.reported)


def test_every_due_transfer_is_sent_once_and_reported_once() -> None:
    async def main() -> None:
        database = FakeDatabase(orders=250)
        async with (
            StripeDouble() as double,
            StripePayoutAdapter(api_key=CANARY, api_base=double.url) as adapter,
            make_pump(database, adapter) as pump,
        ):
            await pump.drain()
            await database.is_quiet.wait()
            assert len(double.transfers()) == 250
        assert numbers(database) == list(range(1, 251))
        assert {outcome["signal"] for outcome in database.reported} == {"response"}
        assert len(database.reports) < 50

    asyncio.run(main())


def test_requests_under_way_never_exceed_the_slots() -> None:
    async def main() -> None:
        database, adapter = FakeDatabase(orders=100), FakeAdapter()
        adapter.may_answer.clear()
        async with make_pump(database, adapter, max_in_flight=8) as pump:
            await pump.drain(seconds=0.2)
            assert adapter.under_way == 8
            assert len(database.due) == 92
            adapter.may_answer.set()
            await database.is_quiet.wait()
        assert adapter.most_under_way == 8
        assert all(0 < claim["p_limit"] <= 2 for claim in database.claims)

    asyncio.run(main())


def test_a_slot_is_filled_again_while_others_are_still_under_way() -> None:
    async def main() -> None:
        latch = Latch()
        database = FakeDatabase(orders=60)
        async with (
            StripeDouble() as double,
            StripePayoutAdapter(api_key=CANARY, api_base=double.url) as adapter,
            make_pump(database, adapter, max_in_flight=4) as pump,
        ):
            double.inject("answer_delayed", payout_ref="payout_1", hold_after=latch)
            await pump.drain()
            while len(database.reported) < 59:
                await asyncio.sleep(0.001)
            assert 1 not in numbers(database)
            latch.open()
            await database.is_quiet.wait()

    asyncio.run(main())


def test_a_wakeup_job_ends_when_everything_is_claimed_though_answers_are_missing() -> None:
    async def main() -> None:
        database, adapter = FakeDatabase(orders=3), FakeAdapter()
        adapter.may_answer.clear()
        async with make_pump(database, adapter) as pump:
            await asyncio.wait_for(pump.drain(), timeout=5)
            assert adapter.under_way == 3
            assert database.reports == []
            adapter.may_answer.set()
        assert numbers(database) == [1, 2, 3]

    asyncio.run(main())


def test_a_wakeup_job_is_bounded_and_the_pump_goes_on_without_it() -> None:
    async def main() -> None:
        database, adapter = FakeDatabase(orders=9), FakeAdapter()
        adapter.may_answer.clear()
        async with make_pump(database, adapter, max_in_flight=4) as pump:
            await pump.drain(seconds=0.1)
            assert database.due
            adapter.may_answer.set()
            await database.is_quiet.wait()
        assert len(database.reported) == 9

    asyncio.run(main())


def test_a_transfer_committed_just_after_a_wakeup_job_was_served_is_claimed_by_a_second_claim() -> (
    None
):
    async def main() -> None:
        database, adapter = FakeDatabase(), FakeAdapter()
        async with make_pump(database, adapter) as pump:
            await pump.drain()
            database.due.append(make_order())
            await database.is_quiet.wait()
        assert numbers(database) == [1]

    asyncio.run(main())


def test_a_pump_woken_without_a_wakeup_job_claims_once() -> None:
    async def main() -> None:
        database, adapter = FakeDatabase(), FakeAdapter()
        async with make_pump(database, adapter) as pump:
            pump.wake()
            await asyncio.sleep(3 * SECOND_CLAIM_SECONDS)
        assert len(database.claims) == 1

    asyncio.run(main())


def test_a_wakeup_job_is_served_only_by_a_claim_that_began_after_it_came() -> None:
    async def main() -> None:
        database = FakeDatabase()
        claims = [(asyncio.Event(), asyncio.Event()) for _ in range(2)]

        async def on_claim() -> None:
            entered, may_leave = claims[len(database.claims) - 1]
            entered.set()
            await may_leave.wait()

        database.on_claim = on_claim
        async with make_pump(database, FakeAdapter()) as pump:
            first = asyncio.create_task(pump.drain())
            await claims[0][0].wait()
            second = asyncio.create_task(pump.drain())
            claims[0][1].set()
            await first
            await claims[1][0].wait()
            assert not second.done()
            claims[1][1].set()
            await second
        assert len(database.claims) == 2

    asyncio.run(main())


def test_the_lease_is_counted_from_before_the_claim() -> None:
    async def main() -> None:
        database, adapter = FakeDatabase(orders=1), FakeAdapter()
        now = 100.0

        async def on_claim() -> None:
            nonlocal now
            now += 45.0

        database.on_claim = on_claim
        async with make_pump(database, adapter, clock=lambda: now) as pump:
            await pump.drain()
        assert adapter.claimed_at == [100.0]

    asyncio.run(main())


def test_a_claim_that_came_back_too_late_is_not_sent() -> None:
    async def main() -> None:
        database = FakeDatabase(orders=3)
        now = 100.0

        async def on_claim() -> None:
            nonlocal now
            now += 45.0

        database.on_claim = on_claim
        async with (
            StripeDouble() as double,
            StripePayoutAdapter(api_key=CANARY, api_base=double.url, clock=lambda: now) as adapter,
            make_pump(database, adapter, clock=lambda: now) as pump,
        ):
            await pump.drain()
            await database.is_quiet.wait()
            assert double.sends == []
        assert {outcome["signal"] for outcome in database.reported} == {"not_sent"}

    asyncio.run(main())


def test_a_claim_names_the_account_and_the_mode_of_the_key() -> None:
    async def main() -> None:
        database, adapter = FakeDatabase(orders=1), FakeAdapter()
        async with make_pump(database, adapter) as pump:
            await pump.drain()
        named = [(c["p_stripe_account_id"], c["p_is_livemode"]) for c in database.claims]
        assert set(named) == {("acct_platform", False)}

    asyncio.run(main())


def test_a_key_whose_account_is_not_known_claims_nothing() -> None:
    async def main() -> None:
        database = FakeDatabase(orders=1)
        async with (
            StripeDouble() as double,
            StripePayoutAdapter(api_key=CANARY, api_base=double.url) as adapter,
            make_pump(database, adapter) as pump,
        ):
            double.inject("unavailable", method="GET", path="/v1/account")
            await pump.drain()
            assert database.claims == []
            await database.is_quiet.wait()  # it asks again by itself
            assert len(double.transfers()) == 1

    asyncio.run(main())


def test_the_claim_after_a_failed_one_serves_the_wakeup_job() -> None:
    async def main() -> None:
        database, adapter = FakeDatabase(orders=5), FakeAdapter()
        failures = [ConnectionError("gone"), ValueError("odd")]

        async def on_claim() -> None:
            if failures:
                raise failures.pop()

        database.on_claim = on_claim
        async with make_pump(database, adapter) as pump:
            await pump.drain()
            await database.is_quiet.wait()
        assert len(database.reported) == 5

    asyncio.run(main())


def test_a_claim_that_is_refused_for_now_is_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        database = FakeDatabase(orders=1)

        async def on_claim() -> None:
            raise NotNow(psycopg.OperationalError())

        database.on_claim = on_claim
        async with make_pump(database, FakeAdapter()) as pump:
            await asyncio.wait_for(pump.drain(), timeout=5)
            await asyncio.sleep(0)
            assert len(database.claims) == 1
            await asyncio.wait_for(pump.drain(), timeout=5)
            database.on_claim = None
            await pump.drain()
            await database.is_quiet.wait()

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    assert caplog.text.count("nothing is claimed now") == 1


@pytest.mark.parametrize(("refusal", "doubts"), [(Unsafe, 1), (NotNow, 0)])
def test_a_claim_that_is_refused_for_the_clock_has_stripe_asked_for_its_time(
    refusal: type[NotNow], doubts: int
) -> None:
    async def main() -> None:
        database, adapter = FakeDatabase(), FakeAdapter()

        async def on_claim() -> None:
            raise refusal(psycopg.OperationalError())

        database.on_claim = on_claim
        async with make_pump(database, adapter) as pump:
            await asyncio.wait_for(pump.drain(), timeout=5)
        assert adapter.doubts == doubts

    asyncio.run(main())


def test_a_claim_that_is_refused_before_a_comparison_is_made_again_after_it() -> None:
    async def main() -> None:
        database = FakeDatabase(orders=1)
        compared: list[int] = []

        async def on_claim() -> None:
            if not compared:
                raise NotCompared(psycopg.OperationalError())

        async def compare_newest() -> None:
            compared.append(len(database.claims))

        database.on_claim = on_claim
        pump = make_pump(database, FakeAdapter(), compare_newest=compare_newest)
        async with pump:
            await asyncio.wait_for(pump.drain(), timeout=5)
            await database.is_quiet.wait()
        assert compared == [1]
        assert numbers(database) == [1]

    asyncio.run(main())


def test_nothing_is_claimed_while_the_newest_transfers_cannot_be_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        database = FakeDatabase(orders=1)

        async def on_claim() -> None:
            raise NotCompared(psycopg.OperationalError())

        async def compare_newest() -> None:
            raise NewestUnread(Refused(403, "The key may not read transfers."))

        database.on_claim = on_claim
        pump = make_pump(database, FakeAdapter(), compare_newest=compare_newest)
        async with pump:
            await asyncio.wait_for(pump.drain(), timeout=5)
        assert database.reports == []

    asyncio.run(main())
    assert (
        "nothing is claimed, because Stripe's newest transfers cannot be compared with the books: "
        "Refused: HTTP status 403: The key may not read transfers.; the key needs the right to "
        "read transfers"
    ) in caplog.text


def test_no_claim_is_made_while_as_many_outcomes_as_slots_wait_for_the_database() -> None:
    async def main() -> None:
        database, adapter = FakeDatabase(orders=100), FakeAdapter()
        recovered = asyncio.Event()

        async def on_report(outcomes: list[Any]) -> None:
            await recovered.wait()

        database.on_report = on_report
        async with make_pump(database, adapter, max_in_flight=8) as pump:
            await pump.drain(seconds=0.2)
            assert 8 <= 100 - len(database.due) <= 10
            recovered.set()
            await database.is_quiet.wait()
        assert len(database.reported) == 100

    asyncio.run(main())


def test_one_payout_job_is_carried_to_its_end() -> None:
    async def main() -> None:
        database, adapter = FakeDatabase(orders=30), FakeAdapter()
        async with make_pump(database, adapter, max_in_flight=8) as pump:
            await pump.execute(7)
            assert len(database.reported) == 30
        assert {claim["p_payout_job_id"] for claim in database.claims} == {7}

    asyncio.run(main())


def test_closing_claims_no_more_but_finishes_and_reports_requests_under_way() -> None:
    async def main() -> None:
        database, adapter = FakeDatabase(orders=20), FakeAdapter()
        adapter.may_answer.clear()
        async with make_pump(database, adapter, max_in_flight=4) as pump:
            wakeup_job = asyncio.create_task(pump.drain())
            while adapter.under_way < 4:
                await asyncio.sleep(0)
            closing = asyncio.create_task(pump.close())
            await wakeup_job
            adapter.may_answer.set()
            await closing
        assert numbers(database) == [1, 2, 3, 4]
        assert len(database.due) == 16

    asyncio.run(main())


def test_a_request_that_does_not_finish_within_the_grace_is_reported_as_unknown() -> None:
    async def main() -> None:
        database, adapter = FakeDatabase(orders=2), FakeAdapter()
        adapter.may_answer.clear()
        async with make_pump(database, adapter) as pump:
            await pump.drain()
            began_at = time.monotonic()
            await pump.close(grace_seconds=0.2)
            assert time.monotonic() - began_at < 5
        assert [outcome["signal"] for outcome in database.reported] == ["no_response"] * 2

    asyncio.run(main())


def test_a_stopped_pump_serves_wakeup_jobs_at_once_and_claims_nothing() -> None:
    async def main() -> None:
        database = FakeDatabase(orders=1)
        async with make_pump(database, FakeAdapter()) as pump:
            pump.stop()
            await asyncio.wait_for(pump.drain(), timeout=1)
        assert database.claims == []

    asyncio.run(main())


def test_an_order_of_an_unknown_shape_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        database = FakeDatabase(orders=2)
        database.due[0].pop("deadline_seconds")  # type: ignore[misc]
        async with (
            StripeDouble() as double,
            StripePayoutAdapter(api_key=CANARY, api_base=double.url) as adapter,
            make_pump(database, adapter) as pump,
        ):
            await pump.drain()
            while not database.reported:
                await asyncio.sleep(0.001)
        assert numbers(database) == [2]
        assert "an order could not be carried out" in caplog.text

    asyncio.run(main())


def test_a_transfer_is_sent_in_its_turn_and_the_next_ones_are_claimed_before_it_is_over() -> None:
    async def main() -> None:
        database, adapter = FakeDatabase(), FakeAdapter()
        database.due = [make_order(n, send_in_seconds=0.1 * n) for n in range(4)]
        async with make_pump(database, adapter, clock=time.monotonic) as pump:
            began_at = time.monotonic()
            await pump.drain()
            database.due = [make_order(9)]
            await database.is_quiet.wait()
            assert 0.3 <= time.monotonic() - began_at < 2
            assert numbers(database) == [0, 1, 2, 3, 9]
        assert len(database.claims) >= 2

    asyncio.run(main())


def test_one_payout_job_is_carried_to_its_end_at_its_pace() -> None:
    async def main() -> None:
        database, adapter = FakeDatabase(), FakeAdapter()
        orders = [make_order(n, send_in_seconds=0.05) for n in range(5)]

        async def on_claim() -> None:
            database.due = orders[:1]
            del orders[:1]

        database.on_claim = on_claim
        async with make_pump(database, adapter, clock=time.monotonic) as pump:
            await pump.execute(7)
            assert numbers(database) == [0, 1, 2, 3, 4]

    asyncio.run(main())


def test_a_process_begins_with_few_requests_at_once_and_has_more_with_each_answer() -> None:
    """Stripe's limit is not known yet: its first refusal has to meet few requests."""

    async def main() -> None:
        database, adapter = FakeDatabase(orders=1000), FakeAdapter()
        adapter.may_answer.clear()
        async with make_pump(database, adapter) as pump:
            await pump.drain(seconds=0.2)
            assert adapter.most_under_way == 8
            adapter.may_answer.set()
            await database.is_quiet.wait()
            adapter.may_answer.clear()
            database.due = [make_order(n) for n in range(1001, 1201)]
            await pump.drain(seconds=0.5)
            assert adapter.under_way == 100
            adapter.may_answer.set()

    asyncio.run(main())


def test_after_a_refusal_for_the_rate_nothing_is_claimed_before_the_database_knows() -> None:
    async def main() -> None:
        database, adapter = FakeDatabase(orders=1), FakeAdapter(http_status=429)
        knows = asyncio.Event()

        async def on_report(outcomes: list[Any]) -> None:
            await knows.wait()

        database.on_report = on_report
        async with make_pump(database, adapter) as pump:
            await pump.drain()
            while not adapter.claimed_at or adapter.under_way:
                await asyncio.sleep(0.001)
            claims = len(database.claims)
            database.due = [make_order(2)]
            pump.wake()
            await asyncio.sleep(0.2)
            assert len(database.claims) <= claims + 1
            assert database.due
            knows.set()
            await database.is_quiet.wait()
        assert numbers(database) == [1, 2]

    asyncio.run(main())


def test_while_stripe_is_out_of_reach_one_is_claimed_after_a_growing_pause() -> None:
    """The attack: each transfer was claimed and given back again and again, until it was parked."""

    async def main() -> None:
        database, adapter = FakeDatabase(orders=300), FakeAdapter(signal="not_sent")
        async with make_pump(database, adapter) as pump:
            pump.wake()
            await asyncio.sleep(1.2)
            assert len(adapter.claimed_at) <= 8 + 4
            adapter.signal = "response"
            await database.is_quiet.wait()
        assert len(database.reported) == 300

    asyncio.run(main())
