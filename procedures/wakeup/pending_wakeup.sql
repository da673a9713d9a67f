-- pending_wakeup: the bell that was rung last, if everybody can see it waiting in the queue.
--
-- Neither one that was rolled back or is not committed yet, nor one that somebody has
-- fetched. Once seen it counts as waiting until a claim hears it: no further look.
-- One of this very transaction serves it, but is not there for others yet: its event
-- has the time at which this transaction began.

create or replace function payout.pending_wakeup()
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_wakeup_id bigint := pg_sequence_last_value('payout.waiting_wakeup'::regclass);
begin
    -- The queue may have been dropped since, or taken away from the engine.
    if v_wakeup_id is null or (
        has_schema_privilege(to_regnamespace('procrastinate')::oid, 'usage')
        and has_table_privilege(to_regclass('procrastinate.procrastinate_jobs')::oid, 'select')
        and has_table_privilege(to_regclass('procrastinate.procrastinate_events')::oid, 'select')
    ) is not true then
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
    'The id of the bell that waits in the queue, kept in payout.seen_wakeup if others see it '
    'too; or null.';
