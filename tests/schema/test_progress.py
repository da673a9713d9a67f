"""Attempts and keys only count up, and the past of a key is not forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pytest

from tests.conftest import Connection
from tests.mutants import mutant
from tests.schema import rows
from tests.schema.refusals import Refusal, refusal_of
from tests.schema.test_states import move

Changes = Mapping[str, object]
SENT_AT = "2030-01-01 00:00:00Z"
CLAIM: Changes = {
    "state": "in_flight",
    "attempt": 1,
    "next_attempt_at": None,
    "lease_until": "2030-01-01 00:00:30Z",
    "window_begins_at": SENT_AT,
}
REOPEN: Changes = {
    "state": "scheduled",
    "generation": 2,
    "next_attempt_at": SENT_AT,
    "window_begins_at": None,
}


def progress_refusal(payout_transfer_id: int, problem: str) -> Refusal:
    return Refusal("SP103", f"transfer {payout_transfer_id}: {problem}")


def update(db: Connection, payout_transfer_id: int, changes: Changes) -> Refusal | None:
    return refusal_of(db, lambda: rows.update_state(db, payout_transfer_id, changes))


@pytest.fixture
def claimed(db: Connection) -> int:
    """A transfer in flight: first key, first attempt."""
    payout_transfer_id = rows.add_transfer(db)
    rows.update_state(db, payout_transfer_id, CLAIM)
    return payout_transfer_id


@pytest.fixture
def declined(db: Connection, claimed: int) -> int:
    """A transfer that failed under its first key."""
    move(db, claimed, "failed")
    return claimed


def test_a_transfer_lives_through_a_decline_and_is_paid_under_its_second_key(
    db: Connection, declined: int
) -> None:
    rows.add_new_key(db, declined)
    rows.update_state(db, declined, REOPEN)
    rows.update_state(db, declined, {**CLAIM, "attempt": 2, "window_begins_at": "2030-01-02Z"})
    move(db, declined, "paid")

    found = db.execute("select state, generation, attempt from payout.transfer_states")
    assert found.fetchall() == [("paid", 2, 2)]


def test_a_transfer_starts_as_scheduled_with_its_first_key_and_no_attempt(db: Connection) -> None:
    payout_transfer_id = rows.add_transfer(db)
    db.execute("alter table payout.transfer_states disable trigger _500_refuse_delete")
    db.execute("delete from payout.transfer_states")
    row = {"payout_transfer_id": payout_transfer_id, **rows.COMPANIONS["scheduled"]}
    expected = progress_refusal(
        payout_transfer_id, "a transfer starts as scheduled, with its first key and no attempt"
    )

    for start in (
        {"state": "paid", "stripe_transfer_id": "tr_1", "next_attempt_at": None},
        {"state": "cancelled", "next_attempt_at": None},
        {"generation": 2},
        {"attempt": 1},
        {"window_begins_at": SENT_AT},
    ):
        attempt = partial(rows.insert, db, "transfer_states", {**row, **start})
        assert refusal_of(db, attempt) == expected
    assert refusal_of(db, partial(rows.insert, db, "transfer_states", row)) is None


def test_progress_is_not_handed_to_another_transfer(db: Connection) -> None:
    payout_transfer_id = rows.add_transfer(db)
    other = rows.add_transfer(db, "set_2")

    assert update(db, payout_transfer_id, {"payout_transfer_id": other}) == progress_refusal(
        other, "progress belongs to one transfer"
    )


def test_a_claim_counts_the_attempt_up_by_one(db: Connection) -> None:
    payout_transfer_id = rows.add_transfer(db)
    expected = progress_refusal(payout_transfer_id, "a claim counts the attempt up by one")

    for attempt in (-1, 0, 2):
        assert update(db, payout_transfer_id, {**CLAIM, "attempt": attempt}) == expected
    assert update(db, payout_transfer_id, CLAIM) is None


@mutant(
    "progress that may go back: attempt",
    "tg_transfer_states__check_progress",
    "elsif new.attempt <> old.attempt\n",
    "elsif false and old.attempt = 0\n",
)
def test_only_a_claim_counts_attempts(db: Connection, claimed: int) -> None:
    expected = progress_refusal(claimed, "only a claim counts attempts")
    retry = {"state": "retry_wait", "lease_until": None, "next_attempt_at": SENT_AT}
    paid = {"state": "paid", "lease_until": None, "stripe_transfer_id": "tr_1"}

    for changes in ({}, retry, paid):
        for attempt in (0, 2):
            assert update(db, claimed, {**changes, "attempt": attempt}) == expected


def test_a_new_key_comes_only_after_a_decline(db: Connection, claimed: int) -> None:
    expected = progress_refusal(claimed, "a new key takes the next number and only after a decline")

    for generation in (0, 2):
        assert update(db, claimed, {"generation": generation}) == expected
        for state in ("retry_wait", "unknown", "parked"):
            with db.transaction(force_rollback=True):
                move(db, claimed, state)
                assert update(db, claimed, {"generation": generation}) == expected


@mutant(
    "progress that may go back: generation",
    "tg_transfer_states__check_progress",
    "elsif new.generation <> old.generation\n",
    "elsif false\n",
)
def test_a_new_key_takes_the_next_number(db: Connection, declined: int) -> None:
    expected = progress_refusal(
        declined, "a new key takes the next number and only after a decline"
    )
    for generation in (0, 3):
        assert update(db, declined, {**REOPEN, "generation": generation}) == expected


def test_a_new_key_comes_only_with_the_move_to_scheduled(db: Connection, declined: int) -> None:
    rows.add_new_key(db, declined)

    assert update(db, declined, {"generation": 2}) == progress_refusal(
        declined, "a new key takes the next number and only after a decline"
    )


def test_a_new_key_needs_its_reason_first(db: Connection, declined: int) -> None:
    expected = progress_refusal(declined, "a new key needs its observation first")
    assert update(db, declined, REOPEN) == expected

    rows.add_new_key(db, declined, generation=3)
    assert update(db, declined, REOPEN) == expected

    rows.add_new_key(db, declined, generation=2)
    assert update(db, declined, REOPEN) is None


def test_a_declined_key_is_not_sent_again(db: Connection, declined: int) -> None:
    rows.add_new_key(db, declined)

    assert update(db, declined, {**REOPEN, "generation": 1}) == progress_refusal(
        declined, "a new key needs its observation first"
    )


@mutant(
    "progress that may go back: first send",
    "tg_transfer_states__check_progress",
    "and new.window_begins_at is distinct from old.window_begins_at then",
    "and false then",
)
def test_the_first_send_under_a_key_is_a_fact(db: Connection, claimed: int) -> None:
    expected = progress_refusal(claimed, "the send window of a key does not move")
    times = ("2029-12-31Z", "2030-01-02Z")

    for window_begins_at in (None, *times):
        assert update(db, claimed, {"window_begins_at": window_begins_at}) == expected
    move(db, claimed, "unknown")
    for window_begins_at in (None, *times):
        assert update(db, claimed, {"window_begins_at": window_begins_at}) == expected


@mutant(
    "progress that may go back: unknown",
    "tg_transfer_states__check_progress",
    "and old.has_unknown_send and not new.has_unknown_send then",
    "and false then",
)
def test_an_unknown_send_is_not_forgotten_under_its_key(db: Connection, claimed: int) -> None:
    rows.update_state(db, claimed, {"has_unknown_send": True})

    assert update(db, claimed, {"has_unknown_send": False}) == progress_refusal(
        claimed, "a send whose outcome is unknown stays so under its key"
    )
    move(db, claimed, "failed")
    rows.add_new_key(db, claimed)
    assert update(db, claimed, {**REOPEN, "has_unknown_send": False}) is None


@mutant(
    "an edge out of paid",
    "tg_transfer_states__check_progress",
    "elsif old.state = 'paid' then",
    "elsif false then",
    sql=("insert into payout.state_edges values ('paid', 'in_flight', 'why not')"),
)
@mutant(
    "progress that may go back: paid",
    "tg_transfer_states__check_progress",
    "elsif old.state = 'paid' then",
    "elsif false then",
)
def test_a_paid_transfer_does_not_change_at_all(db: Connection, claimed: int) -> None:
    move(db, claimed, "paid")
    expected = progress_refusal(claimed, "a paid transfer does not change")

    for changes in (
        {"stripe_transfer_id": "tr_2"},
        {"stripe_transfer_id": None},
        {"reason": "looked_at_again"},
        {"changed_at": SENT_AT},
    ):
        assert update(db, claimed, changes) == expected


@mutant(
    "a date that is taken away",
    "tg_transfer_states__check_progress",
    "elsif new.reason = 'awaiting_account' and old.reason is distinct from 'awaiting_account' then",
    "elsif false then",
)
def test_a_date_is_not_taken_away_as_if_the_payee_had_no_account(db: Connection) -> None:
    payout_transfer_id = rows.add_transfer(db)
    waiting = {"next_attempt_at": None, "reason": "awaiting_account"}

    assert update(db, payout_transfer_id, waiting) == progress_refusal(
        payout_transfer_id, "only a transfer that never had a date waits for an account"
    )


@mutant(
    "enable trigger _511_check_progress on transfer_states",
    sql=("alter table payout.transfer_states enable trigger _511_check_progress"),
)
@mutant(
    "disable trigger _511_check_progress on transfer_states",
    sql=("alter table payout.transfer_states disable trigger _511_check_progress"),
)
def test_the_guards_of_progress_also_hold_for_a_superuser_posing_as_a_replica(
    db: Connection, claimed: int
) -> None:
    db.execute("set session_replication_role = replica")

    assert update(db, claimed, {"attempt": 0}) == progress_refusal(
        claimed, "only a claim counts attempts"
    )
    assert update(db, claimed, {"generation": 2}) == progress_refusal(
        claimed, "a new key takes the next number and only after a decline"
    )


def test_a_copy_takes_progress_as_it_stands(db: Connection) -> None:
    db.execute("set session_replication_role = replica")

    # A restore or a replica writes rows as they stand; it does not start anything.
    paid = {"payout_transfer_id": 1, "state": "paid", "stripe_transfer_id": "tr_1", "attempt": 1}
    assert refusal_of(db, lambda: rows.insert(db, "transfer_states", paid)) is None
