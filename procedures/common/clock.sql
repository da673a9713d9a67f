-- clock: the only source of the time.
--
-- The clock of the database decides every lease, wait and key age; the worker reads only its own
-- monotonic clock. No setting moves it: tests age the rows.

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
comment on function payout.clock() is
    'Now, by the database''s clock, which goes on within a transaction.';
