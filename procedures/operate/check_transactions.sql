-- check_transactions: whether a transaction that was left open holds others up.
--
-- It keeps vacuum from removing dead rows, in every table of the server; one that wrote
-- outcomes keeps the application from reading those that came after it (outcomes_since).

create or replace function payout.check_transactions()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select 'no transaction was left open', count(*) = 0,
        coalesce(string_agg(o.told, ', '), 'none is older than 15 minutes') || case
            when pg_has_role('pg_read_all_stats', 'usage') then '' else
                '; sessions of other logins are hidden: grant pg_read_all_stats to payout_owner'
        end,
        'end it: pg_terminate_backend(process), rollback prepared, pg_drop_replication_slot'
    from (
        select format('process %s of %s since %s', a.pid, a.usename, a.xact_start) as told
        from pg_stat_activity as a
        where a.xact_start < clock_timestamp() - interval '15 minutes'
            and (a.backend_xid is not null or a.backend_xmin is not null)
            and a.backend_type = 'client backend'
        union all
        select format('prepared %s since %s', p.gid, p.prepared)
        from pg_prepared_xacts as p
        where p.prepared < clock_timestamp() - interval '15 minutes'
        union all
        select format('replication slot %s', r.slot_name)
        from pg_replication_slots as r
        where greatest(age(r.xmin), age(r.catalog_xmin)) > 1000000
        union all
        select format('one that is %s transactions old', n.distance)
        from (
            select pg_snapshot_xmax(s)::text::numeric - pg_snapshot_xmin(s)::text::numeric
            from pg_current_snapshot() as s
        ) as n (distance)
        where n.distance > 1000000
    ) as o
    union all
    select 'outcomes can be read', count(*) = 0,
        coalesce(
            string_agg(distinct format('%s holds up what came after number %s', w.holder, w.last),
                ', '),
            'no writer is older than five minutes'),
        'the application reads nothing beyond it: end that transaction'
    from (
        select coalesce('process ' || min(l.pid), 'a prepared transaction') as holder,
            min(l.classid::bigint << 32 | l.objid::bigint)
                filter (where l.locktype = 'advisory' and l.objsubid = 1)
                + 9000000000000000000 as last
        from pg_locks as l
        where l.database = (
                select d.oid from pg_database as d where d.datname = current_database())
            and l.pid is distinct from pg_backend_pid()
        group by l.virtualtransaction
        having bool_or(l.relation = 'payout.outcomes'::regclass and l.mode = 'RowExclusiveLock')
    ) as w
    where exists (
        select from payout.outcomes as o
        where o.outcome_id > w.last and o.changed_at < clock_timestamp() - interval '5 minutes'
    )
$$;
comment on function payout.check_transactions() is 'Part of payout_api.doctor().';
