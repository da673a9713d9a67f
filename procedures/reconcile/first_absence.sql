-- first_absence: the earlier scan that, with this one, proves a transfer absent at Stripe.
--
-- Both scans found no transfer and began after everything that was sent is over; between them
-- lies the time by which a list may lag.

create or replace function payout.first_absence(p_lookup payout.transfer_lookups)
returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select min(o.observation_id)
    from payout.transfer_observations as o
    join payout.transfer_lookups as l on l.lookup_id = (o.facts ->> 'lookup_id')::bigint
    cross join payout.engine_settings as e
    where o.payout_transfer_id = p_lookup.payout_transfer_id
        and o.signal = 'looked_up'
        and o.verdict = 'ok'
        and o.facts ->> 'found' = '0'
        and l.begun_at >= payout.absence_counts_from(p_lookup.payout_transfer_id)
        and o.observed_at <= p_lookup.begun_at - e.scans_apart_for
$$;
comment on function payout.first_absence(payout.transfer_lookups) is
    'Id of the observation of the earlier scan; null: there is no proof yet.';
