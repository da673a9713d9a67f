-- notify_application: notify the application that there are outcomes to read.
--
-- One after each read is enough, and commits with one wait for one another: nothing is told until
-- the application has read again. A hint: it is lost with a transaction that is undone, and beside
-- a read that is going on.

create or replace function payout.notify_application()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if pg_sequence_last_value('payout.awaited_outcomes'::regclass) is not null
        and payout.can_notify() then
        perform
            setval('payout.awaited_outcomes', 1, false),
            pg_notify('payout_outcomes', '');
    end if;
end
$$;
comment on function payout.notify_application() is
    'Notifies channel payout_outcomes; payout.awaited_outcomes says so until the next read.';
