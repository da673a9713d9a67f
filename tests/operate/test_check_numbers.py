"""The doctor notices a sequence that is behind the rows that it numbers."""

from __future__ import annotations

import pytest

from tests.engine import Engine
from tests.mutants import mutant
from tests.operate.checks import complaints

GO_ON = "numbers go on after the newest row"


@mutant(
    "a doctor who takes the next number for granted",
    "check_numbers",
    "where n.newest > coalesce(",
    "where false and n.newest > coalesce(",
    at="payee_accounts",
)
@pytest.mark.parametrize(
    "table", ["payee_accounts", "payout_jobs", "payout_transfers", "ledger_entries", "holds"]
)
def test_a_sequence_that_was_not_copied_with_its_rows_is_named(engine: Engine, table: str) -> None:
    engine.settle("seller_1", "seller_2")
    for payee in ("seller_1", "seller_2"):
        engine.hold("payee", payee)
    engine.release_holds()
    assert complaints(engine.db) == {}
    for called in ("true", "false"):
        (name,) = engine.db.execute(
            "select pg_get_serial_sequence(attrelid::regclass::text, attname) from pg_attribute "
            "where attrelid = %s::regclass and attidentity <> ''",
            [f"payout.{table}"],
        ).fetchall()[0]
        last = engine.db.execute(f"select last_value from {name}".encode()).fetchone()
        engine.db.execute("select setval(%s, 1, %s)", [name, called])
        found = complaints(engine.db)
        engine.db.execute("select setval(%s, %s)", [name, last[0] if last else 1])
        assert found.keys() == {GO_ON}
        assert found[GO_ON].startswith(f"{name}, whose newest row has ")


def test_each_table_with_numbers_is_asked(engine: Engine) -> None:
    missing = engine.db.execute(
        "select c.relname from pg_attribute as a join pg_class as c on c.oid = a.attrelid "
        "join pg_proc as p on p.proname = 'check_numbers' "
        "where c.relnamespace = 'payout'::regnamespace and a.attidentity <> '' and position("
        "concat_ws(', ', quote_literal(c.relname), quote_literal(a.attname), "
        "format('max(r.%I)', a.attname)) in p.prosrc) = 0"
    )
    assert missing.fetchall() == []
