-- first_absence: the earlier scan that, with this one, proves a transfer absent at Stripe.
--
-- Both scans found no transfer and began after everything that was sent is over; between them
-- lies the time by which a list may lag. Only a look-up is evidence, never a worker's report. The
-- clock was Stripe's when a look began, but may have been set back before it ended.

create or replace function payout.first_absence(p_read payout.stripe_reads)
returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select min(o.observation_id)
    from payout.transfer_observations as o
    join payout.stripe_reads as r on r.read_id = (o.facts ->> 'read_id')::bigint
    cross join payout.engine_settings as e
    where o.payout_transfer_id = p_read.payout_transfer_id
        and o.signal = 'looked_up'
        and o.verdict = 'ok'
        and o.facts ->> 'found' = '0'
        and r.payout_transfer_id = p_read.payout_transfer_id
        -- In a query of its own it is computed once, not for each pair of rows.
        and r.begun_at >= (select payout.absence_counts_from(p_read.payout_transfer_id))
        and greatest(o.observed_at, r.begun_at) <= p_read.begun_at - e.scans_apart_for
$$;
comment on function payout.first_absence(payout.stripe_reads) is
    'Id of the observation of the earlier scan; null: there is no proof yet.';
