"""The time of a machine's database, in place of the server's clock.

Each function and default of the engine that asks for the time is changed to ask schema `machine`,
where a sequence counts microseconds. So no row is aged, a clock can be set to any time, and a run
repeats itself to the microsecond. Only wake-up jobs keep the server's clock, as their queue does.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from psycopg import sql

from tests.conftest import Connection

BEGINNING: Final = datetime(2040, 1, 1, tzinfo=UTC)

CLOCKS: Final = """
create schema machine;
grant usage on schema machine to public;
create sequence machine.microseconds minvalue -9000000000000000;

-- Goes on by a microsecond each time that it is read.
create function machine.clock() returns timestamptz language sql volatile
security definer set search_path = pg_catalog, pg_temp as $$
    select timestamptz '{beginning}' + nextval('machine.microseconds') * interval '1 microsecond'
$$;

-- Stands still within a transaction, however long it lasts.
create function machine.now() returns timestamptz language plpgsql volatile
set search_path = pg_catalog, pg_temp as $$
begin
    if coalesce(current_setting('machine.now', true), '') = '' then
        perform set_config('machine.now', machine.clock()::text, true);
    end if;
    return current_setting('machine.now')::timestamptz;
end
$$;
"""
# pending_wakeup compares with the time of the queue's own events.
FUNCTIONS: Final = r"""
select regexp_replace(regexp_replace(pg_get_functiondef(p.oid),
    'clock_timestamp\(\)', 'machine.clock()', 'g'),
    '\mcurrent_timestamp\M|\mnow\(\)', 'machine.now()', 'g')
from pg_proc as p
where p.pronamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
    and p.prosrc ~ '(clock_timestamp\(\)|\mcurrent_timestamp\M|\mnow\(\))'
    and p.proname <> 'pending_wakeup'
"""
DEFAULTS: Final = r"""
select format('alter table %s alter column %I set default machine.now()',
    d.adrelid::regclass, a.attname)
from pg_attrdef as d
join pg_class as c on c.oid = d.adrelid and c.relnamespace = 'payout'::regnamespace
join pg_attribute as a on a.attrelid = d.adrelid and a.attnum = d.adnum
where pg_get_expr(d.adbin, d.adrelid) ~ '(CURRENT_TIMESTAMP|now\(\))'
"""


def install_clock(connection: Connection) -> None:
    """Let a database live by a clock of its own from now on."""
    connection.execute(CLOCKS.format(beginning=BEGINNING).encode())
    for find in (FUNCTIONS, DEFAULTS):
        statements = [statement for (statement,) in connection.execute(find.encode())]
        assert statements
        for statement in statements:
            connection.execute(statement.encode())


def set_clock(connection: Connection, seconds: float) -> None:
    """Set the clock to so many seconds after the beginning."""
    connection.execute(
        sql.SQL("select setval('machine.microseconds', {})").format(round(seconds * 1_000_000))
    )


def time_at(seconds: float) -> datetime:
    """Return the time so many seconds after the beginning."""
    return BEGINNING + timedelta(seconds=seconds)
