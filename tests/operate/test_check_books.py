"""The doctor notices books that do not agree, what was forgotten, and secrets in a row."""

from __future__ import annotations

from typing import Final

import pytest

from tests.engine import Claim, Engine, outcome, success, unguarded
from tests.mutants import mutant
from tests.operate.checks import complaints

BALANCE: Final = "books balance"
SCHEDULED: Final = "every complete settlement is scheduled"
AS_ITS_LINES_SAY: Final = "every settlement is paid as its lines say"
AS_ITS_ROW_SAYS: Final = "every request still to be sent agrees with its row"
CAN_GO_ON: Final = "every transfer that is not paid can go on"
DATE: Final = "every date is one that was decided"
MOVEMENT_EXISTS: Final = "every entry is a movement that exists"
DISCREPANCY: Final = "no discrepancy is open"
NO_SECRET: Final = "no secret in any row"
KEY: Final = "sk_live_0123456789abcdef"


@pytest.mark.parametrize("kind", ["reserve", "paid"])
def test_a_missing_entry_is_noticed_with_its_currency(engine: Engine, kind: str) -> None:
    engine.settle(settlement_id="set_1", currency="usd")
    engine.settle(settlement_id="set_2", currency="eur")
    engine.report(*(success(claim, stripe_transfer_id=f"tr_{n}") for n, claim in numbered(engine)))
    with engine.db.transaction(force_rollback=True):
        engine.db.execute("alter table payout.ledger_entries disable trigger _500_refuse_change")
        engine.db.execute(
            "delete from payout.ledger_entries where kind = %s and currency = 'eur'", [kind]
        )
        engine.db.execute(
            "alter table payout.ledger_entries enable always trigger _500_refuse_change"
        )
        assert complaints(engine.db) == {BALANCE: "eur"}
    assert complaints(engine.db) == {}


def test_an_entry_of_another_amount_is_noticed(engine: Engine) -> None:
    engine.settle()
    with engine.db.transaction(force_rollback=True):
        engine.db.execute("alter table payout.ledger_entries disable trigger _500_refuse_change")
        engine.db.execute(
            "update payout.ledger_entries set amount_minor = amount_minor + 1 "
            "where kind = 'reserve'"
        )
        engine.db.execute(
            "alter table payout.ledger_entries enable always trigger _500_refuse_change"
        )
        assert complaints(engine.db) == {BALANCE: "usd"}


def test_a_settlement_that_was_completed_behind_the_triggers_back_is_noticed(
    engine: Engine,
) -> None:
    """As a data-only restore does it."""
    engine.db.execute("select payout_api.register_payee('seller_1', 'acct_1')")
    engine.db.execute("alter table payout.settlements disable trigger _900_schedule_payout_job")
    engine.db.execute(
        "insert into payout.settlements (settlement_id, currency, total_minor, state) "
        "values ('set_1', 'usd', 700, 'complete')"
    )
    engine.db.execute("alter table payout.settlements enable trigger _900_schedule_payout_job")
    assert complaints(engine.db) == {SCHEDULED: "set_1"}


@mutant(
    "a doctor without the comparison of lines",
    "check_settlements",
    "having sum(m.owed_minor) <> sum(m.made_minor)",
    "having false",
    at="update payout.settlement_lines set payee_id = 'seller_2' where settlement_id = 'set_2'",
)
@pytest.mark.parametrize(
    "change",
    [
        "insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor) "
        "values ('set_2', '9', 'seller_2', 1)",
        "update payout.settlement_lines set amount_minor = amount_minor + 1 "
        "where settlement_id = 'set_2'",
        "update payout.settlement_lines set payee_id = 'seller_2' where settlement_id = 'set_2'",
        "delete from payout.settlement_lines where settlement_id = 'set_2'",
        "update payout.settlements set total_minor = total_minor + 1 where settlement_id = 'set_2'",
    ],
)
def test_a_line_that_is_in_no_transfer_is_noticed_with_its_settlement(
    engine: Engine, change: str
) -> None:
    for number in (1, 2, 3):
        engine.settle(settlement_id=f"set_{number}")
    assert complaints(engine.db) == {}
    # A table is not altered while its foreign key is still to be checked.
    engine.db.execute("set constraints all immediate")
    with unguarded(engine.db, "payout.settlements", "payout.settlement_lines"):
        engine.db.execute(change.encode())
    assert complaints(engine.db) == {AS_ITS_LINES_SAY: "set_2"}


@mutant(
    "a doctor without the comparison of requests",
    "check_rules",
    "where s.state not in",
    "where false and s.state in",
    at="amount_minor = amount_minor + 1",
)
@pytest.mark.parametrize(
    "change",
    [
        "amount_minor = amount_minor + 1",
        "source_transaction = 'ch_1'",
        "payout_ref = 'payout_' || repeat('0', 40)",
    ],
)
def test_a_transfer_that_says_something_else_is_noticed_while_it_may_be_sent(
    engine: Engine, change: str
) -> None:
    assert_noticed(engine, "payout.payout_transfers", change)


@pytest.mark.parametrize(
    "change",
    [
        "destination = 'acct_2'",
        "request = request || '{\"amount\": 1}'",
        "request = request || '{\"expand\": []}'",
        "request = request #- '{metadata,payee_id}'",
        "request = request - 'metadata'",
        "request = '\"none\"'",
        "request = '[]'",
    ],
)
def test_a_request_that_says_something_else_is_noticed_while_it_may_be_sent(
    engine: Engine, change: str
) -> None:
    engine.db.execute(
        "alter table payout.transfer_requests drop constraint request_names_the_destination"
    )
    engine.db.execute("select payout.record_catalogue('without the check of a request')")
    assert_noticed(engine, "payout.transfer_requests", change)


def assert_noticed(engine: Engine, table: str, change: str) -> None:
    """Assert that the doctor names a transfer with such a change, unless it is paid."""
    for number in (1, 2, 3):
        engine.settle(settlement_id=f"set_{number}")
    first, second, _ = engine.claim()
    engine.report(success(first))

    def complaint(claim: Claim) -> str | None:
        with engine.db.transaction(force_rollback=True):
            with unguarded(engine.db, table):
                engine.db.execute(
                    f"update {table} set {change} "
                    f"where payout_transfer_id = {claim.payout_transfer_id}".encode()
                )
            return complaints(engine.db).get(AS_ITS_ROW_SAYS)

    assert complaints(engine.db) == {}
    assert complaint(second) == f"transfer {second.payout_transfer_id}"
    assert complaint(first) is None


@pytest.mark.parametrize(
    "change",
    ["next_attempt_at = null", "state = 'parked', next_attempt_at = null", "generation = 0"],
)
def test_a_transfer_that_nobody_would_take_up_is_noticed(engine: Engine, change: str) -> None:
    (transfer,) = engine.settle()
    assert complaints(engine.db) == {}
    with engine.db.transaction(force_rollback=True):
        with unguarded(engine.db, "payout.transfer_states"):
            engine.db.execute(f"update payout.transfer_states set {change}".encode())
        assert complaints(engine.db)[CAN_GO_ON] == f"transfer {transfer}"


@mutant(
    "a doctor that lets dates be moved",
    "check_holds",
    "where s.next_attempt_at > clock_timestamp() + interval '1 day'",
    "where false",
    at="294000-01-01",
)
@pytest.mark.parametrize("date", ["294000-01-01", "infinity", "2100-01-01"])
def test_a_date_that_nothing_has_decided_is_noticed(engine: Engine, date: str) -> None:
    engine.settle(settlement_id="set_1", pay_after="2099-01-01")
    (transfer,) = engine.settle(settlement_id="set_2")
    assert complaints(engine.db) == {}
    engine.db.execute(
        "update payout.transfer_states set next_attempt_at = %s where payout_transfer_id = %s",
        [date, transfer],
    )
    assert complaints(engine.db) == {DATE: f"1 are not, the first is number {transfer}"}


@pytest.mark.parametrize(
    "values",
    [
        "'gift', 1, 'settlement_funds', 'stripe_balance', 7, 'usd', null",
        "'paid', 1, 'in_flight', 'payable:seller_1', 7, 'usd', null",
        "'reserve', 2, 'payable:', 'in_flight', 7, 'usd', null",
        "'reserve', 2, 'payable:seller_1', 'in_flight', -7, 'usd', null",
        "'obligation', 2, 'settlement_funds', 'payable:seller_1', 7, 'usd', null",
        "'reversal', 1, 'stripe_balance', 'payable:seller_1', 7, 'usd', null",
        "'reserve', 2, 'payable:seller_1', 'in_flight', 7, 'usd', 'trr_1'",
    ],
)
def test_an_entry_that_is_no_movement_is_noticed(engine: Engine, values: str) -> None:
    (transfer,) = engine.settle()
    assert complaints(engine.db) == {}
    with unguarded(engine.db, "payout.ledger_entries"):
        ((entry,),) = engine.db.execute(
            "insert into payout.ledger_entries (payout_transfer_id, kind, generation, "
            "debit_account, credit_account, amount_minor, currency, stripe_reversal_id) "
            f"values ({transfer}, {values}) returning ledger_entry_id".encode()
        ).fetchall()
        assert complaints(engine.db)[MOVEMENT_EXISTS] == f"entry {entry}"
        engine.db.execute("delete from payout.ledger_entries where ledger_entry_id = %s", [entry])


def test_a_discrepancy_is_named_until_it_is_resolved(engine: Engine) -> None:
    engine.settle()
    engine.report_one(success(engine.claim_one(), amount_minor=1))
    engine.release_holds()
    assert complaints(engine.db) == {DISCREPANCY: "answer_contradicts_request"}
    engine.db.execute(
        "select payout_api.resolve_discrepancy(discrepancy_id, 'paid by hand') "
        "from payout.discrepancies"
    )
    assert complaints(engine.db) == {}


@pytest.mark.parametrize("key", [KEY, "sk_test_1", "rk_live_1", "rk_test_1"])
def test_a_key_in_the_metadata_of_a_settlement_is_noticed_and_not_repeated(
    engine: Engine, key: str
) -> None:
    engine.db.execute(
        "insert into payout.settlements (settlement_id, currency, total_minor, metadata) "
        "values ('set_1', 'usd', 700, jsonb_build_object('note', 'use ' || %s::text))",
        [key],
    )
    assert complaints(engine.db) == {NO_SECRET: "settlements.metadata set_1"}


@pytest.mark.parametrize("fact", ["detail", "error_message", "error_code", "stripe_request_id"])
def test_a_key_that_came_with_an_answer_is_noticed(engine: Engine, fact: str) -> None:
    engine.settle()
    said = {"http_status": 429, fact: f"wrong key {KEY}"}
    engine.report_one(outcome(engine.claim_one(), "response", **said))
    found = complaints(engine.db)
    assert list(found) == [NO_SECRET]
    assert places(found) == {"transfer_observations"}


def test_a_key_in_the_account_of_a_discrepancy_is_noticed(engine: Engine) -> None:
    """It keeps the whole outcome."""
    engine.settle()
    engine.report_one(success(engine.claim_one(), amount_minor=1, detail=KEY))
    engine.release_holds()
    found = complaints(engine.db)
    assert places(found) == {"discrepancies", "transfer_observations"}


def test_a_key_in_a_reason_is_noticed(engine: Engine) -> None:
    engine.settle()
    engine.db.execute("select payout_api.hold('payee', %s, 'seller_1')", [f"instead of {KEY}"])
    found = complaints(engine.db)
    assert places(found) == {"holds", "operator_actions"}
    engine.release_holds()
    assert "holds" in complaints(engine.db)[NO_SECRET]


@pytest.mark.parametrize("text", ["desk_test_3", "risk_live_1", "task_test_suite", "sk_live"])
def test_a_word_that_only_looks_like_a_key_is_none(engine: Engine, text: str) -> None:
    engine.db.execute(
        "insert into payout.settlements (settlement_id, currency, total_minor, metadata) "
        "values ('set_1', 'usd', 700, jsonb_build_object('note', %s::text))",
        [text],
    )
    assert complaints(engine.db) == {}


def places(found: dict[str, str]) -> set[str]:
    """Return the tables in which a secret was found, without the numbers of its rows."""
    return {place.split()[0] for place in found[NO_SECRET].split(", ")}


def numbered(engine: Engine) -> list[tuple[int, Claim]]:
    return list(enumerate(engine.claim()))
