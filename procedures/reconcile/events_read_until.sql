-- events_read_until: up to when Stripe's events have been read to the end.
--
-- Stripe keeps events for 30 days. What is older shows in the list of transfers.

create or replace function payout.events_read_until()
returns timestamptz
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        (select max(p.created_until) from payout.event_pages as p where not p.has_more),
        payout.clock() - interval '30 days');
end
$$;
comment on function payout.events_read_until() is
    'The end of the last window of events of which every page was taken.';
