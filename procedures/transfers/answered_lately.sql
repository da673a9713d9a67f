-- answered_lately: count the sends that Stripe answered, and did not refuse for their rate.

create or replace function payout.answered_lately()
returns integer
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select count(*)::integer
    from payout.transfer_observations as o
    where o.observation_id > (
            select max(n.observation_id) - 2000 from payout.transfer_observations as n)
        and o.signal = 'response'
        and o.http_status <> 429
        and o.observed_at > payout.clock() - interval '1 second'
$$;
comment on function payout.answered_lately() is
    'Answers of the last second, of the newest two thousand observations.';
