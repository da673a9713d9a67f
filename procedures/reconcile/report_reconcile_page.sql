-- report_reconcile_page: take the next page of Stripe's list of transfers and compare it.
--
-- Called by: worker. The last page finishes the run.
-- Safe to repeat: a page that was taken before changes nothing.
-- Locks: the run's row; the progress rows of transfers found, in id order.
-- Raises: SP341 unknown run, another query (refuse_other_query), a page out of order (with the
-- cursor expected) or malformed.

create or replace function payout_api.report_reconcile_page(
    p_reconcile_run_id bigint,
    p_query jsonb,
    p_starting_after text,
    p_transfers jsonb,
    p_has_more boolean
)
returns table (transfers_seen bigint, discrepancies_found bigint, is_finished boolean)
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
    v_run payout.reconcile_runs;
    v_problem text;
begin
    lock table payout.adoptions in access share mode;
    select * into v_run
    from payout.reconcile_runs as r
    where r.reconcile_run_id = p_reconcile_run_id
    for update;
    if found then
        perform payout.refuse_other_query(
            format('reconcile run %s', p_reconcile_run_id), p_query,
            payout.reconcile_query(v_run));
    end if;

    if not exists (
        select from payout.reconcile_pages as p
        where p.reconcile_run_id = p_reconcile_run_id
            and (p.starting_after = p_starting_after
                or (p.page_number = 1 and p_starting_after is null))
    ) then
        v_problem := payout.reconcile_page_problem(
            v_run, p_starting_after, p_transfers, p_has_more);
        if v_problem is not null then
            perform payout.refuse_list(
                format('reconcile run %s', coalesce(p_reconcile_run_id::text, 'null')), v_problem);
        end if;
        v_run := payout.add_reconcile_page(v_run, p_starting_after, p_transfers, p_has_more);
    end if;
    return query
    select v_run.transfers_seen, v_run.discrepancies_found, v_run.finished_at is not null;
end
$$;
comment on function payout_api.report_reconcile_page(bigint, jsonb, text, jsonb, boolean) is
    'Takes a page of a run, as Stripe sent it, with the query that it answers; returns the run''s '
    'counts so far, and whether it is finished.';
revoke execute on function payout_api.report_reconcile_page(bigint, jsonb, text, jsonb, boolean)
    from public;
grant execute on function payout_api.report_reconcile_page(bigint, jsonb, text, jsonb, boolean)
    to payout_worker;
