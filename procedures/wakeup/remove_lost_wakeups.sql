-- remove_lost_wakeups: remove wake-up jobs that a worker fetched and never finished.
--
-- procrastinate leaves such a job `doing` for ever when its worker died or its finish was lost.
-- A worker answers a job within seconds, so after two minutes it is lost, and the sweep has
-- queued another. Failed ones stay a day.
-- Called by: queue_due_wakeups, which survives every error of the queue.

create or replace function payout.remove_lost_wakeups()
returns integer
language plpgsql
volatile
set search_path = pg_catalog, procrastinate, pg_temp
as $$
declare
    v_removed integer;
begin
    delete from procrastinate.procrastinate_jobs as q
    where q.id in (
        select b.id
        from procrastinate.procrastinate_jobs as b
        where b.task_name in ('payout.execute', 'payout.sweep')
            and b.status <> 'todo'
            and (
                select max(e.at) from procrastinate.procrastinate_events as e where e.job_id = b.id
            ) < payout.clock() - case b.status
                when 'doing' then interval '2 minutes'
                else interval '1 day'
            end
        for update skip locked
    );
    get diagnostics v_removed = row_count;
    return v_removed;
end
$$;
comment on function payout.remove_lost_wakeups() is
    'Deletes queue jobs of ours that have been `doing` for two minutes or ended a day ago.';
