-- check_upkeep: whether the server and its disk will go on serving the engine.
--
-- Sessions of other logins are visible to a member of pg_read_all_stats only; the distance between
-- the oldest and the newest running transaction, prepared transactions and replication slots are
-- always. How much room a disk has is not known to SQL.

create or replace function payout.check_upkeep()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    -- A login that may only read has the setting for itself.
    select 'transactions may write',
        s.setting = 'off' or s.source in ('user', 'database user', 'client', 'session'),
        format('default_transaction_read_only %s (%s)', s.setting, s.source),
        'a managed server does so while its disk is full: give it room'
    from pg_settings as s
    where s.name = 'default_transaction_read_only'
    union all
    select 'notifications are read', pg_notification_queue_usage() < 0.5,
        format('%s %% of the queue wait', round(100 * pg_notification_queue_usage()::numeric, 1)),
        'a session that listens is stuck in a transaction; at 90 % the engine sends none'
    union all
    select 'no replication slot keeps the log', count(*) = 0,
        coalesce(string_agg(format('%s keeps %s', r.slot_name, pg_size_pretty(r.kept)), ', '),
            'none keeps more than 1 GB'),
        'drop the slot, or mend its reader: the log fills the disk'
    from (
        select s.slot_name, case when not pg_is_in_recovery() then
            pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn) end as kept
        from pg_replication_slots as s
    ) as r
    where r.kept > 1073741824
    union all
    select 'the log is archived',
        a.last_failed_time is null or coalesce(a.last_archived_time > a.last_failed_time, false)
            or current_setting('archive_mode') = 'off',
        format('archive_mode %s, failed %s times, lately at %s', current_setting('archive_mode'),
            a.failed_count, coalesce(a.last_failed_time::text, 'no time')),
        'see archive_command and the server''s log: what is not archived fills the disk'
    from pg_stat_archiver as a
    union all
    select 'transaction numbers suffice', max(d.age) < 1000000000,
        format('the oldest of %s is %s transactions old', string_agg(d.datname, ', '), max(d.age)),
        'vacuum (freeze) what pg_class.relfrozenxid shows as the oldest; at 2 billion the server '
        'stops'
    from (
        select b.datname, greatest(age(b.datfrozenxid), mxid_age(b.datminmxid)) as age
        from pg_database as b
        order by 2 desc
        limit 1
    ) as d
    union all
    select 'hot tables are vacuumed', count(*) = 0,
        coalesce(string_agg(format('%s: %s dead rows beside %s, %s',
                t.relid::regclass, t.n_dead_tup, t.n_live_tup,
                pg_size_pretty(pg_total_relation_size(t.relid))), ', '),
            'none has many dead rows'),
        'find out what holds vacuum up; then vacuum them, and see autovacuum'
    from pg_stat_all_tables as t
    where t.schemaname in ('payout', 'procrastinate')
        and t.n_dead_tup > 100000 and t.n_dead_tup > 4 * t.n_live_tup
$$;
comment on function payout.check_upkeep() is 'Part of payout_api.doctor().';
