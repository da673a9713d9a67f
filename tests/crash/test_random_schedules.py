"""Workers are killed, stopped and disconnected at random while Stripe fails at random.

PAYOUT_CRASH_SECONDS lengthens the run; PAYOUT_CRASH_SEED repeats one that was printed.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections import Counter
from typing import Final

import pytest

from payout_engine_sandbox.stripe_double import RecordedRequest
from tests.crash.conftest import StartWorker
from tests.crash.story import Story
from tests.crash.workers import Worker, wait_until

SECONDS: Final = float(os.environ.get("PAYOUT_CRASH_SECONDS", "8"))
SEED: Final = int(os.environ.get("PAYOUT_CRASH_SEED") or secrets.randbelow(10**6))
SCHEDULE_SECONDS: Final = min(20.0, SECONDS)
CHAOS_SECONDS: Final = 0.65 * SCHEDULE_SECONDS
WORKERS: Final = 3
# How often, of a hundred requests; the others go well.
FAULTS: Final = {
    "reset_before_effect": 4,
    "answer_reset": 5,
    "answer_lost": 5,
    "answer_cut": 3,
    "not_json": 2,
    "answer_delayed": 5,
    "slow": 4,
    "rate_limited": 5,
    "lock_timeout": 2,
    "key_in_use": 2,
    "unavailable": 3,
    "unavailable_after_effect": 3,
    "server_error": 2,
    "server_error_after_effect": 2,
    "server_error_before_late_effect": 1,
    "declined": 2,
}
# A request may fail so often in a row before it goes well.
PATIENCE: Final = 4
SETTINGS: Final = {
    "http_deadline_for": "2 seconds",
    "lease_for": "3 seconds",
    "attempt_drain_for": "2 seconds",
    "queue_wakeup_again_after": "1 second",
}
WRONG_JOBS: Final = """
select s.settlement_id
from payout.settlements as s
where s.state = 'complete' and (
    (select count(*) from payout.payout_jobs as j where j.settlement_id = s.settlement_id) <> 1
    or s.total_minor <> (
        select sum(l.amount_minor) from payout.settlement_lines as l
        where l.settlement_id = s.settlement_id)
    or s.total_minor <> (
        select sum(t.amount_minor) from payout.payout_transfers as t
        where t.settlement_id = s.settlement_id))
"""
WRONG_ATTEMPTS: Final = """
select s.payout_transfer_id
from payout.transfer_states as s
left join payout.transfer_attempts as a on a.payout_transfer_id = s.payout_transfer_id
group by s.payout_transfer_id, s.attempt
having (count(a.attempt), coalesce(max(a.attempt), 0)) <> (s.attempt, s.attempt)
"""
# A report moved a transfer although a newer attempt had been claimed before it came.
WRONG_MOVES: Final = """
select o.observation_id
from payout.transfer_observations as o
join payout.transfer_attempts as a on a.payout_transfer_id = o.payout_transfer_id
where a.attempt > o.attempt and a.claimed_at < o.observed_at
    and o.moved_to is not null and o.moved_to <> 'paid'
"""


class Schedule:
    """The events of one marketplace, drawn from its seed."""

    def __init__(self, *, seed: int, story: Story, fork_worker: StartWorker) -> None:
        self.seed = seed
        self.done: Counter[str] = Counter()
        self._story = story
        self._fork_worker = fork_worker
        self._random = random.Random(seed)
        self._tries: Counter[str | None] = Counter()
        self._faults: dict[int, str | None] = {}
        self._workers: list[Worker] = []
        self._stopped: list[Worker] = []
        self._logs: list[Worker] = []

    def run(self) -> None:
        """Run random events, then let every fault end, and check the result."""
        story = self._story
        story.double.set_account(account_id="acct_7", state="closed")
        for name in FAULTS:
            story.double.inject(
                name,
                times=None,
                where=lambda request, name=name: self._fault(request) == name,
                **({"late_seconds": 2.0} if name.endswith("late_effect") else {}),
            )
        self._settle()
        self._workers = [self._start() for _ in range(WORKERS)]
        end = time.monotonic() + CHAOS_SECONDS
        while time.monotonic() < end:
            time.sleep(self._random.uniform(0.02, 0.25))
            self._do_something()
            story.check_no_transfer_is_paid_twice()
            story.check_books()
        self._calm_down()
        self._check()

    def _fault(self, request: RecordedRequest) -> str | None:
        """Choose the fault of a request: by its transfer and how often that was tried."""
        if request.number not in self._faults:
            self._tries[request.payout_ref] += 1
            tries = self._tries[request.payout_ref]
            dice = random.Random(f"{self.seed} {request.payout_ref} {tries}")
            (fault,) = dice.choices([None, *FAULTS], [100 - sum(FAULTS.values()), *FAULTS.values()])
            self._faults[request.number] = fault if tries <= PATIENCE else None
        return self._faults[request.number]

    def _do_something(self) -> None:
        steps = {
            self._kill: 8,
            self._settle: 4,
            self._make_due: 4,
            self._disconnect: 2,
            self._freeze: 2,
            self._thaw: 3,
            self._terminate: 1,
            self._story.empty_the_queue: 1,
        }
        (step,) = self._random.choices(list(steps), list(steps.values()))
        self.done[step.__name__.strip("_")] += 1
        step()

    def _start(self) -> Worker:
        self._logs.append(self._fork_worker(member=self._random.choice([1, 2])))
        return self._logs[-1]

    def _replace(self, worker: Worker) -> None:
        self._workers[self._workers.index(worker)] = self._start()

    def _kill(self) -> None:
        worker = self._random.choice(self._workers)
        worker.kill()
        self._replace(worker)

    def _terminate(self) -> None:
        worker = self._random.choice(self._workers)
        worker.terminate()
        self._replace(worker)

    def _freeze(self) -> None:
        worker = self._random.choice(self._workers)
        worker.freeze()
        self._stopped.append(worker)
        self._replace(worker)

    def _thaw(self) -> None:
        for worker in self._stopped:
            worker.thaw()
            worker.terminate()
        self._stopped.clear()

    def _disconnect(self) -> None:
        for session in self._story.sessions(self._random.choice(self._workers)):
            self._story.db.execute("select pg_terminate_backend(%s)", [session])

    def _settle(self) -> None:
        payees, settlement = self._random.randint(1, 40), sum(self.done.values())
        self._story.settle(payees, settlement_id=f"set_{self.seed}_{settlement}")

    def _make_due(self) -> None:
        self._story.make_due()

    def _calm_down(self) -> None:
        """Let nothing fail any more, until every open transfer waits for an operator."""
        self._story.double.clear_faults()
        self._thaw()

        def is_calm() -> bool:
            self._story.make_due()
            return self._story.states().keys() <= {"paid", "failed", "parked"}

        wait_until(is_calm, seconds=60, tell=self._story.states)
        wait_until(lambda: self._story.waiting_wakeups() == 0)
        for worker in self._workers:
            worker.terminate()
        for worker in self._logs:
            worker.wait()

    def _check(self) -> None:
        story = self._story
        print(f"seed {self.seed}: {dict(self.done)}, {len(story.double.requests)} requests,")
        print(f"    {dict(Counter(self._faults.values()))}, {dict(story.states())}")
        story.check_money()
        for query in (WRONG_JOBS, WRONG_ATTEMPTS, WRONG_MOVES):
            assert story.db.execute(query).fetchall() == []
        for worker in self._logs:
            worker.check_log()
        assert story.engine.open_holds() == []


@pytest.mark.long
@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.proof
def test_random_faults_pay_no_transfer_twice_and_the_books_agree_with_stripe(
    story: Story, fork_worker: StartWorker
) -> None:
    # Hours pass in seconds here, which the real settings may not do.
    story.engine.db.execute(
        "alter table payout.engine_settings drop constraint attempts_drain_for_a_quarter_of_an_hour"
    )
    for name, value in SETTINGS.items():
        story.engine.set(**{name: value})
    for number in range(max(1, int(SECONDS / SCHEDULE_SECONDS))):
        print(f"PAYOUT_CRASH_SEED={SEED + number}")
        Schedule(seed=SEED + number, story=story, fork_worker=fork_worker).run()
