"""Each situation says whose turn it is and which call moves it, and following that is safe.

No payee stays unpaid without a way out: whatever state a transfer is in, the calls that it is
explained with lead to an end with books that are right, also when each is made twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from tests.conftest import Connection
from tests.engine import (
    Claim,
    Engine,
    Outcome,
    no_answer,
    no_such_account,
    outcome,
    refusal_by_stripe,
    success,
    unfunded,
)
from tests.mutants import mutant
from tests.operate.test_acts import balances, projection_is_right
from tests.schema.refusals import Refusal, refusal

FINAL: Final = ("paid", "cancelled", "settled_outside")
Build = Callable[[Engine], None]


def reported(answer: Callable[[Claim], Outcome]) -> Build:
    def build(engine: Engine) -> None:
        engine.settle()
        engine.report(answer(engine.claim_one()))

    return build


def not_sent(claim: Claim) -> Outcome:
    return outcome(claim, "not_sent")


def may_execute_later(claim: Claim) -> Outcome:
    return refusal_by_stripe(claim, 400, "approval_required")


def contradiction(claim: Claim) -> Outcome:
    return success(claim, amount_minor=1)


def due(engine: Engine) -> None:
    engine.settle()


def later(engine: Engine) -> None:
    engine.settle(pay_after="2099-01-01Z")


def waiting_for_account(engine: Engine) -> None:
    engine.app.execute(
        "select payout_api.complete_settlement('set_1', 'usd', "
        """'[{"line_id": "1", "payee_id": "seller_1", "amount_minor": 1500}]', """
        "p_register_payees => true)"
    )


def late(engine: Engine) -> None:
    engine.settle()
    engine.let_pass("30 days")
    engine.sweep()


def being_sent(engine: Engine) -> None:
    engine.settle()
    engine.claim_one()


def too_old(engine: Engine) -> None:
    reported(no_answer)(engine)
    engine.let_pass("21 hours")
    engine.sweep()


def awaits_approval(engine: Engine) -> None:
    engine.settle(amount_minor=100_001)
    engine.report(no_answer(engine.claim_one()))
    engine.let_pass("21 hours")
    engine.sweep()
    for wait in ("2 days", "61 minutes"):
        engine.let_pass(wait)
        engine.make_lookups_due()
        engine.look_up()


def absent(engine: Engine) -> None:
    too_old(engine)
    for wait in ("2 days", "61 minutes"):
        engine.let_pass(wait)
        engine.make_lookups_due()
        engine.look_up()


def closed_account(claim: Claim) -> Outcome:
    return refusal_by_stripe(claim, 400, "account_closed") | {"should_retry": "false"}


def refused_for_good(claim: Claim) -> Outcome:
    return refusal_by_stripe(claim, 400, "amount_too_small") | {"should_retry": "false"}


def keys_used_up(engine: Engine) -> None:
    engine.set(max_generations=1)
    reported(closed_account)(engine)


def seen_under_a_closed_key(engine: Engine) -> None:
    engine.settle()
    claim = engine.claim_one()
    engine.report(no_such_account(claim))
    engine.report(success(claim))


def without_end(engine: Engine) -> None:
    """The account took no transfers in any round."""
    reported(closed_account)(engine)
    engine.db.execute("update payout.holds set goes_on_at = null where awaits is not null")


def changed_account(engine: Engine) -> None:
    engine.set(account_change_waits_for="2 days")
    engine.settle()
    engine.app.execute("select payout_api.register_payee('seller_1', 'acct_other')")


def capped(scope: str, **cap: int) -> Build:
    def cap_and_claim(engine: Engine) -> None:
        engine.settle(settlement_id="set_1")
        engine.settle(settlement_id="set_0")
        engine.db.execute(
            "insert into payout.caps (scope, currency, largest_amount_minor, largest_count) "
            "values (%s, 'usd', %s, %s)",
            [scope, cap.get("amount"), cap.get("count")],
        )
        engine.db.execute(
            "update payout.transfer_states as s set next_attempt_at = now() - interval '1 minute' "
            "from payout.payout_transfers as t where t.settlement_id = 'set_0' "
            "and t.payout_transfer_id = s.payout_transfer_id"
        )
        engine.report(*(success(claim) for claim in engine.claim()))

    return cap_and_claim


def set_aside(engine: Engine) -> None:
    (transfer,) = engine.settle()
    engine.db.execute("select payout.set_aside(%s, 'its row contradicts its facts')", [transfer])


def held(build: Build, scope: str, subject: str | None) -> Build:
    def hold(engine: Engine) -> None:
        build(engine)
        engine.hold(scope, subject)

    return hold


def paid(engine: Engine) -> None:
    reported(success)(engine)


def reversed_in_part(engine: Engine) -> None:
    paid(engine)
    engine.db.execute(
        """select payout.book_reversals(t, '[{"id": "trr_1", "amount": 400}]') """
        "from payout.payout_transfers as t"
    )


SITUATIONS: Final[dict[str, tuple[Build, str]]] = {
    "due": (due, "due"),
    "later": (later, "scheduled_for_later"),
    "late": (late, "looked_for_first"),
    "waiting for an account": (waiting_for_account, "waiting_for_account"),
    "being sent": (being_sent, "being_sent"),
    "not sent": (reported(not_sent), "sent_again_later"),
    "no answer": (reported(no_answer), "asked_again_later"),
    "key too old": (too_old, "looked_up"),
    "awaits approval": (awaits_approval, "awaits_approval"),
    "may be executed later": (reported(may_execute_later), "may_be_executed_later"),
    "contradiction": (reported(contradiction), "shown_otherwise"),
    "set aside": (set_aside, "looked_up"),
    "no funds": (reported(unfunded), "waits_for_funds"),
    "no account": (reported(closed_account), "waits_for_account"),
    "no account for months": (without_end, "waits_for_account_without_end"),
    "a changed account": (changed_account, "waits_for_account_change"),
    "over a cap": (capped("payee", count=1), "waits_for_cap"),
    "over the engine's cap": (capped("engine", amount=1500), "waits_for_cap"),
    "over any cap": (capped("transfer", amount=1), "waits_for_cap_without_end"),
    "absent": (absent, "tried_again_later"),
    "declined": (reported(refused_for_good), "declined"),
    "keys used up": (keys_used_up, "keys_used_up"),
    "seen under a closed key": (seen_under_a_closed_key, "shown_under_a_closed_key"),
    "held engine": (held(due, "engine", None), "on_hold"),
    "held payee": (held(reported(no_answer), "payee", "seller_1"), "on_hold"),
    "held and declined": (held(reported(refused_for_good), "payee", "seller_1"), "declined"),
    "held without funds": (held(reported(unfunded), "currency", "usd"), "on_hold"),
    "paid": (paid, "paid"),
    "reversed": (reversed_in_part, "reversed"),
}


def explained(engine: Engine) -> tuple[str, str, str | None]:
    """Return situation, turn and call of the first transfer."""
    (row, *_) = engine.db.execute(
        "select situation, whose_turn, next_call from payout_api.explained "
        "order by payout_transfer_id"
    ).fetchall()
    return row


def follow(engine: Engine, call: str) -> None:
    """Make the call of an explanation, have it approved, and make it once more."""
    engine.db.execute(call.encode())
    engine.approve()
    # Asked again when nothing is left to do, a call says so; it does nothing.
    said = refusal(engine.db, call)
    assert said is None or said.sqlstate == "SP314"
    if said is None:
        engine.db.execute(call.encode())
        engine.approve()


@pytest.mark.parametrize(("build", "situation"), SITUATIONS.values(), ids=list(SITUATIONS))
def test_each_situation_is_named(engine: Engine, build: Build, situation: str) -> None:
    build(engine)
    assert explained(engine)[0] == situation


@mutant(
    "no way out of what Stripe showed otherwise",
    "act_problem",
    "when 'give_up' then case when v_state <> 'parked'",
    "when 'give_up' then case when true",
    at="contradiction",
)
@pytest.mark.parametrize("build", [b for b, _ in SITUATIONS.values()], ids=list(SITUATIONS))
def test_whatever_its_situation_its_explanation_leads_to_an_end(
    engine: Engine, build: Build
) -> None:
    build(engine)
    for _ in range(12):
        situation, turn, call = explained(engine)
        if turn == "nobody":
            break
        if turn == "payee":
            engine.app.execute("select payout_api.register_payee('seller_1', 'acct_1')")
        if call is not None:
            follow(engine, call.replace("…", "as explained"))
        engine.release_holds()
        engine.let_pass("30 hours")
        engine.make_due()
        engine.make_lookups_due()
        for _ in engine.db.execute(
            "select from payout.transfer_states where next_lookup_at <= payout.clock()"
        ).fetchall():
            engine.look_up()
        engine.sweep()
        for number, claim in enumerate(engine.claim()):
            engine.report(success(claim, stripe_transfer_id=f"tr_9{number}"))
    assert explained(engine)[1] == "nobody", situation
    assert projection_is_right(engine)
    assert {account for account in balances(engine) if account.startswith("payable")} == set()
    assert (
        engine.db.execute(
            "select from payout.ledger_entries where kind in ('paid', 'settle_outside') "
            "group by payout_transfer_id having count(*) > 1"
        ).rowcount
        == 0
    )


def test_every_situation_is_met_by_a_test(engine: Engine) -> None:
    """Cancelled and settled outside are ends."""
    known = {name for (name,) in engine.db.execute("select situation from payout.situations")}
    assert known - {s for _, s in SITUATIONS.values()} == {"cancelled", "settled_outside"}


def test_stripes_own_sentence_is_shown(engine: Engine) -> None:
    engine.settle()
    refused = outcome(
        engine.claim_one(),
        "response",
        http_status=400,
        error_type="invalid_request_error",
        error_message="Cross-border transfers are not supported.",
        should_retry="false",
    )
    engine.report(refused)
    row = engine.db.execute(
        "select state, reason, stripe_said, whose_turn from payout_api.explain(p_payee_id => %s)",
        ["seller_1"],
    ).fetchone()
    assert row == (
        "failed",
        "refused_by_stripe",
        "Cross-border transfers are not supported.",
        "operator",
    )


def test_a_settlement_is_explained_transfer_by_transfer(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2")
    (claim, _) = engine.claim()
    engine.report(success(claim))
    rows = engine.db.execute(
        "select situation, for_seller from payout_api.explain(p_settlement_id => 'set_1')"
    ).fetchall()
    assert rows == [
        ("paid", "Your payout was sent."),
        ("being_sent", "Your payout is being sent."),
    ]


def test_an_explanation_of_nothing_is_an_error(engine: Engine) -> None:
    assert refusal(engine.db, "select * from payout_api.explain()") == Refusal(
        "SP314", "it is not said of which transfers"
    )
    assert refusal(engine.db, "select * from payout_api.explain(99)") == Refusal(
        "SP310", "there is no transfer 99"
    )


@pytest.mark.parametrize("role", ["payout_app", "payout_worker"])
def test_only_those_who_operate_and_audit_are_told(
    visit: Callable[..., Connection], role: str
) -> None:
    assert refusal(visit(role), "select * from payout_api.explain(1)") == Refusal(
        "42501", "permission denied for function explain"
    )
