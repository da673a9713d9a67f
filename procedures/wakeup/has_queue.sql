-- has_queue: whether the queue is there for the engine.
--
-- In the schema procrastinate of another application the engine has no rights: it leaves those, and
-- the jobs there, alone, and claims without wake-up jobs.

create or replace function payout.has_queue()
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(has_schema_privilege(to_regnamespace('procrastinate')::oid, 'usage'), true)
        or obj_description(to_regnamespace('procrastinate')::oid, 'pg_namespace')
            is not distinct from 'The queue of the payout engine, made by payout-engine migrate.'
$$;
comment on function payout.has_queue() is
    'False where the queue is that of another application: migrate marks the one that it makes.';
