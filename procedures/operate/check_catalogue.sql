-- check_catalogue: whether the database is as the last migration left it.

create or replace function payout.check_catalogue()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'everything is as it was deployed', count(d.object) = 0,
        coalesce(string_agg(format('%s (%s)', d.object, d.what), ', ' order by d.object), (
            select format('%s objects, recorded by %s at %s: %s',
                (select count(*) from jsonb_object_keys(c.objects)), c.recorded_by, c.recorded_at,
                c.reason)
            from payout.catalogues as c
            order by c.catalogue_id desc
            limit 1)),
        'select * from payout_api.catalogue_differences(); undo it and find out who did it, or, if '
        'it is meant: set role payout_owner; select payout.record_catalogue(reason)'
    from payout_api.catalogue_differences() as d
    union all
    select 'the catalogue was recorded on this version of Postgres',
        c.server_major = current_setting('server_version_num')::integer / 10000,
        format('PostgreSQL %s', c.server_major),
        'conditions and views were not compared: set role payout_owner; '
        'select payout.record_catalogue(''upgraded'')'
    from (
        select c.* from payout.catalogues as c order by c.catalogue_id desc limit 1
    ) as c
$$;
comment on function payout.check_catalogue() is 'Part of payout_api.doctor().';
