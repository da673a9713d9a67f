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
    select 'triggers fire', current_setting('session_replication_role') = 'origin',
        format('session_replication_role %s', current_setting('session_replication_role')),
        'Find out who set it, by alter database, alter role or alter system: settlements schedule '
        'nothing under it.'
    union all
    select 'public may not create temporary objects',
        not has_database_privilege('public', current_database(), 'TEMPORARY'),
        format('database %s', current_database()),
        format('revoke temporary on database %I from public', current_database())
$$;
comment on function payout.check_server() is 'Part of payout_api.doctor().';
