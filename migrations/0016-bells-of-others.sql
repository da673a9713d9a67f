-- 0016-bells-of-others: a bell that only its own transaction sees was taken for one that waits for all
-- depends: 0015-doctor-without-jit

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

-- frozen: procedures/doorbell/see_doorbell.sql b3aa43a50b04
-- see_doorbell: the bell that was rung last, if everybody can see it waiting in the queue.
--
-- Neither one that was rolled back or is not committed yet, nor one that somebody has
-- fetched. Once seen it counts as waiting until a claim hears it: no further look.
-- One of this very transaction serves it, but is not there for others yet: its event
-- has the time at which this transaction began.

create or replace function payout.see_doorbell()
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_doorbell_id bigint := pg_sequence_last_value('payout.waiting_doorbell'::regclass);
begin
    -- The queue may have been dropped since, or taken away from the engine.
    if v_doorbell_id is null or (
        has_schema_privilege(to_regnamespace('procrastinate')::oid, 'usage')
        and has_table_privilege(to_regclass('procrastinate.procrastinate_jobs')::oid, 'select')
        and has_table_privilege(to_regclass('procrastinate.procrastinate_events')::oid, 'select')
    ) is not true then
        return null;
    end if;
    perform from procrastinate.procrastinate_jobs as q
    where q.id = v_doorbell_id
        and q.status = 'todo'
        and q.task_name = 'payout.execute';
    if not found then
        return null;
    end if;
    if not exists (
        select from procrastinate.procrastinate_events as e
        where e.job_id = v_doorbell_id and e.at = now()
    ) then
        perform setval('payout.seen_doorbell', v_doorbell_id);
    end if;
    return v_doorbell_id;
end
$$;
comment on function payout.see_doorbell() is
    'The id of the bell that waits in the queue, kept in payout.seen_doorbell if others see it '
    'too; or null.';
-- end frozen: procedures/doorbell/see_doorbell.sql

reset role;
