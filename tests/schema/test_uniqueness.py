"""Every key of the schema refuses a second row."""

from __future__ import annotations

from typing import Final

from psycopg import sql

from tests.conftest import Connection
from tests.mutants import mutant
from tests.schema import rows
from tests.schema.refusals import Refusal, duplicate_refusal, refusal, refusal_of

# Every key beside the primary keys, with the test below that proves it.
KEYS: Final = {
    "discrepancies_kind_stripe_transfer_id_compared_key",
    "stripe_read_pages_read_id_parameters_key",
    "stripe_reads_one_goes_on_key",
    "holds_scope_subject_open_key",
    "not_ours_rules_open_key",
    "transfer_requests_transfer_request_id_key",
    "ledger_entries_payout_transfer_id_kind_generation_origin_key",
    "ledger_entries_stripe_reversal_id_key",
    "operator_actions_proposal_id_key",
    "payout_jobs_settlement_id_key",
    "payout_transfers_payout_ref_key",
    "payout_transfers_settlement_id_payee_id_source_transaction_key",
    "seals_table_name_last_id_key",
    "transfer_states_stripe_transfer_id_key",
}


def insertion(db: Connection, table: str, row: rows.Row) -> Refusal | None:
    return refusal_of(db, lambda: rows.insert(db, table, row))


def test_every_key_of_the_schema_is_proved(db: Connection) -> None:
    found = db.execute(
        """
        select i.indexrelid::regclass::text
        from pg_index as i
        join pg_class as c on c.oid = i.indrelid
        where c.relnamespace = 'payout'::regnamespace and i.indisunique and not i.indisprimary
        """
    )
    assert {name.removeprefix("payout.") for (name,) in found} == KEYS


@mutant(
    "no transfer_attempts_pkey",
    sql=("alter table payout.transfer_attempts drop constraint transfer_attempts_pkey cascade"),
)
def test_every_table_has_a_primary_key_that_refuses_a_second_row(db: Connection) -> None:
    rows.add_one_of_each(db)
    tables = db.execute(
        """
        select c.relname::text, coalesce(k.conname::text, 'none'), array(
            select a.attname::text from pg_attribute as a
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                and a.attgenerated = '')
        from pg_class as c
        left join pg_constraint as k on k.conrelid = c.oid and k.contype = 'p'
        where c.relnamespace = 'payout'::regnamespace and c.relkind in ('r', 'p')
        """
    ).fetchall()

    with db.transaction(force_rollback=True):
        for table, key, columns in tables:
            again = sql.SQL(
                "insert into {table} ({columns}) overriding system value "
                "select {columns} from {table} limit 1"
            ).format(
                table=sql.Identifier("payout", table),
                columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            )
            assert refusal(db, again) == duplicate_refusal(key)
    assert len(tables) == len({key for _, key, _ in tables})


@mutant(
    "no payout_jobs_settlement_id_key",
    sql=("alter table payout.payout_jobs drop constraint payout_jobs_settlement_id_key cascade"),
)
def test_a_settlement_has_one_payout_job(db: Connection) -> None:
    rows.add_settlement(db)

    assert insertion(db, "payout_jobs", {"settlement_id": rows.SETTLEMENT}) == duplicate_refusal(
        "payout_jobs_settlement_id_key"
    )


def test_a_payee_has_one_transfer_for_a_settlement_and_source(db: Connection) -> None:
    rows.add_transfer(db)
    refused = duplicate_refusal("payout_transfers_settlement_id_payee_id_source_transaction_key")
    without_source = rows.transfer_row(db)
    from_a_charge = rows.transfer_row(db, source_transaction="ch_1")
    from_another_charge = rows.transfer_row(db, source_transaction="ch_2")

    assert insertion(db, "payout_transfers", without_source) == refused
    assert insertion(db, "payout_transfers", {**without_source, "amount_minor": 1500}) == refused
    rows.insert(db, "payout_transfers", from_a_charge)
    assert insertion(db, "payout_transfers", from_a_charge) == refused
    rows.insert(db, "payout_transfers", from_another_charge)


@mutant(
    "neither identity of a transfer unique",
    sql=(
        "alter table payout.payout_transfers drop constraint payout_transfers_payout_ref_key, "
        "drop constraint payout_transfers_settlement_id_payee_id_source_transaction_key"
    ),
)
def test_a_payout_ref_is_given_once(db: Connection) -> None:
    rows.add_transfer(db)
    # No source and an empty one are two rows to the key above, but one identity.
    twin = rows.transfer_row(db, source_transaction="")

    assert insertion(db, "payout_transfers", twin) == duplicate_refusal(
        "payout_transfers_payout_ref_key"
    )


@mutant(
    "no transfer_states_stripe_transfer_id_key",
    sql=(
        "alter table payout.transfer_states drop constraint "
        "transfer_states_stripe_transfer_id_key cascade"
    ),
)
def test_a_transfer_at_stripe_pays_one_transfer(db: Connection) -> None:
    first, second = rows.add_transfer(db), rows.add_transfer(db, "set_2")
    for payout_transfer_id in (first, second):
        claim = {"state": "in_flight", "attempt": 1, "next_attempt_at": None}
        rows.update_state(db, payout_transfer_id, {**claim, **rows.COMPANIONS["in_flight"]})
    paid = {"state": "paid", "lease_until": None, "stripe_transfer_id": "tr_1"}
    rows.update_state(db, first, paid)

    assert refusal_of(db, lambda: rows.update_state(db, second, paid)) == duplicate_refusal(
        "transfer_states_stripe_transfer_id_key"
    )
    rows.update_state(db, second, {**paid, "stripe_transfer_id": "tr_2"})


@mutant(
    "no ledger_entries_payout_transfer_id_kind_generation_origin_key",
    sql=(
        "alter table payout.ledger_entries drop constraint "
        "ledger_entries_payout_transfer_id_kind_generation_origin_key cascade"
    ),
)
def test_each_kind_of_entry_is_booked_once_for_a_transfer_and_generation(db: Connection) -> None:
    payout_transfer_id = rows.add_transfer(db)
    refused = duplicate_refusal("ledger_entries_payout_transfer_id_kind_generation_origin_key")

    for kind in ("obligation", "reserve", "paid", "release"):
        entry = rows.ledger_row(payout_transfer_id, kind)
        rows.insert(db, "ledger_entries", entry)
        assert insertion(db, "ledger_entries", entry) == refused
        assert insertion(db, "ledger_entries", {**entry, "amount_minor": 1}) == refused
    for kind in ("reserve", "paid", "release"):
        rows.insert(db, "ledger_entries", rows.ledger_row(payout_transfer_id, kind, generation=2))


def test_each_reversal_is_booked_once(db: Connection) -> None:
    payout_transfer_id = rows.add_transfer(db)
    reversal = rows.ledger_row(payout_transfer_id, "reversal")
    rows.insert(db, "ledger_entries", reversal)

    assert insertion(db, "ledger_entries", reversal) == duplicate_refusal(
        "ledger_entries_payout_transfer_id_kind_generation_origin_key"
    )
    assert insertion(db, "ledger_entries", {**reversal, "generation": 2}) == duplicate_refusal(
        "ledger_entries_stripe_reversal_id_key"
    )
    rows.insert(db, "ledger_entries", {**reversal, "stripe_reversal_id": "trr_2"})


def test_a_proposal_is_approved_once(db: Connection) -> None:
    rows.insert(
        db,
        "operator_actions",
        {"action": "propose", "reason": "why", "expires_at": "2030-01-01Z"},
    )
    ((proposal_id,),) = db.execute(
        "select operator_action_id from payout.operator_actions where action = 'propose'"
    ).fetchall()
    approval = {"action": "approve", "reason": "looked", "proposal_id": proposal_id}
    rows.insert(db, "operator_actions", approval)
    assert insertion(db, "operator_actions", approval) == duplicate_refusal(
        "operator_actions_proposal_id_key"
    )


def test_a_key_has_one_number_and_a_range_of_a_table_is_sealed_once(db: Connection) -> None:
    payout_transfer_id = rows.add_one_of_each(db)
    again = (
        "insert into payout.transfer_requests overriding system value "
        "select (jsonb_populate_record(r, '{\"generation\": 3}')).* "
        "from payout.transfer_requests as r"
    )
    assert refusal(db, again) == duplicate_refusal("transfer_requests_transfer_request_id_key")
    seal = rows.valid_row(db, "seals", payout_transfer_id)
    assert insertion(db, "seals", {**seal, "seal_id": 2}) == duplicate_refusal(
        "seals_table_name_last_id_key"
    )
    rows.insert(db, "seals", {**seal, "seal_id": 2, "last_id": 2})


def test_a_subject_has_one_open_hold(db: Connection) -> None:
    rows.insert(db, "discrepancies", {"kind": "an alarm", "advice": "look"})
    ((discrepancy_id,),) = db.execute("select discrepancy_id from payout.discrepancies")
    refused = duplicate_refusal("holds_scope_subject_open_key")
    reason = {"reason": "a test"}

    for hold in (
        {"scope": "engine", "subject": None},
        {"scope": "currency", "subject": "usd"},
        {"scope": "payee", "subject": "usd"},
        {"scope": "payee", "subject": rows.PAYEE},
        {"scope": "settlement", "subject": rows.PAYEE},
        {"scope": "transfer", "subject": "1"},
        {"scope": "transfer", "subject": "1", "discrepancy_id": discrepancy_id},
        {"scope": "transfer", "subject": "1", "awaits": "cap"},
        {"scope": "payee", "subject": rows.PAYEE, "awaits": "account"},
        {"scope": "payee", "subject": rows.PAYEE, "awaits": "account_change"},
    ):
        rows.insert(db, "holds", {**hold, **reason})
        assert insertion(db, "holds", {**hold, **reason}) == refused

    db.execute(
        "update payout.holds set released_at = now(), released_by = 'a', release_reason = 'b'"
    )
    rows.insert(db, "holds", {"scope": "engine", **reason})
    assert insertion(db, "holds", {"scope": "engine", **reason}) == refused


def test_a_rule_for_the_transfers_of_others_is_open_once(db: Connection) -> None:
    refused = duplicate_refusal("not_ours_rules_open_key")
    for conditions in (
        {"is_everything": True},
        {"metadata_key": "shop"},
        {"metadata_key": "shop", "destination": "acct_1"},
        {"created_before": "2030-01-01Z"},
    ):
        rows.insert(db, "not_ours_rules", {**conditions, "reason": "a test"})
        assert insertion(db, "not_ours_rules", {**conditions, "reason": "another"}) == refused

    db.execute(
        "update payout.not_ours_rules set ended_at = now(), ended_by = 'a', end_reason = 'b'"
    )
    assert insertion(db, "not_ours_rules", {**conditions, "reason": "another"}) is None


def test_one_comparison_is_open_and_each_page_of_a_read_is_kept_once(db: Connection) -> None:
    payout_transfer_id = rows.add_one_of_each(db)
    read = rows.valid_row(db, "stripe_reads", payout_transfer_id)
    page = rows.valid_row(db, "stripe_read_pages", payout_transfer_id)

    refused = duplicate_refusal("stripe_reads_one_goes_on_key")
    for kind in ({"kind": "events"}, {"kind": "comparison"}):
        finished = {"finished_at": "2030-01-02Z", "next_parameters": None, "result": "nothing"}
        rows.insert(db, "stripe_reads", {**read, **kind, **finished})
        rows.insert(db, "stripe_reads", {**read, **kind, "abandoned_at": "2030-01-02Z"})
    rows.insert(db, "stripe_reads", {**read, "kind": "events"})
    for kind in ({"kind": "events"}, {"kind": "comparison"}):
        assert insertion(db, "stripe_reads", {**read, **kind}) == refused
    rows.insert(db, "stripe_read_pages", page)
    refused = duplicate_refusal("stripe_read_pages_read_id_parameters_key")
    assert insertion(db, "stripe_read_pages", {**page, "page_number": 2}) == refused
    rows.insert(db, "stripe_read_pages", {**page, "page_number": 2, "parameters": {"a": 1}})


def test_a_discrepancy_is_open_once(db: Connection) -> None:
    discrepancy = {
        "kind": "missing_at_stripe",
        "stripe_transfer_id": "tr_1",
        "found_by_read_id": 1,
        "advice": "Look it up.",
    }
    resolved = {"resolved_at": "2030-01-01Z", "resolved_by": "engine", "resolution": "gone"}
    refused = duplicate_refusal("discrepancies_kind_stripe_transfer_id_compared_key")
    rows.insert(db, "discrepancies", {**discrepancy, **resolved, "resolved_by_read_id": 1})
    rows.insert(db, "discrepancies", {**discrepancy, **resolved})
    rows.insert(db, "discrepancies", discrepancy)
    assert insertion(db, "discrepancies", discrepancy) == refused
    rows.insert(db, "discrepancies", {**discrepancy, "found_by_read_id": None})
    rows.insert(db, "discrepancies", {**discrepancy, "stripe_transfer_id": "tr_2"})


def test_the_engine_has_one_row_of_settings(db: Connection) -> None:
    assert db.execute("select count(*) from payout.engine_settings").fetchone() == (1,)
    assert refusal(db, "insert into payout.engine_settings default values") == duplicate_refusal(
        "engine_settings_pkey"
    )
    assert refusal(db, "insert into payout.engine_settings (is_single_row) values (false)") == (
        "23514",
        'new row for relation "engine_settings" violates check constraint "there_is_one_row"',
        "there_is_one_row",
    )
