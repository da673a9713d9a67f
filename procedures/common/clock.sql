-- clock: the one place that asks what time it is.
--
-- The clock of the database decides every lease, wait and key age; the worker
-- has only its own monotonic one. No setting moves it: tests age the rows.

create or replace function payout.clock()
returns timestamptz
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return clock_timestamp();
end
$$;
comment on function payout.clock() is 'Now, by the database''s clock, not frozen per transaction.';
