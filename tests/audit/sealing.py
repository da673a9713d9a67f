"""Sealing without waiting: a test ages the marks, and lets earlier transactions be over."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tests.conftest import Connection
from tests.engine import unguarded

# The tables in which a new installation has rows, and those to which a round of payouts adds some.
INSTALLED: Final = ["adoptions", "catalogues", "operator_actions", "payee_accounts"]
SEALED: Final = (
    "ledger_entries",
    "payout_jobs",
    "payout_transfers",
    "transfer_observations",
    "transfer_requests",
)

# How an owner of the database makes the chain whole again after he changed something in it.
FORGE: Final = """
    do $$ declare v_seal payout.seals; begin
        for v_seal in
            select * from payout.seals where seal_id between {first} and {last} order by seal_id
        loop
            select string_agg(substr(r.row_sha256, 1, 8), '' order by r.row_id),
                sha256(string_agg(r.row_sha256, '' order by r.row_id)),
                range_agg(int8range(r.row_id, r.row_id, '[]'))
            into v_seal.row_digests, v_seal.rows_sha256, v_seal.row_ids
            from payout.sealed_rows_v1(v_seal.table_name, v_seal.first_id, v_seal.last_id, null) r;
            update payout.seals
            set row_digests = v_seal.row_digests, rows_sha256 = v_seal.rows_sha256,
                row_ids = v_seal.row_ids, seal_sha256 = payout.seal_sha256(v_seal)
            where seal_id = v_seal.seal_id;
        end loop;
    end $$
    """


class Seal(NamedTuple):
    """A row of `seals`, as far as a test looks at it."""

    seal_id: int
    table_name: str
    first_id: int
    last_id: int
    row_ids: str


class Alteration(NamedTuple):
    """A row of `verify_seals`."""

    table_name: str
    row_id: int | None
    seal_id: int
    what: str


def forget_waits(db: Connection) -> None:
    """Remove every hold and its acts, so that the seals are those of payouts alone."""
    with unguarded(db, "payout.holds", "payout.operator_actions"):
        db.execute("delete from payout.holds")
        db.execute("delete from payout.operator_actions where action in ('hold', 'release')")


def let_a_minute_pass(db: Connection) -> None:
    """Make the marks a minute older."""
    db.execute("update payout.seal_marks set marked_at = marked_at - interval '1 minute'")


def let_transactions_end(db: Connection) -> None:
    """Let no transaction be known that ran when the marks were set, here or in other databases."""
    db.execute("update payout.seal_marks set marked_xid = '3' where marked_xid is not null")


def seal(db: Connection, *, limit: int = 10000) -> int:
    """Call the sealer; return how many rows it sealed."""
    row = db.execute("select payout_api.seal(p_limit => %s)", [limit]).fetchone()
    assert row is not None
    return int(row[0])


def seal_installation(db: Connection) -> list[str]:
    """Register three payees and seal all there is; return their tables, whose seals are 1 to 4."""
    db.execute(
        "select payout_api.register_payee('seller_' || n, 'acct_' || n) "
        "from generate_series(1, 3) as n"
    )
    seal_everything(db)
    let_transactions_end(db)
    return [each.table_name for each in seals(db)]


def seal_everything(db: Connection) -> int:
    """Seal all there is; return how many rows that were."""
    let_a_minute_pass(db)
    let_transactions_end(db)
    sealed = seal(db)
    let_a_minute_pass(db)
    let_transactions_end(db)
    return sealed + seal(db)


def seals(db: Connection, table_name: str | None = None) -> list[Seal]:
    """Return the seals of a table, or all, in their order."""
    found = db.execute(
        "select seal_id, table_name, first_id, last_id, row_ids::text from payout.seals "
        "where table_name = coalesce(%s, table_name) order by seal_id",
        [table_name],
    )
    return [Seal(*row) for row in found]


def verify(db: Connection, *, start: int = 1, head: str | None = None) -> list[Alteration]:
    """Return what `verify_seals` finds."""
    found = db.execute(
        "select * from payout_api.verify_seals(p_from => %s, p_head => %s)", [start, head]
    )
    return [Alteration(*row) for row in found]


def head(db: Connection) -> str:
    """Return the end of the chain."""
    row = db.execute("select payout_api.seal_head()").fetchone()
    assert row is not None
    return str(row[0])


def value(db: Connection, query: str) -> Any:
    """Return the one value of a query."""
    row = db.execute(query).fetchone()
    assert row is not None
    return row[0]


def forge(db: Connection, first: int, last: int) -> None:
    """Make seals fit what their rows are now, as one who owns the database can."""
    db.execute(FORGE.format(first=first, last=last))
