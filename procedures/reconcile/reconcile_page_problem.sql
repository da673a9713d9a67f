-- reconcile_page_problem: the reason to refuse a page that a run has not stored.

create or replace function payout.reconcile_page_problem(
    p_run payout.reconcile_runs,
    p_starting_after text,
    p_transfers jsonb,
    p_has_more boolean
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_run.reconcile_run_id is null then
        return 'there is no such run';
    elsif not exists (
        select from payout.runs_of_this_database() as r
        where r.reconcile_run_id = p_run.reconcile_run_id
    ) then
        return 'the run no longer counts for this database: begin another one';
    elsif p_run.finished_at is not null then
        return 'the run has all of its pages';
    end if;
    return coalesce(
        payout.page_problem(
            p_run.next_cursor, true, p_starting_after, p_transfers, p_has_more),
        payout.list_problem(p_transfers, '^tr_[A-Za-z0-9_]+$'));
end
$$;
comment on function payout.reconcile_page_problem(payout.reconcile_runs, text, jsonb, boolean) is
    'Names the problem, with the cursor expected; null: it is the next page of the run.';
