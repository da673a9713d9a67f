-- pending_wakeup: the wake-up job that was queued last, if it still waits in the queue.
--
-- A job that was rolled back, is not committed yet or was fetched by a worker does not count.
-- Once seen, a job counts as waiting until a claim forgets it: no further look. A job of this
-- very transaction serves it, but other sessions do not see it yet: its event has the time at
-- which this transaction began.
-- Called by: find_wakeup, which survives every error of the queue.

create or replace function payout.pending_wakeup()
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_wakeup_id bigint := pg_sequence_last_value('payout.waiting_wakeup'::regclass);
begin
    if v_wakeup_id is null then
        return null;
    end if;
    perform from procrastinate.procrastinate_jobs as q
    where q.id = v_wakeup_id
        and q.status = 'todo'
        and q.task_name = 'payout.execute';
    if not found then
        return null;
    end if;
    if not exists (
        select from procrastinate.procrastinate_events as e
        where e.job_id = v_wakeup_id and e.at = now()
    ) then
        perform setval('payout.seen_wakeup', v_wakeup_id);
    end if;
    return v_wakeup_id;
end
$$;
comment on function payout.pending_wakeup() is
    'The id of the wake-up job that waits in the queue, kept in payout.seen_wakeup if others see '
    'it too; or null.';
