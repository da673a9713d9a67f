-- take_listed_transfers: transfers that Stripe shows, in its list or in an event, against the books.
--
-- What differs, or is unknown here, is a finding. What is ours and not paid here
-- is kept and judged.

create or replace function payout.take_listed_transfers(
    p_seen payout.listed_transfers[], p_reconcile_run_id bigint
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return payout.record_discrepancies(
            array(select f from payout.compare_listed_transfers(p_seen) as f), p_reconcile_run_id)
        + payout.record_listed_transfers(array(select k from payout.keep_listed_transfers(p_seen) as k));
end
$$;
comment on function payout.take_listed_transfers(payout.listed_transfers[], bigint) is
    'Compares and adopts; returns how many findings and alarms there are.';
