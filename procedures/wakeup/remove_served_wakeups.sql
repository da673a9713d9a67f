-- remove_served_wakeups: remove the wake-up jobs of transfers that were just claimed.
--
-- Called by: claim_transfers, in its transaction. The claiming worker goes on until nothing is
-- due, so that no wake-up is lost; if it dies, the sweep queues another job. A queue that fails
-- keeps its jobs.

create or replace function payout.remove_served_wakeups(p_wakeup_ids bigint[])
returns integer
language plpgsql
volatile
set search_path = pg_catalog, procrastinate, pg_temp
set lock_timeout = '100ms'
as $$
declare
    v_removed integer;
begin
    if p_wakeup_ids is null or pg_sequence_last_value('payout.seen_wakeup'::regclass) = 0
        or not payout.has_queue() then
        return 0;
    end if;
    delete from procrastinate.procrastinate_jobs as q
    where q.id in (
        select b.id
        from procrastinate.procrastinate_jobs as b
        where b.id = any (p_wakeup_ids)
            and b.status = 'todo'
            and b.task_name = 'payout.execute'
        for update skip locked
    );
    get diagnostics v_removed = row_count;
    return v_removed;
exception when others then
    perform payout.note_failed_queue(sqlerrm);
    return 0;
end
$$;
comment on function payout.remove_served_wakeups(bigint[]) is
    'Deletes the queue jobs of these ids that no worker has fetched yet; returns their number, 0 '
    'if the queue fails.';
