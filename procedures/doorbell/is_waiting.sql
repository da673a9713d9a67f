-- is_waiting: whether a bell is in the queue for everybody to see and nobody has fetched it.
--
-- A bell of a transaction that was rolled back, or is still running, is not. A queue
-- that was dropped, or that the engine may not read, holds none.

create or replace function payout.is_waiting(p_doorbell_id bigint)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
begin
    if to_regnamespace('procrastinate') is null
        or not has_schema_privilege(to_regnamespace('procrastinate')::oid, 'usage')
        or to_regclass('procrastinate.procrastinate_jobs') is null
        or not has_table_privilege('procrastinate.procrastinate_jobs', 'select') then
        return false;
    end if;
    return exists (
        select from procrastinate.procrastinate_jobs as q
        where q.id = p_doorbell_id
            and q.status = 'todo'
            and q.task_name = 'payout.execute'
    );
end
$$;
comment on function payout.is_waiting(bigint) is
    'True when the queue job of this id is a bell of ours that no worker has fetched yet.';
