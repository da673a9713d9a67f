"""Rows to test the schema with, written by a superuser and not by the functions that write them.

So the tests of the schema need nothing but the schema. Rows that belong together are written in one
transaction: a settlement that commits with its job is left alone by the hook that schedules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from psycopg import sql
from psycopg.types.json import Jsonb

from tests.conftest import Connection

Row = dict[str, Any]

SETTLEMENT: Final = "set_1"
PAYEE: Final = "seller_1"
OTHER_PAYEE: Final = "seller_2"
DESTINATION: Final = "acct_1"
AMOUNT_MINOR: Final = 1500

# For each kind of ledger entry the accounts that it moves money between.
ACCOUNTS: Final[Mapping[str, tuple[str, str]]] = {
    "obligation": ("settlement_funds", "payable:seller_1"),
    "reserve": ("payable:seller_1", "in_flight"),
    "paid": ("in_flight", "stripe_balance"),
    "release": ("in_flight", "payable:seller_1"),
    "reversal": ("stripe_balance", "payable:seller_1"),
    "cancel": ("in_flight", "settlement_funds"),
    "settle_outside": ("payable:seller_1", "paid_outside"),
    "write_off": ("payable:seller_1", "settlement_funds"),
}
# For each state the other columns that its row must fill.
COMPANIONS: Final[Mapping[str, Mapping[str, object]]] = {
    "scheduled": {"next_attempt_at": "2030-01-01Z"},
    "in_flight": {"lease_until": "2030-01-01Z", "window_begins_at": "2030-01-01Z"},
    "retry_wait": {"next_attempt_at": "2030-01-01Z"},
    "unknown": {"next_attempt_at": "2030-01-01Z"},
    "parked": {"reason": "a_person_must_look"},
    "failed": {"reason": "declined"},
    "paid": {"stripe_transfer_id": "tr_1"},
    "cancelled": {},
    "settled_outside": {},
}


def insert(connection: Connection, table: str, row: Mapping[str, object]) -> None:
    """Write one row of schema payout; a dict or list becomes jsonb."""
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        sql.Identifier("payout", table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(map(sql.Placeholder, row)),
    )
    connection.execute(statement, {name: adapt(value) for name, value in row.items()})


def update_state(
    connection: Connection, payout_transfer_id: int, changes: Mapping[str, object]
) -> None:
    """Write columns of a transfer's progress row, as a plain UPDATE."""
    statement = sql.SQL("update payout.transfer_states set {} where payout_transfer_id = {}")
    assignments = (
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in changes
    )
    connection.execute(
        statement.format(sql.SQL(", ").join(assignments), sql.Literal(payout_transfer_id)), changes
    )


def adapt(value: object) -> object:
    """Return a dict or list as jsonb, anything else as it is."""
    return Jsonb(value) if isinstance(value, dict | list) else value


def payout_ref(
    connection: Connection, settlement_id: str, payee_id: str, source_transaction: str | None
) -> str:
    """Ask the database for the identity of a transfer."""
    identity = [settlement_id, payee_id, source_transaction]
    row = connection.execute(
        "select payout.payout_ref(installation_id, %s, %s, %s) from payout.engine_settings",
        identity,
    ).fetchone()
    assert row is not None
    return str(row[0])


def transfer_row(
    connection: Connection,
    *,
    settlement_id: str = SETTLEMENT,
    payee_id: str = PAYEE,
    source_transaction: str | None = None,
) -> Row:
    """Return a row of payout_transfers that agrees with itself."""
    job = connection.execute(
        "select payout_job_id from payout.payout_jobs where settlement_id = %s", [settlement_id]
    ).fetchone()
    assert job is not None
    return {
        "payout_job_id": job[0],
        "settlement_id": settlement_id,
        "payee_id": payee_id,
        "source_transaction": source_transaction,
        "amount_minor": AMOUNT_MINOR,
        "currency": "usd",
        "payout_ref": payout_ref(connection, settlement_id, payee_id, source_transaction),
    }


def add_payee(connection: Connection, payee_id: str = PAYEE) -> None:
    """Write a payee, unless it is there, and a Stripe account that it has from now on."""
    connection.execute(
        "insert into payout.payees (payee_id) values (%s) on conflict do nothing", [payee_id]
    )
    insert(connection, "payee_accounts", {"payee_id": payee_id, "stripe_account_id": DESTINATION})


def add_settlement(
    connection: Connection,
    settlement_id: str = SETTLEMENT,
    *,
    state: str = "complete",
    metadata: Row | None = None,
) -> None:
    """Write a settlement with line 1; a complete one is scheduled, as far as it has its job."""
    add_payee(connection)
    with connection.transaction():
        settlement = {
            "settlement_id": settlement_id,
            "currency": "usd",
            "total_minor": AMOUNT_MINOR,
            "state": state,
            "metadata": metadata or {},
        }
        insert(connection, "settlements", settlement)
        line = {
            "settlement_id": settlement_id,
            "line_id": "1",
            "payee_id": PAYEE,
            "amount_minor": AMOUNT_MINOR,
        }
        insert(connection, "settlement_lines", line)
        if state == "complete":
            insert(connection, "payout_jobs", {"settlement_id": settlement_id})


def add_transfer(connection: Connection, settlement_id: str = SETTLEMENT) -> int:
    """Write a complete settlement with its job and a scheduled transfer; return the latter's id."""
    with connection.transaction():
        add_settlement(connection, settlement_id)
        row = transfer_row(connection, settlement_id=settlement_id)
        insert(connection, "payout_transfers", row)
        made = connection.execute(
            "select payout_transfer_id from payout.payout_transfers where settlement_id = %s",
            [settlement_id],
        ).fetchone()
        assert made is not None
        state = {"payout_transfer_id": made[0], **COMPANIONS["scheduled"]}
        insert(connection, "transfer_states", state)
    return int(made[0])


def add_new_key(connection: Connection, payout_transfer_id: int, generation: int = 2) -> None:
    """Write the observation that a transfer may have another key."""
    opened = {"signal": "key_opened", "generation": generation, "http_status": None}
    row = observation_row(payout_transfer_id) | opened
    insert(connection, "transfer_observations", row)


def request_row(connection: Connection, payout_transfer_id: int, generation: int = 2) -> Row:
    """Write a decline and return the row of transfer_requests for which it is the evidence."""
    insert(connection, "transfer_observations", observation_row(payout_transfer_id))
    ((evidence,),) = connection.execute(
        "select max(o.observation_id) from payout.transfer_observations as o"
    ).fetchall()
    return {
        "payout_transfer_id": payout_transfer_id,
        "generation": generation,
        "destination": DESTINATION,
        "request": {"destination": DESTINATION},
        "reason": "balance_insufficient",
        "evidence_observation_id": evidence,
    }


def observation_row(payout_transfer_id: int) -> Row:
    """Return a row of transfer_observations: a decline."""
    return {
        "payout_transfer_id": payout_transfer_id,
        "generation": 1,
        "attempt": 1,
        "signal": "response",
        "verdict": "ok",
        "http_status": 400,
    }


def read_page_row(connection: Connection, payout_transfer_id: int) -> Row:
    """Write a look-up and return a row of stripe_read_pages for it: an empty page."""
    lookup = {"kind": "lookup", "payout_transfer_id": payout_transfer_id}
    read = valid_row(connection, "stripe_reads", payout_transfer_id)
    insert(connection, "stripe_reads", read | lookup)
    newest = connection.execute("select max(read_id) from payout.stripe_reads").fetchone()
    assert newest is not None
    return {
        "read_id": newest[0],
        "page_number": 1,
        "parameters": {},
        "has_more": False,
        "received_at": "2030-01-01 00:00:01Z",
    }


def ledger_row(payout_transfer_id: int, kind: str, *, generation: int = 1) -> Row:
    """Return a row of ledger_entries of a kind; a reversal names trr_1."""
    debit_account, credit_account = ACCOUNTS[kind]
    return {
        "payout_transfer_id": payout_transfer_id,
        "kind": kind,
        "generation": generation,
        "debit_account": debit_account,
        "credit_account": credit_account,
        "amount_minor": AMOUNT_MINOR,
        "currency": "usd",
        "stripe_reversal_id": "trr_1" if kind == "reversal" else None,
    }


def add_one_of_each(connection: Connection) -> int:
    """Write a row into every table that starts empty; return the id of the transfer among them."""
    payout_transfer_id = add_transfer(connection)
    insert(connection, "transfer_requests", request_row(connection, payout_transfer_id))
    insert(connection, "ledger_entries", ledger_row(payout_transfer_id, "obligation"))
    for table in (
        "account_waits",
        "transfer_attempts",
        "stripe_error_rules",
        "operator_actions",
        "holds",
        "not_ours_rules",
        "discrepancies",
        "stripe_reads",
        "seals",
        "seal_subtotals",
        "stripe_read_pages",
        "listed_transfers",
        "reversed_transfers",
        "open_reversals",
        "outcomes",
        "workers",
        "caps",
        "cap_uses",
    ):
        insert(connection, table, valid_row(connection, table, payout_transfer_id))
    return payout_transfer_id


def valid_row(connection: Connection, table: str, payout_transfer_id: int) -> Row:
    """Return a row that a table takes, beside the rows of `add_transfer`."""
    if table == "payout_transfers":
        add_payee(connection, OTHER_PAYEE)
        return transfer_row(connection, payee_id=OTHER_PAYEE)
    if table == "ledger_entries":
        return ledger_row(payout_transfer_id, "paid")
    if table == "transfer_requests":
        return request_row(connection, payout_transfer_id)
    if table == "transfer_observations":
        return observation_row(payout_transfer_id)
    if table == "stripe_read_pages":
        return read_page_row(connection, payout_transfer_id)
    rows: Mapping[str, Row] = {
        "currencies": {"currency": "xxx", "minor_digits": 2},
        "workers": {"worker": "worker_1", "release": "1.0.0"},
        "situations": {
            "situation": "lost",
            "whose_turn": "nobody",
            "for_seller": "Lost.",
            "for_operator": "Lost.",
        },
        "states": {
            "state": "lost",
            "is_final": False,
            "status": "failed",
            "status_on_hold": "failed",
            "meaning": "Lost.",
        },
        "state_edges": {"from_state": "paid", "to_state": "failed", "why": "a test"},
        "ledger_accounts": {"account": "fees", "meaning": "Fees."},
        "payees": {"payee_id": OTHER_PAYEE},
        "payee_accounts": {"payee_id": PAYEE, "stripe_account_id": "acct_2"},
        "settlements": {"settlement_id": "set_2", "currency": "usd", "total_minor": 1},
        "settlement_lines": {
            "settlement_id": "set_pending",
            "line_id": "2",
            "payee_id": PAYEE,
            "amount_minor": 1,
        },
        "account_waits": {"payout_transfer_id": payout_transfer_id, "payee_id": PAYEE},
        "transfer_attempts": {
            "payout_transfer_id": payout_transfer_id,
            "generation": 1,
            "attempt": 1,
            "worker": "worker_1",
            "window_begins_at": "2030-01-01 00:00:00Z",
            "claimed_at": "2030-01-01 00:00:00Z",
            "lease_until": "2030-01-01 00:00:30Z",
            "claim_token_sha256": b"\0" * 32,
        },
        "stripe_reads": {
            "kind": "comparison",
            "path": "/v1/transfers",
            "queries": [{}],
            "next_parameters": {},
            "worker": "worker_1",
            "begun_at": "2030-01-01 00:00:00Z",
        },
        "stripe_error_rules": {
            "error_rule_id": 1_000_000,
            "signal": "response",
            "reaction": "retry",
            "reason": "a_reason",
            "advice": "An advice.",
        },
        "seals": {
            "seal_id": 1,
            "seal_version": 1,
            "table_name": "ledger_entries",
            "first_id": 1,
            "last_id": 1,
            "row_ids": "{[1,2)}",
            "row_digests": 8 * b"1",
            "rows_sha256": 32 * b"1",
            "sealed_at": "2030-01-01 00:00:00Z",
            "seal_sha256": 32 * b"1",
        },
        "seal_subtotals": {
            "seal_id": 1,
            "account": "in_flight",
            "currency": "usd",
            "debit_minor": 0,
            "credit_minor": AMOUNT_MINOR,
            "debits": 0,
            "credits": 1,
        },
        "adoptions": {
            "system_identifier": 1,
            "timeline_id": 1,
            "database_oid": 1,
            "table_oid": 1,
            "reason": "a test",
        },
        "catalogues": {"objects": {}, "reason": "a test"},
        "operator_actions": {"action": "hold", "reason": "a test"},
        "holds": {"scope": "payee", "subject": PAYEE, "reason": "a test"},
        "not_ours_rules": {"metadata_key": "shop", "reason": "a test"},
        "paces": {"kind": "sends"},
        "caps": {"scope": "payee", "currency": "usd", "largest_count": 1},
        "cap_uses": {
            "scope": "payee",
            "subject": PAYEE,
            "currency": "usd",
            "begun_at": "2030-01-01 00:00:00Z",
            "amount_minor": 1,
            "transfers": 1,
        },
        "discrepancies": {"kind": "missing_at_stripe", "advice": "Look it up."},
        "outcomes": {"payout_transfer_id": payout_transfer_id, "status": "sending"},
        "open_reversals": {"payout_transfer_id": payout_transfer_id, "ledger_entry_id": 1},
        "reversed_transfers": {"stripe_transfer_id": "tr_1", "amount_reversed_minor": 1},
        "listed_transfers": {
            "stripe_transfer_id": "tr_1",
            "payout_ref": "payout_1",
            "amount_reversed_minor": 0,
            "created_at": "2030-01-01 00:00:00Z",
            "read_id": 1,
            "seen_at": "2030-01-01 00:00:00Z",
        },
    }
    return dict(rows[table])
