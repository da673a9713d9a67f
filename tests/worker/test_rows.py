"""The types of the rows that Python reads are the columns of the functions, in names and order."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, NotRequired, Union, get_args, get_origin, get_type_hints

import pytest

from payout_engine import rows
from tests.conftest import Connection

PACKAGE: Final = Path(rows.__file__).parent
ROWS: Final[dict[str, type]] = {
    "claim_transfers": rows.Order,
    "report_outcomes": rows.Report,
    "claim_reads": rows.Read,
    "report_page": rows.ReadReport,
    "open_discrepancies": rows.OpenDiscrepancies,
    "sweep": rows.Sweep,
    "heartbeat": rows.Beat,
    "measure": rows.Measurement,
    "doctor": rows.Check,
    "ledger_page": rows.Entry,
    "ledger_totals": rows.LedgerTotal,
    "summary": rows.Section,
}
PYTHON_TYPES: Final[dict[str, set[Any]]] = {
    "bigint": {int},
    "integer": {int},
    "numeric": {float, Decimal},
    "payout.currency_code": {str},
    "double precision": {float},
    "text": {str},
    "boolean": {bool},
    "timestamp with time zone": {datetime},
    "jsonb": {dict[str, Any], list[dict[str, Any]]},
}
# The last attribute that a worker sends. SQL reads the others out of it; some are for look-ups.
LAST_SENT: Final = "body"
COLUMNS: Final = """
select c.name, format_type(c.type, null)
from pg_proc as p
join pg_type as r on r.oid = p.prorettype
cross join lateral (
    select * from unnest(p.proargnames, p.proallargtypes, p.proargmodes)
        with ordinality as o (name, type, mode, position)
    where o.mode = 't'
    union all
    select a.attname, a.atttypid, 't', a.attnum from pg_attribute as a
    where a.attrelid = r.typrelid and r.typrelid <> 0 and a.attnum > 0
) as c
where p.pronamespace = 'payout_api'::regnamespace and p.proname = %s
order by c.position
"""
ATTRIBUTES: Final = """
select a.attname, format_type(a.atttypid, null)
from pg_attribute as a
where a.attrelid = 'payout.outcome'::regclass and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""


def fields(row: type) -> list[tuple[str, Any]]:
    """Return names and types of a row, without the marks that a value may be missing or null."""
    hints = get_type_hints(row, include_extras=True)
    return [(name, bare(hint)) for name, hint in hints.items()]


def bare(hint: Any) -> Any:
    if get_origin(hint) is NotRequired:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, UnionType):
        [hint] = [part for part in get_args(hint) if part is not NoneType]
    return hint


def assert_same(row: type, columns: list[tuple[Any, ...]]) -> None:
    assert [name for name, _ in fields(row)] == [name for name, _ in columns]
    for (name, kind), (_, sql_type) in zip(fields(row), columns, strict=True):
        assert kind in PYTHON_TYPES[sql_type], f"{name} is {sql_type} in SQL"


@pytest.mark.parametrize("function", ROWS)
def test_a_row_has_the_columns_of_its_function(workbench: Connection, function: str) -> None:
    assert_same(ROWS[function], workbench.execute(COLUMNS, [function]).fetchall())


def test_an_outcome_has_the_attributes_of_the_type_that_report_outcomes_reads(
    workbench: Connection,
) -> None:
    attributes = workbench.execute(ATTRIBUTES.encode()).fetchall()
    names = [name for name, _ in attributes]
    assert_same(rows.Outcome, attributes[: names.index(LAST_SENT) + 1])


def test_every_function_that_the_worker_calls_has_a_type_for_its_rows() -> None:
    """The names of functions are the first arguments of `call`."""
    code = "\n".join(file.read_text() for file in sorted(PACKAGE.glob("*.py")))
    called = re.findall(r"\bcall\(\s*\"(\w+)\"", code)
    assert set(called) == set(ROWS)
