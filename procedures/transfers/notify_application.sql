-- notify_application: notify the application that there are outcomes to read.
--
-- Only once after each read, since commits with a notification wait for one another. A hint: it is
-- lost with a transaction that is undone, and beside a read that goes on at the same time.

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
    'Notifies channel payout_outcomes, if the application has read since it was last notified.';
