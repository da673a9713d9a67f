"""A small marketplace that settles with its sellers, for the tests of what the engine makes of it.

A seller `seller_1` is paid to the account `acct_seller_1`, unless a test says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, ParamSpec, TypeAlias

import psycopg
from psycopg.types.json import Jsonb

from tests.acting import Session
from tests.conftest import Connection
from tests.schema.refusals import Refusal, refusal_in

Arguments = ParamSpec("Arguments")
Line: TypeAlias = dict[str, Any]
# A connection, or a session that is acted on one.
AnySession: TypeAlias = Connection | Session
# Payee, source_transaction and amount identify a transfer within its settlement.
Transfer: TypeAlias = tuple[str, str | None, int]

TABLES: Final = (
    "settlements",
    "settlement_lines",
    "payout_jobs",
    "payout_transfers",
    "transfer_states",
    "ledger_entries",
)


def line(
    line_id: str,
    payee_id: str,
    amount_minor: int,
    *,
    source_transaction: str | None = None,
) -> Line:
    """Return one line of a settlement, as complete_settlement takes it."""
    content = {"line_id": line_id, "payee_id": payee_id, "amount_minor": amount_minor}
    if source_transaction is not None:
        content["source_transaction"] = source_transaction
    return content


def register(app: AnySession, *payee_ids: str) -> None:
    """Register payees, each with the Stripe account that is named after it."""
    for payee_id in payee_ids:
        app.execute(
            "select payout_api.register_payee("
            "p_payee_id => %s, p_stripe_account_id => 'acct_' || %s)",
            [payee_id, payee_id],
        )


def complete(
    app: AnySession,
    settlement_id: str,
    lines: Sequence[Any],
    *,
    currency: str = "usd",
    pay_after: datetime | None = None,
    metadata: dict[str, Any] | None = None,
) -> int:
    """Call complete_settlement; return the payout_job_id."""
    row = app.execute(
        "select payout_api.complete_settlement("
        "p_settlement_id => %s, p_currency => %s, p_lines => %s, p_pay_after => %s, "
        "p_metadata => %s)",
        [settlement_id, currency, Jsonb(lines), pay_after, Jsonb(metadata or {})],
    ).fetchone()
    assert row is not None
    job: int = row[0]
    return job


def insert_settlement(
    app: AnySession,
    settlement_id: str,
    lines: Sequence[Line],
    *,
    currency: str = "usd",
    total_minor: int | None = None,
    state: str = "complete",
    pay_after: datetime | None = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Insert a settlement and its lines by plain statements; the caller commits."""
    if total_minor is None:
        total_minor = sum(content["amount_minor"] for content in lines)
    app.execute(
        "insert into payout.settlements "
        "(settlement_id, currency, total_minor, state, pay_after, metadata) "
        "values (%s, %s, %s, %s, %s, %s)",
        [settlement_id, currency, total_minor, state, pay_after, Jsonb(metadata or {})],
    )
    insert_lines(app, settlement_id, lines)


def insert_lines(app: AnySession, settlement_id: str, lines: Sequence[Line]) -> None:
    """Insert lines of a settlement, one statement each; the caller commits."""
    rows = [{"settlement_id": settlement_id, "source_transaction": None} | row for row in lines]
    app.cursor().executemany(
        "insert into payout.settlement_lines "
        "(settlement_id, line_id, payee_id, amount_minor, source_transaction) "
        "values (%(settlement_id)s, %(line_id)s, %(payee_id)s, %(amount_minor)s, "
        "%(source_transaction)s)",
        rows,
    )


def settle(app: AnySession, settlement_id: str, lines: Sequence[Line], **header: Any) -> None:
    """Insert a complete settlement and its lines in a transaction of their own."""
    with app.transaction():
        insert_settlement(app, settlement_id, lines, **header)


def transfers(db: AnySession, settlement_id: str = "set_1") -> list[Transfer]:
    """Return the transfers of a settlement that belong to its one job."""
    return db.execute(
        "select t.payee_id, t.source_transaction, t.amount_minor "
        "from payout.payout_transfers as t "
        "join payout.payout_jobs as j using (payout_job_id, settlement_id) "
        "where t.settlement_id = %s "
        "order by t.payee_id, t.source_transaction nulls first",
        [settlement_id],
    ).fetchall()


def jobs(db: AnySession) -> list[str]:
    """Return the settlements that have a job, with repetition if one had two."""
    rows = db.execute("select j.settlement_id from payout.payout_jobs as j order by 1")
    return [row[0] for row in rows]


def row_counts(db: AnySession) -> dict[str, int]:
    """Return how many rows each table holds that a settlement writes to."""
    counts = {}
    for table in TABLES:
        row = db.execute(f"select count(*) from payout.{table}".encode()).fetchone()
        assert row is not None
        counts[table] = row[0]
    return counts


def refused(
    attempt: Callable[Arguments, object], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Refusal | None:
    """Call `attempt` and return how it was refused, None when it was not; nothing is undone."""
    try:
        attempt(*args, **kwargs)
    except psycopg.Error as error:
        return refusal_in(error)
    return None


def refused_at_commit(
    app: AnySession, settlement_id: str, lines: Sequence[Line], **header: Any
) -> Refusal | None:
    """Insert a settlement, which must succeed, and return how the commit was refused."""
    app.execute("begin")
    insert_settlement(app, settlement_id, lines, **header)
    return refused(app.execute, "commit")


@contextmanager
def writes_nothing(db: AnySession) -> Iterator[None]:
    """Expect that afterwards every table holds as many rows as before."""
    before = row_counts(db)
    yield
    assert row_counts(db) == before
