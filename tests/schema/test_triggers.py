"""The guards fire for every role; triggers that schedule do not act on a copy of the data."""

from __future__ import annotations

from typing import Final

from tests.conftest import Connection
from tests.schema.test_facts import EDITED, FACTS, MOVING, RULES

# Not ENABLE ALWAYS: a replica or a restore writes rows in any order, and starts nothing.
ORIGIN: Final = {
    ("settlements", "_900_schedule_payout_job"),
    ("settlement_lines", "_900_refuse_frozen_insert"),
    ("engine_settings", "_900_record_change"),
    ("caps", "_900_record_change"),
}


def triggers(db: Connection) -> dict[tuple[str, str], str]:
    """Return how each trigger of the schema is enabled: A always, O origin."""
    found = db.execute(
        """
        select c.relname::text, t.tgname::text, t.tgenabled::text
        from pg_trigger as t
        join pg_class as c on c.oid = t.tgrelid
        where c.relnamespace = 'payout'::regnamespace and not t.tgisinternal
        """
    )
    return {(table, name): enabled for table, name, enabled in found}


def test_every_guard_is_enabled_always(db: Connection) -> None:
    enabled = triggers(db)

    for trigger in enabled.keys() - ORIGIN:
        assert (trigger, enabled[trigger]) == (trigger, "A")
    for trigger in enabled.keys() & ORIGIN:
        assert (trigger, enabled[trigger]) == (trigger, "O")


def test_every_table_has_the_guards_of_its_kind(db: Connection) -> None:
    enabled = triggers(db)

    assert {table for table, name in enabled if name == "_500_refuse_change"} == set(FACTS)
    assert {table for table, name in enabled if name == "_500_refuse_delete"} == MOVING
    assert {table for table, name in enabled if name == "_500_refuse_truncate"} == (
        set(FACTS) | MOVING | EDITED | RULES
    )


def test_a_trigger_is_not_limited_to_some_columns(db: Connection) -> None:
    # `update of state` would miss a state that another trigger sets.
    found = db.execute(
        """
        select t.tgname from pg_trigger as t
        join pg_class as c on c.oid = t.tgrelid
        where c.relnamespace = 'payout'::regnamespace and not t.tgisinternal
            and t.tgattr <> ''
        """
    )
    assert found.fetchall() == []


def test_the_name_of_a_trigger_says_when_it_fires(db: Connection) -> None:
    found = db.execute(
        """
        select t.tgname::text, (t.tgtype & 2) <> 0
        from pg_trigger as t
        join pg_class as c on c.oid = t.tgrelid
        where c.relnamespace = 'payout'::regnamespace and not t.tgisinternal
        """
    )
    for name, is_before in found:
        assert name[:2] in ("_1", "_5") if is_before else name[:2] == "_9", name


def test_disabling_and_enabling_all_triggers_leaves_guards_that_a_replica_passes(
    db: Connection,
) -> None:
    # pg_restore --disable-triggers does the same; therefore the doctor looks after a restore.
    db.execute("alter table payout.payees disable trigger all")
    db.execute("alter table payout.payees enable trigger all")

    assert triggers(db)["payees", "_500_refuse_change"] == "O"
