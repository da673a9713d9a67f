"""Everything that is not plain from its name has a comment in the database."""

from __future__ import annotations

from typing import Final

from tests.conftest import Connection

OURS: Final = "('payout'::regnamespace, 'payout_api'::regnamespace)"
# Columns that their name or the comment of their table explains in full.
PLAIN: Final = {
    "acted_at",
    "changed_at",
    "claimed_at",
    "created_at",
    "finished_at",
    "frozen_at",
    "found_at",
    "observed_at",
    "placed_at",
    "received_at",
    "recorded_at",
    "released_at",
    "resolved_at",
    "started_at",
}
SPEAKING_ENDS: Final = ("_minor", "_at", "_until", "_for", "_on", "_sha256", "_ref")


def test_every_schema_table_view_function_and_type_has_a_comment(db: Connection) -> None:
    found = db.execute(
        f"""
        select 'schema ' || oid::regnamespace, obj_description(oid, 'pg_namespace')
        from pg_namespace where oid in {OURS}
        union all
        select 'relation ' || oid::regclass, obj_description(oid, 'pg_class')
        from pg_class where relnamespace in {OURS} and relkind in ('r', 'p', 'v', 'm', 'c')
            and not (relkind = 'c' and obj_description(oid, 'pg_class') is null)
        union all
        select 'function ' || oid::regprocedure, obj_description(oid, 'pg_proc')
        from pg_proc where pronamespace in {OURS}
        union all
        select 'type ' || t.oid::regtype, obj_description(t.oid, 'pg_type')
        from pg_type as t left join pg_class as c on c.oid = t.typrelid
        where t.typnamespace in {OURS} and (t.typtype = 'd' or c.relkind = 'c')
        """
    ).fetchall()
    assert len(found) > 30
    assert [name for name, comment in found if not comment] == []


def test_a_comment_is_sentences(db: Connection) -> None:
    found = db.execute(
        f"""
        select d.description
        from pg_description as d
        where d.classoid = 'pg_class'::regclass
                and d.objoid in (select oid from pg_class where relnamespace in {OURS})
            or d.classoid = 'pg_proc'::regclass
                and d.objoid in (select oid from pg_proc where pronamespace in {OURS})
        """
    )
    for (comment,) in found:
        assert comment == " ".join(comment.split())
        assert comment.endswith("."), comment


def test_every_amount_span_and_time_that_is_not_plain_has_a_comment(db: Connection) -> None:
    found = db.execute(
        """
        select c.relname || '.' || a.attname, a.attname::text
        from pg_class as c
        join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relnamespace = 'payout'::regnamespace and c.relkind in ('r', 'p')
            and col_description(c.oid, a.attnum) is null
        """
    )
    assert [
        column for column, name in found if name.endswith(SPEAKING_ENDS) and name not in PLAIN
    ] == []


def test_a_column_is_named_for_its_type(db: Connection) -> None:
    found = db.execute(
        """
        select c.relname || '.' || a.attname, a.attname::text,
            format_type(coalesce(nullif(t.typbasetype, 0), t.oid), a.atttypmod)
        from pg_class as c
        join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        join pg_type as t on t.oid = a.atttypid
        where c.relnamespace = 'payout'::regnamespace and c.relkind in ('r', 'p')
        """
    ).fetchall()
    for column, name, kind in found:
        if name.endswith("_minor"):
            # A sum of amounts may be more than a bigint holds.
            is_sum = column.startswith(("seal_subtotals.", "cap_uses."))
            assert kind == ("numeric" if is_sum else "bigint"), column
        if name.endswith(("_at", "_until")):
            assert kind == "timestamp with time zone", column
        if name.endswith("_for"):
            assert kind == "interval", column
        if kind == "boolean":
            assert name.startswith(("is_", "has_")), column
        assert kind not in ("timestamp without time zone", "real", "double precision"), column
