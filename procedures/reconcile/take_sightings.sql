-- take_sightings: transfers that Stripe shows, in its list or in an event, against the books.
--
-- What differs, or is unknown here, is a finding. What is ours and not paid here
-- is kept and judged.

create or replace function payout.take_sightings(
    p_seen payout.stripe_sightings[], p_reconcile_run_id bigint
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
begin
    return payout.record_findings(
            array(select f from payout.compare_sightings(p_seen) as f), p_reconcile_run_id)
        + payout.adopt_sightings(array(select k from payout.keep_sightings(p_seen) as k));
end
$$;
comment on function payout.take_sightings(payout.stripe_sightings[], bigint) is
    'Compares and adopts; returns how many findings and alarms there are.';
