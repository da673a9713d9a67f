-- next_events_query: the query for the events of Stripe that are to be read next.
--
-- Called by: worker. It changes nothing: the watermark moves with the last page.
-- Windows overlap by a day, for events that Stripe lists late and clocks that differ.
-- Raises: SP404 (bind_stripe_account).

create or replace function payout_api.next_events_query(
    p_stripe_account_id text, p_is_livemode boolean
)
returns table (query jsonb)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform payout.bind_stripe_account(p_stripe_account_id, p_is_livemode);
    return query
    select jsonb_build_object(
        'types', jsonb_build_array('transfer.reversed'),
        'created', jsonb_build_object(
            'gte', floor(extract(epoch from payout.events_read_until() - interval '1 day')),
            'lt', ceil(extract(epoch from payout.clock() + interval '5 minutes'))));
end
$$;
comment on function payout_api.next_events_query(text, boolean) is
    'Parameters of GET /v1/events for the reversals since events were last read to the end.';
revoke execute on function payout_api.next_events_query(text, boolean) from public;
grant execute on function payout_api.next_events_query(text, boolean) to payout_worker;
