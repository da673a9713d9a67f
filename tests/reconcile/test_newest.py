"""Stripe's newest transfers are compared with the books before anything is claimed.

A database that went back in time has forgotten its sends; Stripe has not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.conftest import Connection, compare_newest
from tests.engine import Engine, alarms, listed, no_answer, success, unguarded
from tests.identity.identities import identity_problem
from tests.identity.test_identity_problem import install_again
from tests.mutants import mutant
from tests.operate.checks import examine
from tests.reconcile.listing import (
    Listed,
    Read,
    carry,
    claim,
    event,
    ours,
    reconcile,
    refusal_by,
    with_account,
)
from tests.reconcile.listing import listed as others
from tests.schema.refusals import Refusal, refusal, refusal_of

CLAIM: Final = (
    "select * from payout_api.claim_transfers(p_worker => 'worker_1', "
    "p_stripe_account_id => 'acct_platform', p_is_livemode => false)"
)
OPEN: Final = "select payout_api.adopt_database('compared with Stripe')"
NOT_COMPARED: Final = Refusal(
    "SP405",
    "no transfer is handed out before Stripe's newest transfers were compared",
)
NOT_ADOPTED: Final = Refusal(
    "SP403", "no transfer is handed out: this database is not the one that was adopted"
)
WENT_BACK: Final = (
    "Claims were stopped: Stripe has transfers of this installation that this database never "
    "sent, such as tr_9: it went back in time, or a copy of it pays too."
)
ANOTHER: Final = "0123456789abcdef0123456789abcdef"
CREATED: Final = 1_600_000_000


@pytest.fixture
def engine(engine: Engine) -> Engine:
    """An engine whose claims name the account of its reads."""
    return with_account(engine)


def restart(engine: Engine) -> None:
    """Let all reads be of an earlier start of the server."""
    with unguarded(engine.db, "payout.stripe_reads"):
        engine.db.execute(
            "update payout.stripe_reads "
            "set server_started_at = server_started_at - interval '1 microsecond'"
        )


def age(engine: Engine, interval: str) -> None:
    """Let all reads have begun so long ago."""
    with unguarded(engine.db, "payout.stripe_reads"):
        engine.db.execute(
            "update payout.stripe_reads set begun_at = payout.clock() - %s::interval", [interval]
        )


def newest(engine: Engine) -> Read:
    """Claim the read of the newest transfers, which is due."""
    (read,) = claim(engine.worker, "newest")
    return read


def compare(engine: Engine, *objects: Listed) -> tuple[Any, ...]:
    """Compare the newest transfers, once the server was restarted; they fit on one page."""
    restart(engine)
    return carry(engine.worker, newest(engine), *objects)


def pay(engine: Engine, *payees: str, settlement_id: str = "set_1") -> None:
    """Settle and pay: the transfer to seller_<n> is tr_<n>."""
    engine.settle(*payees, settlement_id=settlement_id)
    for each in engine.claim():
        payee = each.request["metadata"]["payee_id"]
        engine.report(success(each, stripe_transfer_id=payee.replace("seller", "tr")))


@mutant(
    "a claim without a comparison",
    "refuse_unsafe_database",
    "if not payout.is_compared(p_comparison_counts_for) then",
    "if false then",
    at="restart",
)
@mutant(
    "a comparison of another start of the server",
    "is_current",
    "p_read.server_started_at = pg_postmaster_start_time()",
    "true",
    at="restart",
)
@mutant(
    "a comparison of long ago",
    "is_current",
    "p_read.begun_at > v_now - p_within",
    "true",
    at="an hour",
)
@mutant(
    "a comparison under a clock that was ahead",
    "is_current",
    "and p_read.begun_at <= v_now",
    "",
    at="a clock set back",
)
@pytest.mark.parametrize(
    "make_old",
    [
        pytest.param(restart, id="restart"),
        pytest.param(lambda engine: age(engine, "61 minutes"), id="an hour"),
        pytest.param(lambda engine: age(engine, "-1 minute"), id="a clock set back"),
    ],
)
def test_nothing_is_claimed_before_the_newest_transfers_were_compared(
    engine: Engine, make_old: Callable[[Engine], None]
) -> None:
    engine.settle()
    compare_newest(engine.db)
    make_old(engine)
    assert refusal(engine.db, CLAIM) == NOT_COMPARED
    read = newest(engine)
    assert (read.path, read.parameters) == ("/v1/transfers", {})
    assert refusal(engine.db, CLAIM) == NOT_COMPARED

    next_, seen, found, result, is_alarm = carry(engine.worker, read)
    assert (next_, seen, found, is_alarm) == (None, 0, 0, False)
    assert result == "compared the 0 newest transfers of Stripe's: 0 discrepancies"
    assert engine.claim_one().attempt == 1


@mutant(
    "a comparison of another database that allows claims",
    "is_current",
    "and payout.is_of_this_database(p_read)",
    "",
)
def test_a_comparison_before_an_adoption_ended_allows_no_claim(engine: Engine) -> None:
    engine.settle()
    engine.db.execute("insert into payout.adoptions (reason) values ('another account')")
    engine.db.execute("select payout.adopt('a new one', true)")
    assert refusal(engine.db, CLAIM) == NOT_COMPARED


def test_a_comparison_of_all_transfers_has_compared_the_newest(engine: Engine) -> None:
    engine.settle()
    restart(engine)
    reconcile(engine.worker)
    assert engine.claim_one().attempt == 1


@pytest.mark.parametrize(("passed", "is_due"), [("29 minutes", False), ("31 minutes", True)])
def test_they_are_compared_again_before_claims_are_refused(
    engine: Engine, passed: str, is_due: bool
) -> None:
    compare_newest(engine.db)
    age(engine, passed)
    assert len(claim(engine.worker, "newest")) == is_due
    assert refusal(engine.db, CLAIM) is None


def test_several_workers_carry_one_comparison(engine: Engine) -> None:
    restart(engine)
    read, again = newest(engine), newest(engine)
    assert again.read_id == read.read_id
    carry(engine.worker, again)
    assert claim(engine.worker, "newest") == []


@mutant(
    "a comparison from before a restart that goes on",
    "continue_list",
    "payout.is_current(",
    "v_read.begun_at is not null or payout.is_current(",
)
def test_a_comparison_from_before_a_restart_is_given_up(engine: Engine) -> None:
    restart(engine)
    old = newest(engine)
    restart(engine)
    read = newest(engine)
    assert read.read_id != old.read_id
    counts_no_more = refusal_by(old, "it no longer counts for this database")
    assert refusal_of(engine.db, lambda: carry(engine.worker, old)) == counts_no_more


@mutant(
    "the newest transfers without an overlap",
    "begin_list",
    "when 'newest' then interval '1 hour'",
    "when 'newest' then interval '0'",
)
def test_the_next_one_begins_an_hour_before_the_newest_that_stripe_showed(engine: Engine) -> None:
    compare(engine, others("tr_8", created=CREATED), others("tr_7", created=CREATED - 9000))
    restart(engine)
    assert newest(engine).gte == CREATED - 3600


@mutant(
    "a comparison that ends at once",
    "is_far_enough",
    "o.signal = 'response'",
    "true",
    at="found",
)
@mutant(
    "a comparison that never ends early",
    "take_page",
    "p_read.kind = 'newest' and payout.is_far_enough(p_read, v_listed)",
    "false",
    at="reported",
)
@pytest.mark.parametrize("how", ["reported", "found"])
def test_a_page_with_a_transfer_that_was_reported_paid_here_is_the_last(
    engine: Engine, how: str
) -> None:
    """All that was forgotten was sent later, and Stripe lists the newest first.

    The attack: a known transfer that was sent again, after the forgotten ones, is on the page.
    """
    pay(engine, "seller_1")
    engine.settle("seller_2", settlement_id="set_2")
    engine.report(no_answer(engine.claim_one()))
    number = {"reported": 1, "found": 2}[how]
    there = ours(
        engine.db, f"tr_{number}", settlement_id=f"set_{number}", payee_id=f"seller_{number}"
    )
    (read,) = claim(engine.worker, "events")
    carry(engine.worker, read, event(1, there))
    restart(engine)
    next_, *_ = carry(engine.worker, newest(engine), there, has_more=True)
    assert next_ == (None if how == "reported" else {"starting_after": "tr_2"})


@mutant(
    "a comparison that reads for ever",
    "is_far_enough",
    "count(*) >= 99",
    "false",
)
def test_an_account_of_many_other_transfers_is_read_for_a_hundred_pages(engine: Engine) -> None:
    restart(engine)
    read, after = newest(engine), None
    for number in range(1, 101):
        next_, *_ = carry(
            engine.worker,
            read,
            others(f"tr_other_{number}", created=1),
            after=after,
            has_more=True,
        )
        after = f"tr_other_{number}"
        assert (next_ is None) is (number == 100)


@mutant(
    "a forgotten transfer that stops nothing",
    "take_listed_transfers",
    "perform payout.stop_beside_another(listed, p_read.read_id);",
    "",
    at="unknown",
)
@mutant(
    "a transfer that was never sent is known",
    "stop_beside_another",
    "and coalesce(s.attempt, 0) = 0",
    "and s.attempt is null",
    at="never sent",
)
@pytest.mark.parametrize("is_settled", [False, True], ids=["unknown", "never sent"])
def test_a_transfer_of_ours_that_was_never_sent_here_stops_claims(
    engine: Engine, is_settled: bool
) -> None:
    """The attack: an old data directory is put back, with the identity that it had.

    The settlement is forgotten, or only its claim; recorded again a day later it is due, and
    Stripe has forgotten the key.
    """
    pay(engine, "seller_1")
    if is_settled:
        engine.settle("seller_9", settlement_id="set_9")
    there = ours(engine.db, "tr_9", settlement_id="set_9", payee_id="seller_9")
    compare(engine, there)
    engine.settle("seller_9", settlement_id="set_9")
    engine.settle("seller_2", settlement_id="set_2")

    refused = refusal(engine.db, CLAIM)
    assert refused == NOT_ADOPTED
    assert identity_problem(engine.db) == WENT_BACK
    actions = engine.db.execute(
        "select action, subject, details ->> 'read_id' = a.read_id::text "
        "from payout.operator_actions cross join payout.adoptions as a "
        "where a.system_identifier is null order by operator_action_id desc limit 1"
    )
    assert actions.fetchall() == [("stop_claims", "database_went_back", True)]
    (check,) = (c for c in examine(engine.db) if c.check_name == "the database is adopted")
    assert (check.status, check.detail) == ("failure", WENT_BACK)

    engine.adopt()
    engine.sweep()
    assert [each.request["metadata"]["payee_id"] for each in engine.claim()] == ["seller_2"]


def test_operators_are_notified_that_claims_were_stopped(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> None:
    listener = connect()
    listener.execute("listen payout_alarms")
    compare(shared_engine, ours(shared_engine.db, "tr_9"))
    assert set(alarms(listener, seconds=5, stop_after=2)) == {
        "database_went_back",
        "unknown_transfer_at_stripe",
    }


def test_events_stop_claims_too(engine: Engine) -> None:
    (read,) = claim(engine.worker, "events")
    carry(engine.worker, read, event(1, ours(engine.db, "tr_9", amount_reversed=1)))
    assert identity_problem(engine.db) == WENT_BACK


@mutant(
    "a look that stops nothing",
    "finish_lookup",
    "if v_outcome.found = 1 and v_state.state = 'scheduled' then",
    "if false then",
)
@mutant(
    "a look that stops claims again and again",
    "finish_lookup",
    "if v_outcome.found = 1 and v_state.state = 'scheduled' then",
    "if v_outcome.found = 1 then",
)
def test_a_look_before_a_late_first_send_that_finds_it_stops_claims_once(engine: Engine) -> None:
    engine.settle()
    with engine.db.transaction(force_rollback=True):
        forgotten = engine.claim_one()
    engine.let_pass("45 hours")
    engine.sweep()
    engine.look_up(listed(forgotten, id="tr_9", amount=1))
    assert identity_problem(engine.db) == WENT_BACK

    engine.adopt()
    engine.make_lookups_due()
    engine.look_up(listed(forgotten, id="tr_9", amount=1))
    assert identity_problem(engine.db) is None


@pytest.mark.parametrize(
    "report",
    [lambda claim: None, no_answer, success],
    ids=["under way", "no answer", "paid"],
)
def test_a_transfer_whose_claim_is_known_stops_nothing(
    engine: Engine, report: Callable[[Any], Any]
) -> None:
    """A worker sent it a moment ago, and its report may not have come yet."""
    engine.settle()
    claimed = engine.claim_one()
    if told := report(claimed):
        engine.report(told)
    compare(engine, listed(claimed))
    assert refusal(engine.db, CLAIM) is None


def test_a_transfer_paid_here_stops_nothing_though_its_metadata_were_edited(
    engine: Engine,
) -> None:
    pay(engine, "seller_1")
    there = ours(engine.db)
    compare(engine, there | {"transfer_group": f"payout_{'0' * 40}"})
    assert refusal(engine.db, CLAIM) is None


@pytest.mark.parametrize(
    "metadata",
    [{}, {"payout_engine": None}, {"payout_engine": 7}, {"payout_engine": ANOTHER}],
    ids=["none", "null", "a number", "another"],
)
def test_a_transfer_that_does_not_name_this_installation_stops_nothing(
    engine: Engine, metadata: dict[str, Any]
) -> None:
    there = ours(engine.db, "tr_9")
    named = {k: v for k, v in there["metadata"].items() if k != "payout_engine"} | metadata
    compare(engine, there | {"metadata": named})
    assert refusal(engine.db, CLAIM) is None


@mutant(
    "a transfer that stops claims again and again",
    "stop_beside_another",
    "where k.stripe_transfer_id = l.stripe_transfer_id",
    "where false",
)
def test_a_forgotten_transfer_stops_claims_once(engine: Engine) -> None:
    there = ours(engine.db, "tr_9")
    compare(engine, there)
    engine.adopt()
    compare(engine, there)
    assert refusal(engine.db, CLAIM) is None
    # One that was made since shows that another database pays.
    compare(engine, there, ours(engine.db, "tr_8", settlement_id="set_8"))
    assert refusal(engine.db, CLAIM) == NOT_ADOPTED


@mutant(
    "a comparison that counts no more once it has stopped claims",
    "stop_claims",
    "insert into payout.adoptions (read_id, reason) values (p_read_id, p_reason);",
    "insert into payout.adoptions (reason) values (p_reason);",
)
def test_the_comparison_that_stopped_claims_goes_on_and_serves_the_adoption(
    engine: Engine,
) -> None:
    (read,) = claim(engine.worker, "comparison")
    carry(engine.worker, read, ours(engine.db, "tr_9"), has_more=True)
    assert refusal(engine.db, OPEN) == Refusal(
        "SP410", "the database is not adopted: no comparison with Stripe of the last hour"
    )
    carry(engine.worker, read, after="tr_9")
    engine.operator.execute(OPEN)
    engine.approve()
    assert refusal(engine.db, CLAIM) is None


@mutant(
    "a stop that undoes a comparison",
    "stop_claims",
    "if payout.identity_problem() is not null then",
    "if false then",
)
def test_a_database_that_is_not_adopted_is_not_stopped_once_more(engine: Engine) -> None:
    """A restored copy is compared, and adopted by that comparison."""
    engine.db.execute("insert into payout.adoptions (reason) values ('restored')")
    before = engine.db.execute("select count(*) from payout.adoptions").fetchall()
    reconcile(engine.worker, ours(engine.db, "tr_9"))
    assert engine.db.execute("select count(*) from payout.adoptions").fetchall() == before
    assert refusal(engine.operator, OPEN) is None


@mutant(
    "a second installation that nobody asked about",
    "stop_beside_another",
    "and l.payout_engine ~ '^[0-9a-f]{32}$'",
    "and false",
)
def test_the_first_claim_beside_another_installation_waits_for_an_operator(
    engine: Engine,
) -> None:
    """Two shops, or a staging copy made from scratch, pay from one Stripe account."""
    install_again(engine.db, "-1 hour")
    engine.settle()
    there = others("tr_9", metadata={"payout_engine": ANOTHER, "payout_ref": "payout_x"})
    carry(engine.worker, newest(engine), there)
    assert refusal(engine.db, CLAIM) == NOT_ADOPTED
    assert identity_problem(engine.db) == (
        "Claims were stopped: another installation pays from the same Stripe account, "
        f"payout_engine {ANOTHER}, such as tr_9."
    )

    engine.adopt()
    engine.report(success(engine.claim_one()))
    compare(engine, there, others("tr_8", metadata={"payout_engine": ANOTHER[::-1]}))
    assert refusal(engine.db, CLAIM) is None


@mutant(
    "another installation that is asked about for ever",
    "stop_beside_another",
    "select a.is_installation from payout.adoptions",
    "select true from payout.adoptions",
)
def test_an_installation_that_has_claimed_is_not_asked_about_another(engine: Engine) -> None:
    install_again(engine.db, "-1 hour")
    carry(engine.worker, newest(engine))
    engine.settle()
    engine.claim_one()
    compare(engine, others("tr_9", metadata={"payout_engine": ANOTHER}))
    assert refusal(engine.db, CLAIM) is None


def test_what_is_no_installation_is_not_taken_for_one(engine: Engine) -> None:
    install_again(engine.db, "-1 hour")
    carry(engine.worker, newest(engine), others("tr_9", metadata={"payout_engine": "v8"}))
    assert refusal(engine.db, CLAIM) is None
