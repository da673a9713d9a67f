-- add_reconcile_page: store a page of a run, compare it with the books, finish after the last one.
--
-- Called by: report_reconcile_page, which holds the lock of the run.

create or replace function payout.add_reconcile_page(
    p_run payout.reconcile_runs,
    p_starting_after text,
    p_transfers jsonb,
    p_has_more boolean
)
returns payout.reconcile_runs
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_run payout.reconcile_runs;
    v_seen payout.listed_transfers[] := array(
        select l from payout.read_listed_transfers(p_run.reconcile_run_id, p_transfers) as l);
    v_last_id text := coalesce(p_transfers -> -1 ->> 'id', p_starting_after);
    v_found integer;
begin
    insert into payout.reconcile_pages (
        reconcile_run_id, page_number, starting_after, last_id, has_more, stripe_transfer_ids)
    select p_run.reconcile_run_id, coalesce(max(p.page_number), 0) + 1, p_starting_after,
        v_last_id, p_has_more, array(select l.stripe_transfer_id from unnest(v_seen) as l)
    from payout.reconcile_pages as p
    where p.reconcile_run_id = p_run.reconcile_run_id;

    v_found := payout.take_listed_transfers(v_seen, p_run.reconcile_run_id);
    perform payout.note_reversals(v_seen);
    if not p_has_more then
        v_found := v_found + payout.record_discrepancies(
            array(select d from payout.find_missing(p_run) as d), p_run.reconcile_run_id);
        perform payout.resolve_compared(p_run.reconcile_run_id);
        v_found := v_found + payout.record_listed_transfers(
            array(select u from payout.unjudged_listed_transfers() as u));
    end if;

    update payout.reconcile_runs as r
    set next_cursor = v_last_id,
        transfers_seen = r.transfers_seen + cardinality(v_seen),
        discrepancies_found = r.discrepancies_found + v_found,
        finished_at = case when not p_has_more then payout.clock() end
    where r.reconcile_run_id = p_run.reconcile_run_id
    returning * into strict v_run;
    return v_run;
end
$$;
comment on function payout.add_reconcile_page(payout.reconcile_runs, text, jsonb, boolean) is
    'Returns the run with its new cursor and counts.';
