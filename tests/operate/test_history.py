"""A read by people and workers costs the same however many transfers are settled and sealed."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.audit.sealing import seal_everything, value
from tests.conftest import Connection
from tests.engine import Engine, success
from tests.mutants import mutant
from tests.operate.test_reversed_money import reverse

SELLERS: Final = [f"seller_{number}" for number in range(20)]
# Rows of the books that this transaction has read, in any way.
BOOKS_READ: Final = """
    select coalesce(sum(pg_stat_get_xact_tuples_fetched(c.oid) + case c.relkind
        when 'r' then pg_stat_get_xact_tuples_returned(c.oid) else 0 end), 0)
    from pg_class as c
    cross join unnest('{payout.ledger_entries,payout.seal_subtotals}'::regclass[]) as t (oid)
    where c.oid = t.oid
        or c.oid in (select i.indexrelid from pg_index as i where i.indrelid = t.oid)
    """
READS: Final = {
    "overview": "select * from payout_api.overview",
    "overview_by_age": "select * from payout_api.overview_by_age",
    "trial_balance": "select * from payout_api.trial_balance",
    "open_transfers": "select * from payout_api.open_transfers",
    "unpaid": "select * from payout_api.unpaid",
    "unpaid_by_reason": "select * from payout_api.unpaid_by_reason",
    "explain": "select * from payout_api.explain(p_settlement_id => 'set_open')",
    "ledger_balances": "select * from payout_api.ledger_balances",
    "the balance of a payee": "select * from payout_api.balances_as_of('infinity', 'seller_1')",
    "reversed_money": "select * from payout_api.reversed_money",
    "money_flow": "select * from payout_api.money_flow(now() - interval '9 days', 'infinity')",
    "summary": "select * from payout_api.summary()",
    "verify_settlements": "select * from payout_api.verify_settlements('set_early_1', "
    "'set_early_2')",
    "verify_books": "select v.* from (select min(payout_transfer_id) "
    "from payout.payout_transfers) as t (first), payout_api.verify_books(first, first + 9) as v",
    "verify_projection": "select v.* from (select min(payout_transfer_id) "
    "from payout.payout_transfers) as t (first), "
    "payout_api.verify_projection(first, first + 9) as v",
    "check_books": "select * from payout.check_books()",
    "sweep": "select * from payout_api.sweep()",
    "an empty claim": "select * from payout_api.claim_transfers('worker_2', 20)",
}
OPEN: Final = "select * from payout_api.open_transfers order by payout_transfer_id"
PLAINLY_OPEN: Final = """
    select * from payout.transfer_states as s
    where s.state not in ('paid', 'cancelled', 'settled_outside') order by payout_transfer_id
    """
TOTALS: Final = """
    select account, currency, debit_minor, credit_minor, debits, credits
    from payout_api.ledger_balances order by account, currency
    """
# The same, from the entries alone.
PLAIN_TOTALS: Final = """
    select split_part(m.account, ':', 1), e.currency, sum(m.debit_minor), sum(m.credit_minor),
        sum(m.debits), sum(m.credits)
    from payout.ledger_entries as e
    cross join lateral (values
        (e.debit_account, e.amount_minor, 0, 1, 0), (e.credit_account, 0, e.amount_minor, 0, 1)
    ) as m (account, debit_minor, credit_minor, debits, credits)
    group by 1, 2 order by 1, 2
    """
OVERVIEW: Final = "select * from payout_api.overview order by state, currency"
PLAIN_OVERVIEW: Final = """
    select s.state, t.currency, count(*), sum(t.amount_minor) * c.minor_unit, sum(t.amount_minor),
        case when s.state <> 'paid' then min(s.changed_at) end, min(s.next_attempt_at)
    from payout.transfer_states as s
    join payout.payout_transfers as t using (payout_transfer_id)
    join payout.currencies as c on c.currency = t.currency
    group by s.state, t.currency, c.minor_unit order by s.state, t.currency
    """


def rows(db: Connection, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    return db.execute(query).fetchall()


def settle_and_pay(engine: Engine, *, name: str) -> None:
    """Settle a hundred transfers of new payees, pay them, and seal all that is known.

    Forty of them are taken back by Stripe, which the payees bear.
    """
    sellers = [f"{seller}_{name}" for seller in SELLERS]
    for number in range(5):
        engine.settle(*sellers, settlement_id=f"set_{name}_{number}")
        engine.report(
            *(
                success(claim, stripe_transfer_id=f"tr_{claim.payout_transfer_id}")
                for claim in engine.claim()
            )
        )
    for (transfer,) in rows(
        engine.db,
        "select payout_transfer_id from payout.payout_transfers "
        f"where settlement_id in ('set_{name}_1', 'set_{name}_2')",
    ):
        reverse(engine, transfer, 700)
    engine.db.execute(
        "select payout_api.write_off(payee_id, currency, sum(open_minor)::bigint, 'their loss') "
        "from payout_api.reversed_money group by payee_id, currency"
    )
    seal_everything(engine.db)


def read_by(engine: Engine, statement: str) -> int:
    """Return how many rows of transfers and books a statement reads."""
    db = engine.db
    with db.transaction(force_rollback=True):
        engine.plan_as_for_many_rows()
        # Of so few rows the planner would read all, and join them by hash; to compile such plans
        # takes a minute on PostgreSQL 15.
        db.execute("set local enable_hashjoin = off; set local enable_mergejoin = off")
        # Whether a row is read for an index-only scan depends on a vacuum between the two rounds.
        db.execute("set local jit = off; set local enable_indexonlyscan = off")
        before = engine.rows_read() + value(db, BOOKS_READ)
        db.execute(statement.encode())
        return int(engine.rows_read() + value(db, BOOKS_READ) - before)


@mutant(
    "paid transfers are counted one by one",
    sql="create or replace view payout_api.overview as select s.state, t.currency, "
    "count(*) as transfers, sum(t.amount_minor) * c.minor_unit as amount, "
    "sum(t.amount_minor) as amount_minor, min(s.changed_at) as oldest_since, "
    "min(s.next_attempt_at) as next_attempt_at from payout.transfer_states as s "
    "join payout.payout_transfers as t using (payout_transfer_id) "
    "join payout.currencies as c on c.currency = t.currency "
    "group by s.state, t.currency, c.minor_unit",
)
@mutant(
    "the day's money is summed up from its entries",
    "money_flow",
    "            select p_to\n",
    "            select p_to union select e.created_at from payout.ledger_entries as e\n",
)
@mutant(
    "reversed money is looked for among all that was ever reversed",
    sql="create or replace view payout_api.reversed_money as "
    "select t.payout_transfer_id, t.settlement_id, t.payee_id, t.currency, t.amount_minor, "
    "r.reversed_minor, r.closed_minor, r.reversed_minor - r.closed_minor as open_minor, r.since, "
    "null::text as stripe_transfer_id, null::text as what_to_do "
    "from (select e.payout_transfer_id, "
    "sum(e.amount_minor) filter (where e.kind = 'reversal')::bigint as reversed_minor, "
    "coalesce(sum(e.amount_minor) filter (where e.kind = 'write_off'), 0)::bigint "
    "as closed_minor, min(e.created_at) as since from payout.ledger_entries as e "
    "where e.payout_transfer_id in (select x.payout_transfer_id from payout.ledger_entries as x "
    "where x.stripe_reversal_id is not null) group by 1) as r "
    "join payout.payout_transfers as t using (payout_transfer_id) "
    "where r.reversed_minor > r.closed_minor",
)
@mutant(
    "the balance of a payee is looked for among all",
    "balances_as_of",
    "case when p_payee_id is not null then array['payable:' || p_payee_id] end",
    "null",
)
@mutant(
    "payees are read for the summary",
    "payees_owed",
    "select m.payee_id, m.currency, m.open_minor\n    from payout_api.reversed_money as m",
    "select b.account::payout.external_id, b.currency, b.balance_minor::bigint\n"
    # On some plans the first round reads a hundred rows more than the second: so several times.
    "        from generate_series(1, 9) as n cross join lateral "
    "payout_api.balances_as_of(now() + n * interval '1 day') as b where b.balance_minor > 0",
)
@mutant(
    "all transfers are folded for a range",
    "fold_facts",
    "    where t.payout_transfer_id between p_from and p_to\n",
    "",
)
@mutant(
    "all references are looked at for a range",
    "check_references",
    "where n.payout_transfer_id between p_from and p_to",
    "where n.payout_transfer_id + 0 between p_from and p_to",
)
@mutant(
    "all lines are added up for a range",
    "check_settlements",
    "            where t.settlement_id between p_from and p_to\n",
    "            where t.settlement_id || '' between p_from and p_to\n",
)
@mutant(
    "open transfers are looked for among all",
    sql="create or replace view payout_api.open_transfers as select s.* "
    "from payout.transfer_states as s "
    "where s.state not in ('paid', 'cancelled', 'settled_outside')",
)
@mutant(
    "totals are summed up from all entries",
    "ledger_ranges_at",
    "coalesce(max(s.last_id) + 1, -9223372036854775808)",
    "least(max(s.last_id), -9223372036854775808)",
)
@pytest.mark.timeout(600)
def test_nothing_that_is_read_often_grows_with_the_history(shared_engine: Engine) -> None:
    read: list[dict[str, int]] = []
    for name in ("early", "late"):
        settle_and_pay(shared_engine, name=name)
        if name == "early":
            # Before the time that is open, so that both rounds have the same open transfers.
            shared_engine.settle(
                "seller_1", "seller_2", settlement_id="set_open", pay_after="2100-01-01"
            )
            seal_everything(shared_engine.db)
        read.append({name: read_by(shared_engine, call) for name, call in READS.items()})
    for call in READS:
        assert read[1][call] <= read[0][call] + 20, (call, read)


@pytest.mark.parametrize("part", range(5))
def test_each_part_of_the_open_transfers_has_an_index(shared_engine: Engine, part: int) -> None:
    """However many are done, none of them is read."""
    settle_and_pay(shared_engine, name="done")
    db = shared_engine.db
    with db.transaction(force_rollback=True):
        shared_engine.plan_as_for_many_rows()
        (text,) = rows(db, "select pg_get_viewdef('payout_api.open_transfers'::regclass)")[0]
        before = shared_engine.rows_read()
        assert rows(db, text.rstrip(";").split("UNION ALL")[part]) == []
        assert shared_engine.rows_read() - before <= 1


@mutant(
    "transfers on hold are not open",
    sql="create or replace view payout_api.open_transfers as select s.* "
    "from payout.transfer_states as s where s.hold_id is null "
    "and s.state not in ('paid', 'cancelled', 'settled_outside')",
)
def test_open_transfers_are_all_that_are_not_done(engine: Engine) -> None:
    engine.settle("seller_1", "seller_2", "seller_3", settlement_id="set_1")
    engine.app.execute(
        "select payout_api.complete_settlement('set_2', 'usd', "
        '\'[{"line_id": "1", "payee_id": "stranger", "amount_minor": 1}]\', '
        "p_register_payees => true)"
    )
    engine.report(success(engine.claim(1)[0]))
    engine.claim(1)
    engine.hold("payee", "seller_3")
    engine.sweep()
    found = rows(engine.db, OPEN)
    assert len(found) == 3
    assert found == rows(engine.db, PLAINLY_OPEN)


@mutant(
    "sub-totals of the control account forget a range",
    "subtotals_of",
    "(nullif(split_part(x.account, ':', 1), x.account))",
    "(case when x.account like '%:seller_1_%' then 'payable' end)",
)
@mutant("credits are not counted", "subtotals_of", "coalesce(f.credits, 0) + m", "m")
@mutant(
    "entries that are sealed are counted twice",
    "ledger_ranges_at",
    "coalesce(max(s.last_id) + 1, -9223372036854775808)",
    "coalesce(max(s.last_id), -9223372036854775808)",
)
def test_totals_are_those_of_the_entries(shared_engine: Engine) -> None:
    db = shared_engine.db
    assert rows(db, TOTALS) == []
    for name in ("one", "two"):
        settle_and_pay(shared_engine, name=name)
        assert rows(db, TOTALS) == rows(db, PLAIN_TOTALS)
        shared_engine.settle(*SELLERS, settlement_id=f"set_open_{name}", currency="eur")
        shared_engine.claim(5)
        assert rows(db, TOTALS) == rows(db, PLAIN_TOTALS)
        assert rows(db, OVERVIEW) == rows(db, PLAIN_OVERVIEW)


def test_a_sweep_reads_due_transfers_once_however_many_holds_there_are(engine: Engine) -> None:
    sellers = [f"seller_{number}" for number in range(200)]
    engine.settle(*sellers)
    # Statistics are of a time when all holds were released: the planner expects one at most.
    engine.db.execute(
        "insert into payout.holds (scope, subject, reason, released_at, released_by, "
        "release_reason) select 'payee', 'stranger_' || n, 'to look', now(), 'ann', 'looked' "
        "from generate_series(1, 5000) as n"
    )
    engine.plan_as_for_many_rows()
    engine.db.execute(
        "insert into payout.holds (scope, subject, reason) "
        "select 'payee', 'stranger_' || n, 'to look' from generate_series(1, 100) as n"
    )
    before = engine.rows_read()
    engine.db.execute("select payout.mark_held_transfers(payout.clock())")
    assert engine.rows_read() - before < 200 * 6
