"""Every check of the schema takes values up to its boundary and refuses those beyond."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest
from psycopg import sql

from payout_engine.pump import LARGEST_CLAIM
from tests.conftest import Connection
from tests.mutants import mutant
from tests.schema import rows
from tests.schema.refusals import (
    Refusal,
    check_refusal,
    domain_refusal,
    refusal,
    refusal_of,
)

Changes = Mapping[str, object]
MOST: Final = 2**63 - 1
OPENED: Final = "2030-01-01 00:00:00Z"
FINISHED: Final = {"finished_at": OPENED, "next_parameters": None, "result": "nothing"}
CLOSED: Final[Changes] = {"released_at": OPENED, "released_by": "a", "release_reason": "b"}
RESOLVED: Final[Changes] = {"resolved_at": OPENED, "resolved_by": "a", "resolution": "b"}
ENDED: Final[Changes] = {"ended_at": OPENED, "ended_by": "a", "end_reason": "b"}
IDENTITY: Final = ("system_identifier", "timeline_id", "database_oid", "table_oid")
NO_IDENTITY: Final[dict[str, object]] = dict.fromkeys(IDENTITY)
WAITING: Final = ("scheduled", "retry_wait", "unknown")
RESTING: Final = ("parked", "paid", "cancelled", "settled_outside")
LONG_TIMES: Final = (
    "indeterminate_for",
    "scans_apart_for",
    "proposals_expire_after",
    "alarm_window_for",
    "queue_wakeup_again_after",
    "account_change_waits_for",
)
LARGE_NUMBERS: Final = (
    "max_tries",
    "max_generations",
    "largest_claim",
    "transfers_per_wakeup",
    "max_alarms",
)


def without(changes: Changes, column: str) -> Changes:
    return {name: value for name, value in changes.items() if name != column}


def state_row(state: str, **changes: object) -> Changes:
    return {"state": state, **rows.COMPANIONS[state], **changes}


# For each check: changes to a row that is accepted, each of which the check refuses.
REFUSED: Final[Mapping[tuple[str, str], Sequence[Changes]]] = {
    ("currencies", "minor_digits_are_0_2_or_3"): [{"minor_digits": n} for n in (-1, 1, 4)],
    ("currencies", "amount_step_is_a_power_of_ten"): [{"amount_step": n} for n in (0, 5, 1000)],
    ("situations", "turn_is_of_a_known_party"): [{"whose_turn": "payees"}, {"whose_turn": ""}],
    ("states", "status_is_known"): [
        {column: text} for column in ("status", "status_on_hold") for text in ("", "Paid", "parked")
    ],
    ("state_edges", "edge_leads_elsewhere"): [{"from_state": "paid", "to_state": "paid"}],
    ("payee_accounts", "stripe_account_id_looks_like_one"): [
        {"stripe_account_id": text}
        for text in ("", "acct_", "acct_1 ", "acct_1\n", "acct_é", "cus_1", "ACCT_1")
    ]
    + [{"stripe_account_id": "acct_" + 251 * "1"}],
    ("settlements", "amount_is_positive"): [{"total_minor": n} for n in (-1, 0)],
    ("settlements", "settlement_is_pending_or_complete"): [
        {"state": text} for text in ("", "Complete", "paid")
    ],
    ("settlements", "moment_has_a_year_of_four_digits"): [
        {"pay_after": text}
        for text in ("infinity", "-infinity", "9999-01-01Z", "20270-01-01Z", "999-12-31Z")
    ],
    ("settlement_lines", "amount_is_positive"): [{"amount_minor": n} for n in (-1, 0)],
    ("settlement_lines", "source_transaction_looks_like_one"): [
        {"source_transaction": text} for text in ("", "ch", "ch_", "_1", "ch_1 ", "ch-1", "ch_1\n")
    ]
    + [{"source_transaction": "ch_" + 253 * "1"}],
    ("payout_transfers", "amount_is_positive"): [{"amount_minor": n} for n in (-1, 0)],
    ("payout_transfers", "payout_ref_is_derived"): [
        {"payout_ref": "payout_" + 40 * "0"},
        {"settlement_id": "set_2"},
        {"source_transaction": "ch_1"},
    ],
    ("seals", "seals_count_from_one"): [{"seal_id": n} for n in (-1, 0)],
    ("seals", "version_is_known"): [{"seal_version": n} for n in (0, 2)],
    ("seals", "range_is_in_order"): [{"first_id": 2, "last_id": 1}],
    ("seals", "digests_have_eight_bytes_a_row"): [{"row_digests": b"1234567"}],
    ("seals", "hashes_have_32_bytes"): [
        {"rows_sha256": 31 * b"1"},
        {"seal_sha256": 33 * b"1"},
    ],
    ("transfer_states", "generation_counts_from_one"): [{"generation": n} for n in (-1, 0)],
    ("transfer_states", "attempt_counts_from_zero"): [{"attempt": -1}],
    ("transfer_states", "tries_count_from_zero"): [{"tries": -1}],
    ("transfer_states", "only_in_flight_has_a_lease"): [
        state_row("in_flight", next_attempt_at=None, lease_until=None),
        *(state_row(state, lease_until=OPENED) for state in WAITING),
    ],
    ("transfer_states", "in_flight_has_been_sent"): [
        state_row("in_flight", next_attempt_at=None, window_begins_at=None)
    ],
    ("transfer_states", "paid_names_its_transfer"): [
        state_row("paid", next_attempt_at=None, stripe_transfer_id=None),
        *(state_row(state, stripe_transfer_id="tr_1") for state in (*WAITING, "parked", "failed")),
    ],
    ("transfer_states", "waiting_names_its_next_attempt"): [
        state_row(state, next_attempt_at=None, reason=reason)
        for state in WAITING
        if state != "scheduled"
        for reason in (None, "awaiting_account")
    ],
    ("transfer_states", "scheduled_has_a_date_or_awaits_an_account"): [
        state_row("scheduled", next_attempt_at=None),
        state_row("scheduled", next_attempt_at=None, reason="no_hurry"),
        state_row("scheduled", reason="awaiting_account"),
    ],
    ("transfer_states", "resting_has_no_next_attempt"): [
        state_row(state, next_attempt_at=OPENED) for state in (*RESTING, "in_flight")
    ],
    ("transfer_states", "only_waiting_is_on_hold"): [
        state_row(state, next_attempt_at=None, hold_id=1) for state in (*RESTING, "in_flight")
    ],
    ("transfer_states", "parked_and_failed_say_why"): [
        state_row(state, next_attempt_at=None, reason=None) for state in ("parked", "failed")
    ],
    ("transfer_states", "only_resting_is_looked_up"): [
        *(state_row(state, next_lookup_at=OPENED) for state in WAITING if state != "scheduled"),
        state_row("paid", next_attempt_at=None, next_lookup_at=OPENED),
    ],
    ("stripe_read_pages", "pages_count_from_one"): [{"page_number": 0}],
    ("transfer_attempts", "lease_ends_after_the_claim"): [
        {"claimed_at": OPENED, "lease_until": OPENED},
        {"claimed_at": OPENED, "lease_until": "2029-12-31 23:59:59Z"},
    ],
    ("transfer_attempts", "claim_token_has_a_digest"): [
        {"claim_token_sha256": b"\0" * count} for count in (0, 31, 33)
    ],
    ("transfer_observations", "signal_is_known"): [{"signal": "guess"}, {"signal": ""}],
    ("transfer_observations", "verdict_is_known"): [{"verdict": "maybe"}, {"verdict": ""}],
    ("transfer_observations", "http_status_has_three_digits"): [
        {"http_status": n} for n in (-1, 1000)
    ],
    ("transfer_requests", "generation_counts_from_one"): [
        {"generation": n, "reason": None, "evidence_observation_id": None} for n in (-1, 0)
    ],
    ("transfer_requests", "destination_is_a_stripe_account"): [
        {"destination": text, "request": {"destination": text}} for text in ("", "cus_1", "1")
    ],
    ("transfer_requests", "request_names_the_destination"): [{"destination": "acct_2"}],
    ("transfer_requests", "further_key_has_reason_and_evidence"): [
        {"generation": 1},
        {"reason": None},
        {"evidence_observation_id": None},
    ],
    ("transfer_requests", "evidence_comes_in_order"): [{"second_evidence_observation_id": 0}],
    # With is_single_row, since a row is changed by one column only: an id never changes.
    ("engine_settings", "installation_id_has_32_digits"): [
        {"installation_id": text, "is_single_row": True} for text in ("", "A" * 32, "a" * 31)
    ],
    ("ledger_entries", "amount_is_positive"): [{"amount_minor": n} for n in (-1, 0)],
    ("ledger_entries", "movement_exists"): [
        {"stripe_reversal_id": "trr_1"},
        {
            "kind": "reversal",
            "debit_account": "stripe_balance",
            "credit_account": "payable:seller_1",
            "stripe_reversal_id": None,
        },
        *(
            {"kind": kind, "debit_account": credit, "credit_account": debit}
            for kind, (debit, credit) in rows.ACCOUNTS.items()
        ),
        *(
            {"kind": kind, "debit_account": debit, "credit_account": credit}
            for kind in rows.ACCOUNTS
            for other, (debit, credit) in rows.ACCOUNTS.items()
            if other != kind
        ),
        {"kind": "obligation", "debit_account": "settlement_funds", "credit_account": "payable:"},
        {"kind": "obligation", "debit_account": "settlement_funds", "credit_account": "payable"},
        {"kind": "release", "debit_account": "in_flight", "credit_account": "payablex"},
        {"kind": "paid", "debit_account": "in_flight", "credit_account": "in_flight"},
        {"kind": "gift"},
        {"kind": ""},
    ],
    ("ledger_entries", "obligation_is_of_the_first_generation"): [
        {
            "kind": "obligation",
            "debit_account": "settlement_funds",
            "credit_account": "payable:seller_1",
            "generation": 2,
        }
    ],
    ("stripe_error_rules", "signal_is_known"): [{"signal": "guess"}, {"signal": ""}],
    ("stripe_error_rules", "status_range_is_whole"): [
        {"http_status_from": 400, "http_status_to": None},
        {"http_status_from": None, "http_status_to": 400},
        {"http_status_from": 401, "http_status_to": 400},
    ],
    ("stripe_error_rules", "should_retry_is_stripes_header"): [{"should_retry": "yes"}],
    ("stripe_error_rules", "reaction_is_known"): [{"reaction": "ignore"}, {"reaction": ""}],
    ("stripe_error_rules", "a_send_is_needed_to_believe"): [{"sends_to_believe": 0}],
    ("stripe_error_rules", "only_a_decline_waits"): [
        {"awaits": "funds"},
        {"reaction": "decline", "awaits": "cap"},
    ],
    ("stripe_error_rules", "several_payees_pause"): [{"payees_to_pause": 1}],
    ("stripe_error_rules", "waits_are_in_order"): [
        {"wait_at_least": "-1 second"},
        {"wait_base": "0"},
        {"wait_base": "2 seconds", "wait_cap": "1 second"},
    ],
    ("engine_settings", "there_is_one_row"): [{"is_single_row": False}],
    ("engine_settings", "lease_outlasts_the_http_deadline"): [
        {"lease_for": "20 seconds"},
        {"http_deadline_for": "30 seconds"},
        {"http_deadline_for": "0"},
    ],
    ("engine_settings", "last_send_ends_before_stripe_forgets_the_key"): [
        {"send_window_for": "0"},
        {"send_window_for": "22 hours 44 minutes 30 seconds"},
        {"send_window_for": "1 day"},
        {"comparison_counts_for": "3 hours 44 minutes 30 seconds"},
        {"lease_for": "3 hours 45 minutes", "scans_apart_for": "5 hours"},
        {"attempt_drain_for": "4 hours", "scans_apart_for": "5 hours"},
    ],
    ("engine_settings", "comparison_counts_for_a_while"): [
        {"comparison_counts_for": "0"},
        {"comparison_counts_for": "14 minutes 59 seconds"},
    ],
    ("engine_settings", "attempts_drain_for_a_quarter_of_an_hour"): [
        {"attempt_drain_for": "14 minutes 59 seconds"},
        {"lease_for": "17 minutes", "http_deadline_for": "16 minutes"},
    ],
    ("engine_settings", "attempts_drain_between_two_scans"): [
        {"lease_for": "45 minutes"},
        {"attempt_drain_for": "59 minutes 30 seconds"},
    ],
    ("engine_settings", "bounds_are_positive"): [
        {"max_tries": 0},
        {"max_generations": 0},
        {"transfers_per_wakeup": 0},
        {"queue_wakeup_again_after": "-1 second"},
        {"max_alarms": 0},
        {"alarm_window_for": "0"},
    ],
    ("engine_settings", "largest_claim_serves_every_worker"): [
        {"largest_claim": LARGEST_CLAIM - 1},
        {"largest_claim": 0},
    ],
    ("engine_settings", "stripe_settles_within_a_day"): [
        {"indeterminate_for": "23:59:59"},
        {"indeterminate_for": "1 day"},
    ],
    ("engine_settings", "scans_are_an_hour_apart"): [{"scans_apart_for": "59 minutes"}],
    ("engine_settings", "approval_limit_is_an_amount"): [{"approval_limit_minor": -1}],
    ("engine_settings", "proposals_live_for_a_while"): [{"proposals_expire_after": "0"}],
    ("engine_settings", "paces_can_be_kept"): [
        {f"{kind}_per_second": pace}
        for kind in ("sends", "reads")
        for pace in (-1, 0, 0.09, 10001, 1e300, "NaN", "Infinity")
    ],
    ("engine_settings", "times_and_numbers_can_be_added_up"): [
        *({name: "361 days"} for name in LONG_TIMES),
        *({name: 1000001} for name in LARGE_NUMBERS),
    ],
    ("engine_settings", "account_change_waits_no_less_than_no_time"): [
        {"account_change_waits_for": "-1 second"}
    ],
    ("operator_actions", "proposals_expire"): [
        {"action": "propose"},
        {"action": "hold", "expires_at": "2030-01-01Z"},
    ],
    ("operator_actions", "approvals_name_their_proposal"): [
        {"action": "approve"},
        {"action": "hold", "proposal_id": 1},
    ],
    ("engine_settings", "stripe_account_id_looks_like_one"): [
        {"stripe_account_id": text, "is_livemode": True}
        for text in ("", "acct_", "acct 1", "ac_1", "acct_1\n", "acct_" + 251 * "1")
    ],
    ("engine_settings", "stripe_account_is_fixed_with_its_mode"): [{"stripe_account_id": "acct_1"}],
    ("adoptions", "identity_is_whole_or_none"): [{column: None} for column in IDENTITY],
    ("adoptions", "installation_has_an_identity"): [NO_IDENTITY | {"is_installation": True}],
    ("adoptions", "reason_is_given"): [{"reason": ""}, {"reason": "   "}],
    ("catalogues", "reason_is_given"): [{"reason": ""}, {"reason": "   "}],
    ("catalogues", "objects_is_an_object"): [{"objects": []}, {"objects": "null"}],
    ("operator_actions", "reason_is_given"): [{"reason": ""}, {"reason": "   "}],
    ("holds", "scope_is_known"): [{"scope": "bank"}, {"scope": ""}],
    ("holds", "only_the_engine_has_no_subject"): [
        {"scope": "engine", "subject": rows.PAYEE},
        {"scope": "payee", "subject": None},
    ],
    ("holds", "reason_is_given"): [{"reason": ""}, {"reason": "   "}],
    ("holds", "alarms_stop_their_transfer_or_the_engine"): [{"discrepancy_id": 1}],
    ("holds", "cause_of_a_wait_is_known"): [{"awaits": "rain"}],
    ("holds", "only_a_wait_goes_on"): [
        {"goes_on_at": OPENED},
        {"probe_transfer_id": 1},
        {"probes": 1},
    ],
    ("holds", "probes_count_from_zero"): [{"awaits": "account", "probes": -1}],
    ("holds", "release_is_whole"): [without(CLOSED, column) for column in CLOSED],
    ("discrepancies", "resolution_is_whole"): [without(RESOLVED, column) for column in RESOLVED],
    ("stripe_reads", "kind_is_known"): [{"kind": "charges"}],
    ("stripe_reads", "lookup_names_its_transfer"): [
        {"kind": "lookup"},
        {"payout_transfer_id": 1},
    ],
    ("stripe_reads", "reversals_name_their_transfer"): [
        {"kind": "reversals"},
        {"stripe_transfer_id": "tr_1"},
    ],
    ("stripe_reads", "counts_are_not_negative"): [
        {name: -1} for name in ("objects_seen", "objects_expected", "objects_found")
    ],
    ("stripe_reads", "read_is_finished_or_abandoned"): [FINISHED | {"abandoned_at": OPENED}],
    ("stripe_reads", "finished_asks_no_more"): [
        FINISHED | {"next_parameters": {}},
        FINISHED | {"result": None},
    ],
    ("discrepancies", "compared_names_a_transfer"): [{"found_by_read_id": 1}],
    ("discrepancies", "reads_resolve_what_they_compare"): [
        {"resolved_by_read_id": 1},
        {**RESOLVED, "resolved_by_read_id": 1},
        {"found_by_read_id": 1, "stripe_transfer_id": "tr_1", "resolved_by_read_id": 1},
    ],
    ("discrepancies", "rules_resolve_what_reads_compare"): [
        {"resolved_by_rule_id": 1},
        {**RESOLVED, "resolved_by_rule_id": 1},
        {
            **RESOLVED,
            **{"found_by_read_id": 1, "stripe_transfer_id": "tr_1"},
            **{"resolved_by_read_id": 1, "resolved_by_rule_id": 1},
        },
    ],
    ("not_ours_rules", "only_a_rule_for_everything_has_no_condition"): [
        {"metadata_key": None},
        {"is_everything": True},
    ],
    ("not_ours_rules", "metadata_key_is_one"): [{"metadata_key": text} for text in ("", 41 * "k")],
    ("not_ours_rules", "destination_is_a_stripe_account"): [{"destination": "seller_1"}],
    ("not_ours_rules", "reason_is_given"): [{"reason": " "}],
    ("not_ours_rules", "end_is_whole"): [without(ENDED, column) for column in ENDED],
    ("paces", "kind_is_known"): [{"kind": "writes"}],
    ("paces", "pace_is_positive"): [
        {"per_second": 0},
        {"refused_per_second": 0, "refused_at": OPENED},
    ],
    ("paces", "refusal_has_its_time"): [{"refused_per_second": 25}],
    ("caps", "scope_is_known"): [{"scope": "currency"}],
    ("caps", "caps_are_not_negative"): [{"largest_amount_minor": -1}, {"largest_count": -1}],
    ("caps", "a_transfer_is_not_counted"): [{"scope": "transfer", "largest_count": 1}],
    ("cap_uses", "use_is_positive"): [{"amount_minor": 0}, {"transfers": 0}],
    ("reversed_transfers", "amount_is_positive"): [{"amount_reversed_minor": n} for n in (-1, 0)],
    ("outcomes", "status_is_known"): [{"status": ""}, {"status": "Paid"}, {"status": "parked"}],
}
# Rules that are of the column's type.
DOMAIN_OF: Final = {
    ("settlements", "amount_is_positive"): "positive_minor",
    ("settlements", "settlement_is_pending_or_complete"): "settlement_state",
    ("settlements", "moment_has_a_year_of_four_digits"): "moment",
    ("settlement_lines", "amount_is_positive"): "positive_minor",
    ("settlement_lines", "source_transaction_looks_like_one"): "source_transaction_id",
    ("states", "status_is_known"): "payout_status",
    ("outcomes", "status_is_known"): "payout_status",
}

# Changes to a row that is accepted, after which it still is.
ACCEPTED: Final[Mapping[str, Sequence[Changes]]] = {
    "currencies": [
        {"minor_digits": 0},
        {"minor_digits": 3, "amount_step": 10},
        {"amount_step": 100},
    ],
    "payee_accounts": [{"stripe_account_id": "acct_" + 250 * "1"}],
    "settlements": [
        {"total_minor": MOST},
        {"pay_after": OPENED},
        {"pay_after": None},
        {"metadata": '{"order": "1"}'},
    ],
    "settlement_lines": [
        {"amount_minor": MOST},
        {"source_transaction": "py_1"},
        {"source_transaction": "ch_" + 240 * "1"},
    ],
    "transfer_states": [
        state_row("failed", next_attempt_at=None),
        state_row("failed", next_attempt_at=OPENED),
        *(state_row(state, next_attempt_at=None) for state in (*RESTING, "in_flight")),
        *(state_row(state) for state in WAITING),
        state_row("scheduled", next_attempt_at=None, reason="awaiting_account"),
        state_row("scheduled", reason="after_others"),
    ],
    "transfer_observations": [
        {"http_status": 0},
        {"http_status": 999},
        {"http_status": None},
        *(
            {"signal": signal}
            for signal in ("unreadable", "no_response", "not_sent", "lease_expired", "key_expired")
        ),
        *({"verdict": verdict} for verdict in ("already", "stale", "alarm")),
    ],
    "ledger_entries": [
        {"amount_minor": MOST},
        {"kind": "release", "credit_account": "payable:'; drop table payees; --"},
    ],
    "stripe_error_rules": [
        {"reaction": "decline", "sends_to_believe": 1},
        {"reaction": "decline", "awaits": "account", "payees_to_pause": 2},
        {"http_status_from": 400, "http_status_to": 400},
        {"should_retry": "false"},
        {"wait_base": "1 second", "wait_cap": "1 second"},
    ],
    "engine_settings": [
        {"send_window_for": "22 hours 44 minutes 29 seconds"},
        {"comparison_counts_for": "3 hours 44 minutes 29 seconds"},
        {"comparison_counts_for": "15 minutes"},
        {"lease_for": "20.000001 seconds"},
        {"lease_for": "44 minutes 59 seconds"},
        {"attempt_drain_for": "59 minutes 29 seconds"},
        {"queue_wakeup_again_after": "0"},
        {"sends_per_second": 0.1, "reads_per_second": None},
        {"sends_per_second": None, "reads_per_second": 10000},
        dict.fromkeys(LONG_TIMES, "1 year") | dict.fromkeys(LARGE_NUMBERS, 1000000),
        {"is_livemode": True},
        {"is_livemode": False, "stripe_account_id": "acct_" + 250 * "1"},
    ],
    "adoptions": [
        NO_IDENTITY,
        NO_IDENTITY | {"read_id": 1},
        {"is_installation": True},
        {"read_id": 1},
    ],
    "holds": [
        {"scope": "engine", "subject": None},
        CLOSED,
        {"awaits": "account", "goes_on_at": OPENED, "probe_transfer_id": 1, "probes": 1},
    ],
    "paces": [{"per_second": 0.5, "refused_per_second": 1, "refused_at": OPENED}],
    "caps": [{"largest_amount_minor": 0}, {"scope": "transfer", "largest_count": None}],
    "not_ours_rules": [
        ENDED,
        {"metadata_key": None, "is_everything": True},
        {"created_before": OPENED, "destination": "acct_1", "metadata_key": 40 * "k"},
    ],
    "discrepancies": [
        RESOLVED,
        {**RESOLVED, "found_by_read_id": 1, "stripe_transfer_id": "tr_1", "resolved_by_read_id": 1},
    ],
    "stripe_reads": [FINISHED, {"abandoned_at": OPENED}],
    "outcomes": [
        {"status": "waiting_for_account"},
        {"status": "settled_outside"},
        {"reversed_minor": MOST, "stripe_transfer_id": "tr_1"},
    ],
}


def base_row(db: Connection, table: str, payout_transfer_id: int) -> rows.Row:
    """Return a row that the table takes, and make room for it."""
    if table == "transfer_states":
        # A copy may start half-way; the rules of the row hold for it as well.
        db.execute("alter table payout.transfer_states disable trigger _500_refuse_delete")
        db.execute("delete from payout.transfer_states")
        db.execute("set session_replication_role = replica")
        return {"payout_transfer_id": payout_transfer_id, **rows.COMPANIONS["scheduled"]}
    if table == "engine_settings":
        db.execute("alter table payout.engine_settings disable trigger user")
        db.execute("delete from payout.engine_settings")
        return {"is_single_row": True}
    if table == "paces":
        db.execute("alter table payout.paces disable trigger user")
        db.execute("delete from payout.paces")
    if table == "settlement_lines":
        rows.add_settlement(db, "set_pending", state="pending")
    return rows.valid_row(db, table, payout_transfer_id)


def expected_refusal(table: str, constraint: str) -> Refusal:
    if domain := DOMAIN_OF.get((table, constraint)):
        return domain_refusal(domain, constraint)
    return check_refusal(table, constraint)


def insertion(db: Connection, table: str, row: Mapping[str, Any]) -> Refusal | None:
    return refusal_of(db, lambda: rows.insert(db, table, row))


def test_every_check_of_the_schema_is_tried(db: Connection) -> None:
    found = db.execute(
        """
        select c.relname::text, k.conname::text
        from pg_constraint as k
        join pg_class as c on c.oid = k.conrelid
        where k.connamespace = 'payout'::regnamespace and k.contype = 'c'
        """
    )
    # Tables that a settlement writes have their rules in functions, by the names of checks.
    rules = db.execute(
        r"""
        select f.table_name, rule[1]
        from (values
            ('payout_transfers', 'tg_payout_transfers__derive'),
            ('transfer_states', 'progress_problem'),
            ('ledger_entries', 'tg_ledger_entries__check_movement')
        ) as f (table_name, function_name)
        join pg_proc as p on p.proname = f.function_name
        cross join regexp_matches(
            p.prosrc,
            $$(?:then|else|v_broken :=) '([a-z]+_[a-z]+_[a-z_]+|movement_exists)'$$, 'g'
        ) as rule
        where p.pronamespace = 'payout'::regnamespace
        """
    ).fetchall()
    assert {table for table, _ in rules} == {
        "payout_transfers",
        "transfer_states",
        "ledger_entries",
    }
    assert set(found) | set(rules) == REFUSED.keys() - DOMAIN_OF.keys()


@mutant(
    "a lease that may be set shorter than the deadline",
    sql=("alter table payout.engine_settings drop constraint lease_outlasts_the_http_deadline"),
    at="engine_settings",
)
@mutant(
    "a send window beyond Stripe's memory",
    sql=(
        "alter table payout.engine_settings drop constraint "
        "last_send_ends_before_stripe_forgets_the_key"
    ),
    at="engine_settings",
)
@pytest.mark.parametrize("table", sorted({table for table, _ in REFUSED}))
def test_a_check_refuses_the_values_it_names_and_no_others_in(db: Connection, table: str) -> None:
    row = base_row(db, table, rows.add_transfer(db))

    accepted = [{}, *ACCEPTED.get(table, [])]
    assert [
        changes for changes in accepted if insertion(db, table, {**row, **changes}) is not None
    ] == []

    attempts = [
        (constraint, changes)
        for (owner, constraint), cases in REFUSED.items()
        for changes in cases
        if owner == table
    ]
    assert [
        (constraint, changes, insertion(db, table, {**row, **changes}))
        for constraint, changes in attempts
    ] == [
        (constraint, changes, expected_refusal(table, constraint))
        for constraint, changes in attempts
    ]


@pytest.mark.parametrize(
    "identity",
    [
        ("set_1", "seller_1", None),
        ("set_1", "seller_1", "ch_1"),
        ("set_1,8:seller_1", "x", None),
        ("Übertrag 9", "売り手", None),
    ],
)
def test_a_payout_ref_is_a_hash_of_texts_that_carry_their_lengths(
    db: Connection, identity: tuple[str, str, str | None]
) -> None:
    settlement_id, payee_id, source_transaction = identity
    lengths = [len(text.encode()) for text in (settlement_id, payee_id)]
    ((installation,),) = db.execute("select installation_id from payout.engine_settings").fetchall()
    written = (
        f"{installation},{lengths[0]}:{settlement_id},{lengths[1]}:{payee_id},"
        f"{source_transaction or ''}"
    )

    assert rows.payout_ref(db, settlement_id, payee_id, source_transaction) == (
        "payout_" + hashlib.sha256(written.encode()).hexdigest()[:40]
    )


def test_every_column_but_these_must_be_filled(db: Connection) -> None:
    found = db.execute(
        """
        select c.relname || '.' || a.attname
        from pg_class as c
        join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relnamespace = 'payout'::regnamespace and c.relkind in ('r', 'p')
            and not a.attnotnull
        """
    )
    assert {name for (name,) in found} == {
        "account_waits.next_look_at",
        "discrepancies.found_by_read_id",
        "discrepancies.payout_transfer_id",
        "discrepancies.resolved_by_read_id",
        "discrepancies.resolved_by_rule_id",
        "discrepancies.resolution",
        "discrepancies.resolved_at",
        "discrepancies.resolved_by",
        "discrepancies.stripe_transfer_id",
        "engine_settings.is_livemode",
        "engine_settings.stripe_account_id",
        "holds.expires_at",
        "ledger_entries.operator_action_id",
        "operator_actions.expires_at",
        "operator_actions.proposal_id",
        "states.credit_account",
        "situations.next_call",
        "states.entry_kind",
        "adoptions.database_oid",
        "adoptions.read_id",
        "adoptions.system_identifier",
        "adoptions.table_oid",
        "adoptions.timeline_id",
        "holds.awaits",
        "holds.goes_on_at",
        "holds.probe_transfer_id",
        "caps.largest_amount_minor",
        "caps.largest_count",
        "paces.per_second",
        "paces.refused_at",
        "paces.refused_per_second",
        "engine_settings.reads_per_second",
        "engine_settings.sends_per_second",
        "holds.discrepancy_id",
        "holds.release_reason",
        "holds.released_at",
        "holds.released_by",
        "holds.subject",
        "outcomes.hold_id",
        "outcomes.reason",
        "outcomes.stripe_transfer_id",
        "transfer_requests.evidence_observation_id",
        "workers.measured_at",
        "transfer_requests.reason",
        "transfer_requests.second_evidence_observation_id",
        "ledger_entries.stripe_reversal_id",
        "not_ours_rules.created_before",
        "not_ours_rules.destination",
        "not_ours_rules.end_reason",
        "not_ours_rules.ended_at",
        "not_ours_rules.ended_by",
        "not_ours_rules.metadata_key",
        "operator_actions.subject",
        "payout_transfers.source_transaction",
        "seal_marks.marked_id",
        "seal_marks.marked_xid",
        "seals.rows_from",
        "seals.rows_until",
        "reversed_transfers.next_lookup_at",
        "listed_transfers.amount_minor",
        "listed_transfers.currency",
        "listed_transfers.destination",
        "listed_transfers.is_livemode",
        "listed_transfers.named_engine",
        "listed_transfers.named_payout_ref",
        "listed_transfers.source_transaction",
        "listed_transfers.created_at",
        "listed_transfers.read_id",
        "settlement_lines.source_transaction",
        "settlements.pay_after",
        "stripe_error_rules.awaits",
        "stripe_error_rules.error_code",
        "stripe_error_rules.error_param",
        "stripe_error_rules.payees_to_pause",
        "stripe_error_rules.error_type",
        "stripe_error_rules.http_status_from",
        "stripe_error_rules.http_status_to",
        "stripe_error_rules.is_rate_limited",
        "stripe_error_rules.is_replayed",
        "stripe_error_rules.should_retry",
        "stripe_reads.abandoned_at",
        "stripe_reads.adoption_id",
        "stripe_reads.books_from",
        "stripe_reads.database_oid",
        "stripe_reads.finished_at",
        "stripe_reads.newest_created_at",
        "stripe_reads.next_parameters",
        "stripe_reads.payout_transfer_id",
        "stripe_reads.result",
        "stripe_reads.stripe_transfer_id",
        "stripe_reads.system_identifier",
        "stripe_reads.table_oid",
        "stripe_reads.server_started_at",
        "stripe_reads.timeline_id",
        "transfer_states.hold_id",
        "transfer_states.next_lookup_at",
        "transfer_observations.error_code",
        "transfer_observations.error_rule_id",
        "transfer_observations.error_type",
        "transfer_observations.http_status",
        "transfer_observations.is_replayed",
        "transfer_observations.moved_to",
        "transfer_observations.next_attempt_at",
        "transfer_observations.reason",
        "transfer_observations.stripe_request_id",
        "transfer_observations.stripe_transfer_id",
        "transfer_states.wakeup_id",
        "transfer_states.window_begins_at",
        "transfer_states.lease_until",
        "transfer_states.next_attempt_at",
        "transfer_states.reason",
        "transfer_states.stripe_transfer_id",
    }


@pytest.mark.parametrize("table", ["stripe_error_rules", "engine_settings", "settlements"])
def test_a_check_also_holds_when_a_row_is_changed(db: Connection, table: str) -> None:
    rows.add_one_of_each(db)
    rows.add_settlement(db, "set_pending", state="pending")
    where = sql.SQL("where state = 'pending'" if table == "settlements" else "")
    attempts = [
        (constraint, column, value)
        for (owner, constraint), cases in REFUSED.items()
        for changes in cases
        for column, value in changes.items()
        if owner == table and len(changes) == 1
    ]
    statements = {
        (constraint, column, value): sql.SQL("update {} set {} = {} {}").format(
            sql.Identifier("payout", table), sql.Identifier(column), sql.Literal(value), where
        )
        for constraint, column, value in attempts
    }
    for (constraint, *_), statement in statements.items():
        assert refusal(db, statement) == expected_refusal(table, constraint)
