"""Stories from "seller_1 says she was not paid" to the fix, with psql and nothing else.

An operator starts with the payee's id, reads situation and call, and types the call; where it takes
two people, the other one approves. Stripe and the workers are played. At the end the payee has been
paid once, or it is said why not; the books are right, and nothing waits.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from psycopg.types.json import Jsonb

from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
from tests.engine import (
    Claim,
    Engine,
    Outcome,
    listed,
    no_answer,
    no_such_account,
    rate_limited,
    refusal_by_stripe,
    success,
    unfunded,
)
from tests.operate.test_acts import LARGE
from tests.operate.test_console import COLUMNS, PSQLRC
from tests.reconcile.listing import ACCOUNT, ours, reconcile, with_account
from tests.reconcile.listing import listed as others

Record = dict[str, str]

MOST_STATEMENTS: Final = 6
END_OF_ANSWER: Final = "-- the answer ends --"
SELLER: Final = r"\set id seller_1"


class Person:
    """A person at psql, with the project's psqlrc."""

    def __init__(self, dsn: str) -> None:
        self.typed: list[str] = []
        self._psql = subprocess.Popen(
            [EmbeddedPostgres().bin("psql"), dsn, "--quiet"],
            env={**os.environ, "PSQLRC": str(PSQLRC)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._say(f"\\pset columns {COLUMNS}\n\\pset pager off")

    def _say(self, line: str) -> str:
        assert self._psql.stdin is not None
        assert self._psql.stdout is not None
        self._psql.stdin.write(f"{line}\n\\echo '{END_OF_ANSWER}'\n")
        self._psql.stdin.flush()
        return "".join(iter(self._psql.stdout.readline, f"{END_OF_ANSWER}\n"))

    def type(self, line: str) -> str:
        """Type a line and Enter; return the answer, which is no error."""
        self.typed.append(line)
        answer = self._say(line)
        assert "ERROR" not in answer, f"{line}\n{answer}"
        return answer

    def read(self, line: str) -> Record:
        """Type a query of one record, and return its columns."""
        answer = self.type(line)
        assert "RECORD 2" not in answer
        whole = re.sub(r"…\n +│…", "", answer)
        fields = re.findall(r"^(\w+) +│ (.*)$", whole, re.MULTILINE)
        return {name: value.strip() for name, value in fields}

    def leave(self) -> None:
        self._psql.communicate(timeout=10)


class Story:
    """An engine, whose operators see it through psql only."""

    def __init__(self, engine: Engine, operator: Person, approver: Person) -> None:
        self.engine = engine
        self.operator = operator
        self.approver = approver
        self.transfers_at_stripe = 0

    @property
    def statements(self) -> int:
        return len(self.operator.typed) + len(self.approver.typed)

    def why_not_paid(self, situation: str, whose_turn: str) -> Record:
        """Let the operator ask about the seller, who says that she was not paid."""
        self.operator.type(SELLER)
        record = self.operator.read(":explain")
        assert (record["situation"], record["whose_turn"]) == (situation, whose_turn)
        return record

    def follow(self, record: Record, **words: str) -> str:
        """Let the operator type the call of an explanation, with words of their own."""
        call = record["next_call"]
        for placeholder, word in words.items():
            call = call.replace(f"'{placeholder}", f"'{word}")
        return self.operator.type(call.replace("'…'", "'the seller asked'"))

    def approve(self) -> None:
        """Let another person read the one proposal that waits, and approve it."""
        proposal = self.approver.read(":proposals")
        self.approver.type(proposal["what_to_do"].replace("…", "looked at Stripe too"))

    def work(self, answer: Callable[[Claim], Outcome] | None = None) -> None:
        """Sweep, look up and send for some turns, as workers do; Stripe's list shows nothing."""
        for _ in range(4):
            self.engine.sweep()
            self.look()
            self.engine.report(*map(answer or self.pay, self.engine.claim()))

    def look(self, *found: dict[str, Any]) -> None:
        """Look up whatever is due at Stripe, which lists these."""
        for lookup in self.engine.claim_lookups(account=(ACCOUNT, False)):
            for number in range(len(lookup.queries)):
                self.engine.report_page(lookup, number, list(found))

    def pay(self, claim: Claim) -> Outcome:
        """Answer as Stripe does when it makes the transfer."""
        self.transfers_at_stripe += 1
        return success(claim, stripe_transfer_id=f"tr_{self.transfers_at_stripe}")

    def ends(self, *, paid: int = 1, final: str = "paid") -> None:
        """Check that each was paid once or is closed otherwise, and that nothing waits."""
        engine = self.engine
        states = engine.db.execute("select distinct state from payout.transfer_states").fetchall()
        assert states == [(final,)]
        payments = engine.db.execute(
            "select count(*), count(distinct payout_transfer_id) from payout.ledger_entries "
            "where kind = 'paid'"
        ).fetchone()
        assert payments == (paid, paid)
        for nothing in (
            "select from payout.holds where released_at is null",
            "select from payout_api.unpaid",
            "select from payout_api.proposals",
            "select from payout_api.reversed_money",
            "select from payout_api.discrepancies",
            "select from payout_api.verify_projection()",
            "select from payout_api.trial_balance where difference_minor <> 0 "
            "or in_flight_minor <> 0",
            "select from payout_api.balances_as_of('infinity') where balance_minor <> 0 "
            "and account like 'payable:%'",
        ):
            assert engine.db.execute(nothing.encode()).rowcount == 0, nothing
        assert self.statements <= MOST_STATEMENTS, self.operator.typed + self.approver.typed

    def accounts_paid(self) -> list[str]:
        """Return the accounts to which Stripe made transfers, in order."""
        return [
            account
            for (account,) in self.engine.db.execute(
                "select q.destination from payout.transfer_requests as q "
                "join payout.transfer_states as s using (payout_transfer_id, generation) "
                "where s.state = 'paid' order by payout_transfer_id"
            )
        ]


@pytest.fixture
def story(
    shared_engine: Engine,
    dsn: Callable[..., str],
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> Iterator[Story]:
    begun = time.monotonic()
    people = Person(dsn("payout_operator")), Person(dsn("payout_approver"))
    story = Story(with_account(shared_engine), *people)
    yield story
    for person in people:
        person.leave()
    record_property("statements", story.statements)
    print(f"{request.node.name}: {story.statements} statements, {time.monotonic() - begun:.1f} s")


def closed_account(claim: Claim) -> Outcome:
    return refusal_by_stripe(claim, 400, "account_closed") | {"should_retry": "false"}


def restricted_account(claim: Claim) -> Outcome:
    refused = refusal_by_stripe(claim, 400, "insufficient_capabilities_for_transfer")
    return refused | {"should_retry": "false"}


@pytest.mark.parametrize(
    ("rounds", "wait"), [(3, "1 hour"), (14, "12 hours")], ids=["hours", "a week"]
)
def test_the_balance_was_used_up(story: Story, rounds: int, wait: str) -> None:
    story.engine.settle("seller_1", "seller_2", "seller_3")
    story.work(unfunded)
    for _ in range(rounds):
        story.engine.let_pass(wait)
        story.work(unfunded)

    record = story.why_not_paid("waits_for_funds", "engine")
    assert re.fullmatch(r"in \d+ min", record["next"])
    story.follow(record)
    story.work()
    assert story.operator.type(":explain") == "(0 rows)\n\n"
    story.ends(paid=3)


def test_the_balance_is_topped_up_and_it_goes_on_by_itself(story: Story) -> None:
    story.engine.settle("seller_1", "seller_2", "seller_3")
    story.work(unfunded)

    assert "all go on" in story.why_not_paid("waits_for_funds", "engine")["advice"]
    story.engine.let_pass("1 hour")
    story.work()
    story.ends(paid=3)


def test_the_account_is_closed(story: Story) -> None:
    story.engine.settle()
    story.work(closed_account)

    record = story.why_not_paid("waits_for_account", "engine")
    assert "register" in record["advice"]
    story.operator.type("select payout_api.register_payee('seller_1', 'acct_new');")
    story.work()
    story.ends()
    assert story.accounts_paid() == ["acct_new"]


def test_the_account_was_restricted_and_is_verified_again(story: Story) -> None:
    for settlement in ("set_1", "set_2", "set_3"):
        story.engine.settle(settlement_id=settlement)
        story.work(restricted_account)
    story.engine.let_pass("2 days")

    story.operator.type(SELLER)
    assert story.operator.type(":payee").count("waits_for_account") == 3
    story.operator.type("select * from payout_api.retry('is verified', p_payee_id => :'id');")
    story.work()
    story.ends(paid=3)


def test_the_outcome_is_unknown(story: Story) -> None:
    story.engine.settle()
    claim = story.engine.claim_one()
    story.engine.report(no_answer(claim))

    record = story.why_not_paid("asked_again_later", "engine")
    assert "under the same key" in record["advice"]
    story.follow(record)
    story.engine.report(story.pay(again := story.engine.claim_one()))
    assert again.idempotency_key == claim.idempotency_key
    story.ends()


def test_the_outcome_is_unknown_and_stripe_has_it(story: Story) -> None:
    story.engine.settle()
    claim = story.engine.claim_one()
    story.engine.report(no_answer(claim))
    story.engine.let_pass("21 hours")
    story.engine.sweep()

    story.follow(story.why_not_paid("looked_up", "engine"))
    story.look(listed(claim))
    assert story.operator.type(":explain") == "(0 rows)\n\n"
    story.ends()


def test_the_outcome_is_unknown_and_a_large_one_is_absent(story: Story) -> None:
    """It takes two people to send it again."""
    story.engine.settle(amount_minor=LARGE)
    story.engine.report(no_answer(story.engine.claim_one()))
    for wait in ("21 hours", "2 days", "61 minutes", "61 minutes"):
        story.engine.let_pass(wait)
        story.engine.sweep()
        story.look()

    record = story.why_not_paid("awaits_approval", "operator")
    assert "waits for another person" in story.follow(record)
    story.approve()
    story.work()
    story.ends()


def test_a_cap_is_reached(story: Story) -> None:
    story.engine.db.execute("insert into payout.caps values ('payee', 'usd', 2000, null)")
    for settlement in ("set_1", "set_2"):
        story.engine.settle(settlement_id=settlement)
    story.work()

    record = story.why_not_paid("waits_for_cap", "engine")
    assert record["reason"] == "over_the_cap_of_a_payee_and_day"
    assert re.search(r"payee +│ 20\.00 usd +│ +- │ seller_1 ", story.operator.type(":limits"))
    story.operator.type(
        "select payout_api.set_cap('payee', 'usd', 'a good week', p_amount_minor => 5000);"
    )
    story.work()
    assert story.operator.type(":explain") == "(0 rows)\n\n"
    story.ends(paid=2)


def test_a_cap_is_over_with_the_day(story: Story) -> None:
    story.engine.db.execute("insert into payout.caps values ('payee', 'usd', 2000, null)")
    for settlement in ("set_1", "set_2"):
        story.engine.settle(settlement_id=settlement)
    story.work()

    assert "it goes on at" in story.why_not_paid("waits_for_cap", "engine")["advice"]
    story.engine.let_pass("1 day")
    story.work()
    # It has been due for longer than a key lives, so that its first send waits for a look.
    record = story.operator.read(":explain")
    assert record["situation"] == "looked_for_first"
    assert re.fullmatch(r"in (19|20) h", record["next"])
    story.engine.let_pass("21 hours")
    story.work()
    story.ends(paid=2)


def test_one_is_larger_than_a_whole_cap(story: Story) -> None:
    story.engine.db.execute("insert into payout.caps values ('transfer', 'usd', 1000, null)")
    story.engine.settle()
    story.work()

    story.follow(story.why_not_paid("waits_for_cap_without_end", "operator"))
    story.work()
    story.ends()


def test_a_hold_was_forgotten(story: Story) -> None:
    """After a month the first send waits for a look: a forgotten send may be at Stripe."""
    story.engine.settle()
    story.engine.hold("payee", "seller_1")
    story.engine.let_pass("30 days")
    story.work()

    record = story.why_not_paid("on_hold", "operator")
    assert "to look" in record["advice"]
    story.follow(record)
    story.work()
    assert story.operator.type(":explain") == "(0 rows)\n\n"
    story.ends()


def test_it_was_scheduled_by_mistake(story: Story) -> None:
    """The order was never delivered, so that nothing is owed."""
    story.engine.settle(pay_after="2099-01-01Z")

    record = story.why_not_paid("scheduled_for_later", "engine")
    assert "cancel" in record["advice"]
    settlement = record["settlement_id"]
    story.operator.type(
        f"select * from payout_api.cancel('by mistake', p_settlement_id => '{settlement}');"
    )
    assert story.operator.type(":explain") == "(0 rows)\n\n"
    story.work()
    story.ends(paid=0, final="cancelled")


def test_a_wrong_account_was_registered_and_is_unknown_to_stripe(story: Story) -> None:
    story.engine.settle()
    story.work(no_such_account)

    record = story.why_not_paid("declined", "operator")
    assert record["destination"] == "acct_1"
    story.operator.type("select payout_api.register_payee('seller_1', 'acct_right');")
    story.follow(record)
    story.work()
    # Stripe did not save the refusal, so that it takes a look after the send can have arrived.
    assert re.search(r"^next +│ in 1\d min", story.operator.type(":explain"), re.MULTILINE)
    story.engine.let_pass("16 minutes")
    story.work()
    story.ends()
    assert story.accounts_paid() == ["acct_right"]


def reverse(engine: Engine, transfer: int, amount_minor: int) -> None:
    """Let Stripe report a reversal of a transfer."""
    engine.db.execute(
        "select payout.book_reversals(t, %s) from payout.payout_transfers as t "
        "where payout_transfer_id = %s",
        [Jsonb([{"id": f"trr_{transfer}", "amount": amount_minor}]), transfer],
    )


def test_a_wrong_account_was_registered_and_paid(story: Story) -> None:
    """The operator reverses the transfer in Stripe's Dashboard; it is paid again."""
    (transfer,) = story.engine.settle()
    story.work()

    story.operator.type(SELLER)
    assert re.search(r"│ acct_1 +│ 15\.00 usd │ paid ", story.operator.type(":payee"))
    story.operator.type("select payout_api.register_payee('seller_1', 'acct_right');")
    reverse(story.engine, transfer, 1500)
    record = story.operator.read(":explain")
    assert record["situation"] == "reversed"
    story.follow(record)
    story.work()
    story.ends(paid=2)
    assert story.accounts_paid() == ["acct_1", "acct_right"]


def test_a_new_account_waits_and_the_payee_confirms_it(story: Story) -> None:
    story.engine.set(account_change_waits_for="2 days")
    story.engine.settle()
    story.engine.app.execute("select payout_api.register_payee('seller_1', 'acct_new')")
    story.work()

    story.follow(story.why_not_paid("waits_for_account_change", "engine"))
    story.work()
    story.ends()
    assert story.accounts_paid() == ["acct_new"]


def test_a_chargeback_took_it_back(story: Story) -> None:
    """It is the seller's loss; above the limit two people say so."""
    (transfer,) = story.engine.settle(amount_minor=LARGE)
    story.work()
    reverse(story.engine, transfer, LARGE)

    record = story.why_not_paid("reversed", "operator")
    assert "write_off" in record["advice"]
    call = story.operator.read(":reversals")["if_it_is_their_loss"]
    story.operator.type(call.replace("…", "lost dispute"))
    story.approve()
    story.ends()


def test_other_software_pays_from_the_account(story: Story) -> None:
    """An operator has stopped the engine, since Stripe lists transfers that the books do not."""
    for settlement in ("set_1", "set_2"):
        story.engine.settle(settlement_id=settlement)
        if settlement == "set_1":
            story.work()
    old_shop: list[Any] = [others(f"tr_old_{n}", metadata={"shop": "7"}) for n in range(3)]
    reconcile(story.engine.db, ours(story.engine.db), *old_shop)
    story.engine.hold("engine")

    record = story.why_not_paid("on_hold", "operator")
    assert story.operator.type(":alarms").count("tr_old_") == 3
    story.operator.type(
        "select payout_api.add_not_ours_rule('the old shop pays too', p_metadata_key => 'shop');"
    )
    story.follow(record)
    story.work()
    assert story.operator.type(":explain") == "(0 rows)\n\n"
    story.ends(paid=2)


def test_the_engine_is_paused(story: Story) -> None:
    story.engine.hold("engine")
    story.engine.settle()
    story.work()

    story.follow(story.why_not_paid("on_hold", "operator"))
    story.work()
    story.ends()


def test_stripe_takes_fewer_requests(story: Story) -> None:
    """It goes on by itself."""
    story.engine.settle()
    story.engine.report(rate_limited(story.engine.claim_one()))

    record = story.why_not_paid("sent_again_later", "engine")
    assert record["reason"] == "rate_limited"
    assert "slows down by itself" in record["advice"]
    story.engine.let_pass("5 minutes")
    story.work()
    assert story.operator.type(":explain") == "(0 rows)\n\n"
    story.ends()


def test_no_worker_runs(story: Story) -> None:
    story.engine.worker.execute("select payout_api.heartbeat('worker_1', payout_api.release())")
    story.engine.db.execute("update payout.workers set last_seen_at = now() - interval '3 hours'")
    story.engine.settle()
    story.engine.let_pass("3 hours")

    record = story.why_not_paid("due", "engine")
    assert "doctor" in record["advice"]
    assert re.search(r"worker_1 .*│ 3 h ago +│ f ", story.operator.type(":workers"))
    story.work()
    assert story.operator.type(":explain") == "(0 rows)\n\n"
    story.ends()
