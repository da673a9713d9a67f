"""A fact, once written, is neither changed nor removed, by any role and in any way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import pytest
from psycopg import sql

from tests.acting import Session
from tests.conftest import Connection
from tests.mutants import mutant
from tests.schema import rows
from tests.schema.refusals import Refusal, refusal

# The tables that may be changed; in every other table of the schema a row is a fact.
EDITED: Final = {"settlements", "settlement_lines", "open_reversals", "workers"}
MOVING: Final = {
    "transfer_states",
    "account_waits",
    "not_ours_rules",
    "holds",
    "discrepancies",
    "stripe_reads",
    "reversed_transfers",
    "engine_settings",
    "seal_marks",
    "paces",
    "caps",
    "cap_uses",
}
RULES: Final = {"stripe_error_rules", "discrepancy_kinds", "situations"}
FACTS: Final = (
    "currencies",
    "adoptions",
    "transfer_requests",
    "catalogues",
    "ledger_accounts",
    "ledger_entries",
    "operator_actions",
    "payee_accounts",
    "payees",
    "payout_jobs",
    "payout_transfers",
    "stripe_read_pages",
    "seal_subtotals",
    "seals",
    "state_edges",
    "states",
    "listed_transfers",
    "outcomes",
    "transfer_attempts",
    "transfer_observations",
)
WAYS: Final[Mapping[str, str]] = {
    "update": "update {table} set {column} = {column}",
    "delete": "delete from {table}",
    "truncate": "truncate {table} cascade",
    "insert on conflict update": """
        insert into {table} ({columns}) overriding system value
        select {columns} from {table}
        on conflict on constraint {key} do update set {column} = excluded.{column}
        """,
    "merge update": """
        merge into {table} as t using {table} as s on {same}
        when matched then update set {column} = s.{column}
        """,
    "merge delete": """
        merge into {table} as t using {table} as s on {same}
        when matched then delete
        """,
}
# The name a trigger gives the operation, where it differs from the name of the way.
OPERATION: Final[Mapping[str, str]] = {
    "insert on conflict update": "update",
    "merge update": "update",
    "merge delete": "delete",
}


def statement(db: Connection, table: str, way: str) -> sql.Composed:
    """Write the statement that would change or remove every row of a table."""
    found = db.execute(
        """
        select
            array(
                select a.attname::text from pg_attribute as a
                where a.attrelid = c.conrelid and a.attnum > 0 and not a.attisdropped
                    and a.attgenerated = ''
                order by a.attnum),
            array(
                select a.attname::text from pg_attribute as a
                where a.attrelid = c.conrelid and a.attnum = any (c.conkey)),
            (
                select a.attname::text from pg_attribute as a
                where a.attrelid = c.conrelid and a.attnum > 0 and not a.attisdropped
                    and a.attgenerated = '' and a.attidentity = ''
                order by a.attnum desc
                limit 1),
            c.conname::text
        from pg_constraint as c
        where c.conrelid = format('payout.%%I', %s::text)::regclass and c.contype = 'p'
        """,
        [table],
    ).fetchone()
    assert found is not None
    columns, key_columns, column, key = found
    same = (sql.SQL("t.{0} = s.{0}").format(sql.Identifier(name)) for name in key_columns)
    return sql.SQL(WAYS[way]).format(
        table=sql.Identifier("payout", table),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        column=sql.Identifier(column),
        key=sql.Identifier(key),
        same=sql.SQL(" and ").join(same),
    )


def refused_by_guard(table: str, way: str) -> Refusal:
    return Refusal("SP101", f"{OPERATION.get(way, way)} on payout.{table} is refused")


def refused_by_table_privilege(table: str, way: str) -> Refusal:
    return Refusal("42501", f"permission denied for table {table}")


def refused_by_schema_privilege(table: str, way: str) -> Refusal:
    return Refusal("42501", "permission denied for schema payout")


def test_every_table_is_either_insert_only_or_named_as_one_that_changes(db: Connection) -> None:
    tables = db.execute(
        "select relname from pg_class where relnamespace = 'payout'::regnamespace "
        "and relkind in ('r', 'p')"
    )
    assert {name for (name,) in tables} == (set(FACTS) | EDITED | MOVING | RULES)


def without_guards(test: Callable[..., None]) -> Callable[..., None]:
    """Declare on a test that it misses the guard of each table of facts, off or passed by."""
    for table in (
        "payout_transfers",
        "transfer_attempts",
        "transfer_observations",
        "transfer_requests",
        "ledger_entries",
    ):
        for state in ("enable", "disable"):
            change = f"{state} trigger _500_refuse_change"
            test = mutant(
                f"{change} on {table}",
                sql=f"alter table payout.{table} {change}",
                at="a_superuser_posing_as_a_replica",
            )(test)
    return test


@mutant(
    "disable trigger _500_refuse_truncate on ledger_entries",
    sql=("alter table payout.ledger_entries disable trigger _500_refuse_truncate"),
    at="a_superuser_posing_as_a_replica",
)
@mutant(
    "enable trigger _500_refuse_truncate on ledger_entries",
    sql=("alter table payout.ledger_entries enable trigger _500_refuse_truncate"),
    at="a_superuser_posing_as_a_replica",
)
@without_guards
@pytest.mark.parametrize(
    ("role", "is_replica", "expected"),
    [
        pytest.param("payout_app", False, refused_by_table_privilege, id="the_application"),
        pytest.param("payout_worker", False, refused_by_schema_privilege, id="a_worker"),
        pytest.param("payout_operator", False, refused_by_table_privilege, id="an_operator"),
        pytest.param("payout_auditor", False, refused_by_table_privilege, id="an_auditor"),
        pytest.param("payout_owner", False, refused_by_guard, id="the_owner"),
        pytest.param(None, False, refused_by_guard, id="a_superuser"),
        pytest.param(None, True, refused_by_guard, id="a_superuser_posing_as_a_replica"),
    ],
)
def test_a_fact_is_neither_changed_nor_removed_by(
    db: Connection,
    act: Callable[[str | None], Session],
    role: str | None,
    is_replica: bool,
    expected: Callable[[str, str], Refusal],
) -> None:
    rows.add_one_of_each(db)
    attacker = act(role)
    if is_replica:
        attacker.execute("set session_replication_role = replica")

    attempts = {(table, way): statement(db, table, way) for table in FACTS for way in WAYS}

    assert {attempt: refusal(attacker, attempts[attempt]) for attempt in attempts} == {
        (table, way): expected(table, way) for table, way in attempts
    }


@mutant(
    "enable trigger _500_refuse_delete on transfer_states",
    sql=("alter table payout.transfer_states enable trigger _500_refuse_delete"),
    at="posing_as_a_replica",
)
@mutant(
    "disable trigger _500_refuse_delete on transfer_states",
    sql=("alter table payout.transfer_states disable trigger _500_refuse_delete"),
    at="as_usual",
)
@pytest.mark.parametrize("is_replica", [False, True], ids=["as_usual", "posing_as_a_replica"])
def test_a_row_that_moves_is_never_removed(db: Connection, is_replica: bool) -> None:
    rows.add_one_of_each(db)
    if is_replica:
        db.execute("set session_replication_role = replica")

    for table in MOVING:
        for way in ("delete", "merge delete"):
            assert refusal(db, statement(db, table, way)) == refused_by_guard(table, way)


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("is_replica", [False, True], ids=["as_usual", "posing_as_a_replica"])
def test_no_table_is_ever_truncated(db: Connection, is_replica: bool) -> None:
    rows.add_one_of_each(db)
    if is_replica:
        db.execute("set session_replication_role = replica")

    for table in sorted(EDITED | MOVING | RULES):
        assert refusal(db, statement(db, table, "truncate")) == refused_by_guard(table, "truncate")


@mutant(
    "a guard that a subscription passes",
    sql="""
        drop trigger _500_refuse_change on payout.payees;
        create trigger _500_refuse_change before update or delete on payout.payees
            for each statement execute function payout.tg__refuse_change();
        alter table payout.payees enable always trigger _500_refuse_change
    """,
)
def test_changes_that_a_subscription_applies_meet_the_guards_too(db: Connection) -> None:
    """Its apply process fires triggers of rows only, and of those the ones that are ALWAYS."""
    found = db.execute(
        """
        select c.relname::text, way.name
        from pg_class as c
        cross join (values ('update', 16), ('delete', 8)) as way (name, bit)
        where c.relnamespace = 'payout'::regnamespace and c.relkind = 'r'
            and exists (
                select from pg_trigger as t
                where t.tgrelid = c.oid and t.tgenabled = 'A' and t.tgtype & 1 = 1
                    and t.tgtype & way.bit > 0 and t.tgname ~ 'refuse_(change|delete)'
            )
        """
    ).fetchall()

    assert {(table, way) for table in FACTS for way in ("update", "delete")} <= set(found)
    assert {(table, "delete") for table in MOVING} <= set(found)


def test_a_cascade_from_another_table_does_not_remove_a_fact(db: Connection) -> None:
    rows.add_one_of_each(db)

    def delete_by_cascade(table: str) -> Refusal | None:
        with db.transaction(force_rollback=True):
            (column,) = db.execute(
                """
                select a.attname::text
                from pg_constraint as c
                join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
                where c.conrelid = format('payout.%%I', %s::text)::regclass and c.contype = 'p'
                """,
                [table],
            ).fetchone() or ("",)
            names = {"table": sql.Identifier("payout", table), "column": sql.Identifier(column)}
            for preparation in (
                "create table public.parent as select distinct {column} from {table}",
                "alter table public.parent add primary key ({column})",
                "alter table {table} add foreign key ({column}) references public.parent "
                "on delete cascade",
            ):
                db.execute(sql.SQL(preparation).format(**names))
            return refusal(db, "delete from public.parent")

    refusals = {table: delete_by_cascade(table) for table in FACTS}

    assert refusals == {table: refused_by_guard(table, "delete") for table in FACTS}


@pytest.mark.parametrize(
    "role", ["payout_app", "payout_worker", "payout_operator", "payout_auditor", "payout_owner"]
)
def test_only_a_superuser_can_pose_as_a_replica(
    act: Callable[[str | None], Session], role: str
) -> None:
    assert refusal(act(role), "set session_replication_role = replica") == Refusal(
        "42501", 'permission denied to set parameter "session_replication_role"'
    )
