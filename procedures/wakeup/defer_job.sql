-- defer_job: write wake-up jobs of a payout job, which any worker may fetch, to the queue.
--
-- procrastinate's functions name their tables bare, hence its schema in the path of the
-- functions that write to the queue. Neither lock nor queueing lock: a duplicate would abort the
-- settlement. Each job is a notification: none while those are not read.
-- Called by: functions that survive every error of the queue.

create or replace function payout.defer_job(p_payout_job_id bigint, p_times integer)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, procrastinate, pg_temp
as $$
begin
    if p_times < 1 or not payout.can_notify() then
        return '{}'::bigint[];
    end if;
    return procrastinate.procrastinate_defer_jobs_v1(array_fill(
        row(
            'payouts', 'payout.execute', 0, null, null,
            jsonb_build_object('payout_job_id', p_payout_job_id), null
        )::procrastinate.procrastinate_job_to_defer_v1,
        array[p_times]));
end
$$;
comment on function payout.defer_job(bigint, integer) is
    'Defers p_times queue jobs payout.execute in queue payouts; returns their ids, none while '
    'notifications are not read.';
