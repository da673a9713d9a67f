"""A worker is stopped, loses its lease to another one, and goes on as if nothing had happened."""

from __future__ import annotations

from payout_engine_sandbox.stripe_double import Latch
from tests.crash.conftest import StartWorker
from tests.crash.story import Story
from tests.crash.workers import Worker, wait_until


def stop_before_the_send(story: Story, fork_worker: StartWorker) -> Worker:
    """Return a worker that is stopped while its claim is being committed."""
    story.settle(1)
    with story.locked("lock table payout.transfer_attempts in share mode"):
        zombie = fork_worker()
        story.wait_for_sessions(zombie, "wait_event_type = 'Lock' and query ~ 'claim_transfers'")
        zombie.freeze()
    story.wait_until_states(in_flight=1)
    assert story.double.sends == []
    return zombie


def stop_before_the_answer(
    story: Story, fork_worker: StartWorker, fault: str, **changes: object
) -> Worker:
    """Return a worker that is stopped while a fault's answer waits to be read."""
    latch = Latch()
    story.double.inject(fault, hold_after=latch, **changes)
    zombie = fork_worker()
    story.settle(1)
    latch.wait_until_reached()
    zombie.freeze()
    latch.open()
    return zombie


def pay_with_another(story: Story, fork_worker: StartWorker) -> None:
    """Let the lease run out and a second worker pay."""
    story.let_leases_run_out()
    fork_worker(member=2).wait_for_log("reported 1 paid")
    story.wait_until_states(paid=1)


def wake(story: Story, zombie: Worker) -> tuple[str, str]:
    """Continue the zombie and return signal and verdict of its late report."""
    seen = story.verdicts()
    zombie.thaw()
    zombie.wait_for_log("reported 1 ")
    (late,) = story.verdicts()[len(seen) :]
    assert late[0] == 1
    zombie.check_log()
    story.check_each_transfer_is_paid_once()
    return late[1:]


def test_a_zombie_that_sends_after_its_lease_sends_the_same_key(
    story: Story, fork_worker: StartWorker
) -> None:
    zombie = stop_before_the_send(story, fork_worker)
    pay_with_another(story, fork_worker)
    assert wake(story, zombie) == ("response", "already")
    first, second = story.double.sends
    assert (first.key, first.body) == (second.key, second.body)
    assert [request.is_replayed for request in (first, second)] == [False, True]


def test_a_zombie_that_wakes_too_late_sends_nothing(story: Story, fork_worker: StartWorker) -> None:
    """The order itself says how long it may be sent: half a second in this test."""
    story.engine.set(http_deadline_for="1 second")
    story.engine.set(lease_for="1.5 seconds")
    zombie = stop_before_the_send(story, fork_worker)
    wait_until(lambda: story.engine.sweep().leases_expired)
    fork_worker(member=2)
    story.wait_until_states(paid=1)
    assert wake(story, zombie) == ("not_sent", "stale")
    assert len(story.double.sends) == 1


def test_a_zombie_that_has_sent_reports_an_outcome_that_is_known_already(
    story: Story, fork_worker: StartWorker
) -> None:
    zombie = stop_before_the_answer(story, fork_worker, "answer_delayed")
    pay_with_another(story, fork_worker)
    assert wake(story, zombie) == ("response", "already")
    assert [request.is_replayed for request in story.double.sends] == [False, True]


def test_a_zombie_that_was_turned_away_does_not_undo_the_payment_of_another(
    story: Story, fork_worker: StartWorker
) -> None:
    zombie = stop_before_the_answer(story, fork_worker, "rate_limited")
    pay_with_another(story, fork_worker)
    assert wake(story, zombie) == ("response", "stale")


def test_the_decline_of_an_old_key_does_not_touch_a_transfer_paid_under_the_next(
    story: Story, fork_worker: StartWorker
) -> None:
    story.double.set_balance(currency="usd", available_minor=0)
    zombie = stop_before_the_answer(story, fork_worker, "answer_delayed")
    story.let_leases_run_out()
    successor = fork_worker(member=2)
    # As long as the zombie may still be about, a decline is not taken for the last word.
    successor.wait_for_log("reported 1 unknown")
    story.engine.let_pass("16 minutes")
    story.engine.sweep()
    successor.wait_for_log("reported 1 failed")
    story.double.set_balance(currency="usd", available_minor=10_000)
    story.engine.let_pass("13 hours")
    story.engine.sweep()
    story.wait_until_states(paid=1)
    assert wake(story, zombie) == ("response", "stale")
    assert [str(request.key)[-2:] for request in story.double.sends] == [":1", ":1", ":1", ":2"]
