-- queue_problem: the reason why a wake-up job can be neither queued nor removed.
--
-- Called by: the doctor. It tries both, with a job that no worker ever sees.

create or replace function payout.queue_problem()
returns text
language plpgsql
volatile
set search_path = pg_catalog, procrastinate, pg_temp
set lock_timeout = '100ms'
as $$
declare
    v_wakeup_ids bigint[];
begin
    if not payout.has_queue() then
        return null;
    end if;
    if not payout.can_notify() then
        return 'notifications are not read: a listener is stuck';
    end if;
    v_wakeup_ids := payout.defer_job(0, 1);
    perform from procrastinate.procrastinate_jobs as q
    join procrastinate.procrastinate_events as e on e.job_id = q.id
    where q.id = any (v_wakeup_ids)
    for update of q;
    if not found then
        return 'a trigger of the queue does not fire, or a rule or trigger keeps jobs from it';
    end if;
    delete from procrastinate.procrastinate_jobs as q where q.id = any (v_wakeup_ids);
    return null;
exception
    when read_only_sql_transaction then
        return null;
    when others then
        return sqlerrm;
end
$$;
comment on function payout.queue_problem() is
    'The error of the queue, or null; a read-only transaction cannot tell, and gets null, and the '
    'queue of another application is not tried.';
