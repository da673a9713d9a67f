-- check_server: whether the engine can trust the server with a claim.

create or replace function payout.check_server()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'server version',
        current_setting('server_version_num')::integer / 10000 between 15 and 18,
        current_setting('server_version'), 'The engine is tested on PostgreSQL 15 to 18.'
    union all
    select 'server keeps commits',
        not pg_is_in_recovery() and current_setting('fsync') = 'on'
            and current_setting('synchronous_commit') not in ('off', 'local')
            and current_setting('full_page_writes') = 'on',
        format('fsync %s, synchronous_commit %s, full_page_writes %s, in recovery %s',
            current_setting('fsync'), current_setting('synchronous_commit'),
            current_setting('full_page_writes'), pg_is_in_recovery()),
        'Claims are refused on a server that may lose them.'
    union all
    select 'triggers fire',
        current_setting('session_replication_role') = 'origin' and count(*) = 0,
        concat_ws('; ',
            format('session_replication_role %s', current_setting('session_replication_role')),
            string_agg(format('%s of %s in %s', c.setting,
                coalesce(nullif(s.setrole, 0)::regrole::text, 'every role'),
                case s.setdatabase when 0 then 'every database' else 'this database' end), '; ')),
        'Find out who set it, by alter database, alter role or alter system: settlements schedule '
        'nothing under it.'
    from pg_db_role_setting as s
    cross join lateral unnest(s.setconfig) as c (setting)
    where c.setting ~ '^session_replication_role=(?!origin$)'
        and s.setdatabase in (
            0, (select d.oid from pg_database as d where d.datname = current_database()))
    union all
    select 'public may not create temporary objects',
        not has_database_privilege('public', current_database(), 'TEMPORARY'),
        format('database %s', current_database()),
        format('revoke temporary on database %I from public', current_database())
$$;
comment on function payout.check_server() is 'Part of payout_api.doctor().';
