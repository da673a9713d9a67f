-- take_listed_transfers: compare transfers that Stripe's list or events show with the books.
--
-- A transfer that differs, or is unknown here, is a discrepancy. A transfer of ours that is not
-- paid here is stored and judged.

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
            array(select d from payout.compare_listed_transfers(p_seen) as d), p_reconcile_run_id)
        + payout.record_listed_transfers(
            array(select k from payout.keep_listed_transfers(p_seen) as k));
end
$$;
comment on function payout.take_listed_transfers(payout.listed_transfers[], bigint) is
    'Returns the number of discrepancies and alarms.';
