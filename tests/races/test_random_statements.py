"""Four sessions write random statements to the same two settlements, at any isolation level.

Most are refused. The others must leave settlements, transfers and books that fit together.
`PAYOUT_TEST_SEED` repeats a run as far as the operating system allows.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import psycopg
from psycopg import sql

from tests.conftest import Connection
from tests.settle.marketplace import register

SESSIONS: Final = 4
ROUNDS: Final = int(os.environ.get("PAYOUT_STATEMENTS_ROUNDS", "60"))
TRANSACTIONS_PER_ROUND: Final = 4
PAYEES: Final = ("seller_1", "seller_2")
LEVELS: Final = ("read committed", "read committed", "repeatable read", "serializable")

SETTLEMENT: Final = (
    "insert into payout.settlements (settlement_id, currency, total_minor, state) "
    "values ('{settlement}', 'usd', {total}, '{state}')"
)
LINE: Final = (
    "insert into payout.settlement_lines "
    "(settlement_id, line_id, payee_id, amount_minor, source_transaction) "
    "values ('{settlement}', '{line}', '{payee}', {amount}, {source})"
)
STATEMENTS: Final = (
    SETTLEMENT,
    SETTLEMENT + " on conflict (settlement_id) do nothing",
    SETTLEMENT + " on conflict (settlement_id) do update set state = 'complete'",
    "merge into payout.settlements as s using (values ('{settlement}')) as n (id) "
    "on s.settlement_id = n.id when matched then update set state = 'complete' when not matched "
    "then insert (settlement_id, currency, total_minor) values (n.id, 'usd', {total})",
    LINE,
    LINE,
    LINE,
    LINE + " on conflict (settlement_id, line_id) do update set amount_minor = {amount}",
    f"with line as ({LINE}) {SETTLEMENT}",
    "update payout.settlement_lines set payee_id = '{payee}' where line_id = '{line}'",
    "update payout.settlement_lines set amount_minor = {amount} "
    "where settlement_id = '{settlement}'",
    "delete from payout.settlement_lines where settlement_id = '{settlement}' "
    "and line_id = '{line}'",
    "delete from payout.settlements where settlement_id = '{settlement}'",
    "update payout.settlements set settlement_id = settlement_id, currency = currency, "
    "total_minor = {total}, state = state, pay_after = pay_after, metadata = metadata, "
    "created_at = created_at where settlement_id = '{settlement}'",
    "update payout.settlement_lines set settlement_id = '{settlement}' where line_id = '{line}'",
    "update payout.settlements set state = 'complete' where settlement_id = '{settlement}'",
    "update payout.settlements as s set state = 'complete', total_minor = ("
    "select sum(l.amount_minor) from payout.settlement_lines as l "
    "where l.settlement_id = s.settlement_id) where settlement_id = '{settlement}'",
    "select payout_api.complete_settlement('{settlement}', 'usd', '{lines}')",
    "select from payout.settlements",
    "set constraints all immediate",
    "set constraints all deferred",
)

# Each of these queries finds no row as long as the engine keeps its promises.
CONTRADICTIONS: Final = {
    "a complete settlement without its job, or a job without": (
        "select s.settlement_id from payout.settlements as s "
        "full join payout.payout_jobs as j using (settlement_id) "
        "where (s.state = 'complete') is distinct from (j.payout_job_id is not null)"
    ),
    "lines that differ from the scheduled transfers": (
        "select coalesce(l.settlement_id, t.settlement_id) from ("
        "  select settlement_id, payee_id, source_transaction, sum(amount_minor) as amount_minor"
        "  from payout.settlement_lines join payout.payout_jobs using (settlement_id)"
        "  group by settlement_id, payee_id, source_transaction"
        ") as l full join payout.payout_transfers as t "
        "on (t.settlement_id, t.payee_id, t.amount_minor) "
        "= (l.settlement_id, l.payee_id, l.amount_minor) "
        "and t.source_transaction is not distinct from l.source_transaction "
        "where l.settlement_id is null or t.settlement_id is null"
    ),
    "transfers that do not add up to the total": (
        "select s.settlement_id from payout.settlements as s "
        "join payout.payout_transfers as t using (settlement_id) "
        "group by s.settlement_id having sum(t.amount_minor) <> s.total_minor"
    ),
    "a transfer that is not booked once as owed and once as set aside": (
        "select t.payout_ref from payout.payout_transfers as t "
        "left join payout.ledger_entries as e using (payout_transfer_id) "
        "group by t.payout_transfer_id having array_agg(e.kind || e.amount_minor order by e.kind) "
        "<> array['obligation' || t.amount_minor, 'reserve' || t.amount_minor]"
    ),
    "a line without a settlement": (
        "select l.settlement_id from payout.settlement_lines as l "
        "left join payout.settlements as s using (settlement_id) where s.settlement_id is null"
    ),
    "books that do not balance": (
        "select currency from payout_api.trial_balance "
        "where difference_minor <> 0 or in_flight_minor <> open_transfers_minor"
    ),
}


def write(app: Connection, chance: random.Random, number: int) -> Counter[str]:
    """Run some transactions of random statements; return how they ended, by SQLSTATE."""
    ends: Counter[str] = Counter()
    for _ in range(TRANSACTIONS_PER_ROUND):
        has_savepoints = chance.random() < 0.5
        try:
            app.execute(f"begin isolation level {chance.choice(LEVELS)}")
            for _ in range(chance.randint(1, 7)):
                if has_savepoints:
                    ends += write_in_a_savepoint(app, statement(chance, number))
                else:
                    app.execute(statement(chance, number))
            app.execute(chance.choice(["commit", "commit", "commit", "rollback"]))
            ends["00000"] += 1
        except psycopg.Error as error:
            ends[str(error.sqlstate)] += 1
            app.execute("rollback")
    return ends


def write_in_a_savepoint(app: Connection, text: bytes) -> Counter[str]:
    """Run one statement, and let the transaction go on if it is refused."""
    app.execute("savepoint here")
    try:
        app.execute(text)
    except psycopg.Error as error:
        app.execute("rollback to here")
        return Counter([str(error.sqlstate)])
    return Counter()


def statement(chance: random.Random, number: int) -> bytes:
    lines = [
        {"line_id": line_id, "payee_id": chance.choice(PAYEES), "amount_minor": 1}
        for line_id in ("1", "2")[: chance.randint(1, 2)]
    ]
    text = chance.choice(STATEMENTS).format(
        settlement=f"set_{number}_{chance.choice('ab')}",
        state=chance.choice(["pending", "complete"]),
        total=chance.randint(1, 3),
        line=chance.choice("123"),
        payee=chance.choice(PAYEES),
        amount=chance.choice([1, 1, 2]),
        source=chance.choice(["null", "'ch_1'"]),
        lines=json.dumps(lines),
    )
    return text.encode()


def test_random_statements_at_once_leave_consistent_rows(
    db: Connection, connect: Callable[..., Connection], seed: int
) -> None:
    name = sql.Identifier(db.info.dbname)
    db.execute(sql.SQL("alter database {} set deadlock_timeout = '5ms'").format(name))
    sessions = [connect("payout_app") for _ in range(SESSIONS)]
    chances = [random.Random(seed + number) for number in range(SESSIONS)]
    register(sessions[0], *PAYEES)
    ends: Counter[str] = Counter()

    with ThreadPoolExecutor(SESSIONS) as pool:
        for number in range(ROUNDS):
            for ended in pool.map(write, sessions, chances, SESSIONS * [number]):
                ends += ended
            for contradiction, query in CONTRADICTIONS.items():
                assert db.execute(query).fetchall() == [], contradiction

    # Enough came through, and each refusal has a code of the list.
    jobs = db.execute("select from payout.payout_jobs").rowcount
    assert jobs > ROUNDS / 10
    # With immediate constraints the foreign key of a line is asked before its guard.
    expected = {"00000", "23503", "23505", "23514", "23502", "40001", "40P01"}
    expected |= {"SP102", "SP303", "SP307", "SP310", "SP402"}
    assert set(ends) <= expected
