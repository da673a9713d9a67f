-- Revert 0016-bells-of-others.

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

-- frozen: procedures/doorbell/see_doorbell.sql 1385d132a454
-- see_doorbell: the bell that was rung last, if everybody can see it waiting in the queue.
--
-- Neither one that was rolled back or is not committed yet, nor one that somebody has
-- fetched. Once seen it counts as waiting until a claim hears it: no further look.

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
    return setval('payout.seen_doorbell', v_doorbell_id);
end
$$;
comment on function payout.see_doorbell() is
    'The id of the bell that waits in the queue, kept in payout.seen_doorbell as well; or null.';
-- end frozen: procedures/doorbell/see_doorbell.sql

reset role;
