-- has_queue: test whether wake-up jobs can be queued.
--
-- The engine needs no queue: without it, or without rights on it, money is settled and paid all
-- the same, as soon as a sweep or a worker looks.

create or replace function payout.has_queue()
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if to_regnamespace('procrastinate') is null
        or not has_schema_privilege(to_regnamespace('procrastinate')::oid, 'usage')
        or to_regclass('procrastinate.procrastinate_jobs') is null
        or to_regclass('procrastinate.procrastinate_events') is null
        or to_regclass('procrastinate.procrastinate_periodic_defers') is null
        or to_regtype('procrastinate.procrastinate_job_to_defer_v1') is null
        or to_regprocedure('procrastinate.procrastinate_defer_jobs_v1('
            'procrastinate.procrastinate_job_to_defer_v1[])') is null then
        return false;
    end if;
    return has_function_privilege('procrastinate.procrastinate_defer_jobs_v1('
            'procrastinate.procrastinate_job_to_defer_v1[])', 'execute')
        and has_table_privilege('procrastinate.procrastinate_jobs', 'select')
        and has_table_privilege('procrastinate.procrastinate_jobs', 'insert')
        and has_table_privilege('procrastinate.procrastinate_jobs', 'update')
        and has_table_privilege('procrastinate.procrastinate_jobs', 'delete')
        and has_table_privilege('procrastinate.procrastinate_events', 'select')
        and has_table_privilege('procrastinate.procrastinate_events', 'insert')
        and has_table_privilege('procrastinate.procrastinate_periodic_defers', 'select')
        and has_table_privilege('procrastinate.procrastinate_periodic_defers', 'update')
        and has_sequence_privilege('procrastinate.procrastinate_jobs_id_seq', 'usage')
        and has_sequence_privilege('procrastinate.procrastinate_events_id_seq', 'usage');
end
$$;
comment on function payout.has_queue() is
    'True when procrastinate''s schema is there and the engine may write to it.';
