-- report_events_page: take a page of Stripe's events about reversed transfers.
--
-- Called by: worker. After the last page of a query, the next query begins where it ended.
-- Safe to repeat: a page that was taken before changes nothing.
-- Raises: SP341 another query than was given out, a page out of order or malformed.

create or replace function payout_api.report_events_page(
    p_query jsonb, p_starting_after text, p_events jsonb, p_has_more boolean
)
returns table (events_new integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
    v_problem text;
begin
    lock table payout.adoptions in access share mode;
    if exists (
        select from payout.event_pages as p
        where p.query = p_query and p.starting_after is not distinct from p_starting_after
    ) then
        return query select 0;
        return;
    end if;
    v_problem := payout.events_page_problem(p_query, p_starting_after, p_events, p_has_more);
    if v_problem is not null then
        perform payout.refuse_list('events', v_problem);
    end if;

    insert into payout.event_pages (
        query, created_until, starting_after, last_id, has_more, events_seen)
    values (
        p_query, to_timestamp((p_query #>> '{created,lt}')::double precision), p_starting_after,
        coalesce(p_events -> -1 ->> 'id', p_starting_after), p_has_more,
        jsonb_array_length(p_events))
    on conflict do nothing;
    -- Another worker may have brought it meanwhile; its events count once all the same.
    return query select payout.take_events(p_events);
end
$$;
comment on function payout_api.report_events_page(jsonb, text, jsonb, boolean) is
    'Takes a page of events, as Stripe sent it, with the query that it answers; returns the '
    'number of transfers of which more is reversed than was known.';
revoke execute on function payout_api.report_events_page(jsonb, text, jsonb, boolean) from public;
grant execute on function payout_api.report_events_page(jsonb, text, jsonb, boolean)
    to payout_worker;
