-- events_read_until: the time up to which Stripe's events have been read to the end.
--
-- Stripe keeps events for 30 days; older reversals show in the list of transfers. A window that
-- ends ahead of the clock was read before the clock was set back: its true end is unknown, so all
-- events that Stripe keeps are read again.

create or replace function payout.events_read_until()
returns timestamptz
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        (
            select case when p.created_until < payout.clock() + interval '10 minutes' then
                p.created_until end
            from payout.event_pages as p
            where not p.has_more
            order by p.event_page_id desc
            limit 1
        ),
        payout.clock() - interval '30 days');
end
$$;
comment on function payout.events_read_until() is
    'End of the last window of events of which every page was taken, or 30 days ago.';
