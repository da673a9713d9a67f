-- has_queue: whether the queue is there for the engine.
--
-- Triggers and functions of the queue run as who calls them, here as payout_owner: so its owner has
-- to be one who may act as that anyway. In the schema procrastinate of another application the
-- engine touches nothing, whatever rights it is given there, and claims without wake-up jobs.

create or replace function payout.has_queue()
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select pg_has_role(n.nspowner, 'payout_owner', 'member')
            and (has_schema_privilege(n.oid, 'usage')
                or obj_description(n.oid, 'pg_namespace') is not distinct from
                    'The queue of the payout engine, made by payout-engine migrate.')
        from pg_namespace as n
        where n.nspname = 'procrastinate'), true)
$$;
comment on function payout.has_queue() is
    'False where the queue is that of another application, or its owner no member of payout_owner: '
    'migrate marks the one that it makes.';
