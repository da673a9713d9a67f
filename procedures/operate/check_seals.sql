-- check_seals: whether facts are sealed in time, and the newest seals are as they were made.
--
-- It is quick, hence in the doctor; payout_api.verify_seals() reads everything.

create or replace function payout.check_seals()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'facts are sealed in time', count(*) = 0,
        coalesce(string_agg(r.table_name, ', '), 'all that are older than 15 minutes'),
        'start a worker, or payout_api.seal(); else a transaction, of any database of the server, '
        'has been writing for long: select * from pg_stat_activity where backend_xid is not null'
    from payout.first_unsealed_rows() as r
    where greatest(r.row_at, r.marked_at) < clock_timestamp() - interval '15 minutes'
    union all
    select 'the newest seals are as they were made', count(*) = 0,
        coalesce(string_agg(distinct c.table_name, ', '), 'the last range of each sealed table'),
        'payout_api.hold(''engine'', …), select * from payout_api.verify_seals(), and find out who '
        'wrote there'
    from payout.seal_marks as m
    cross join lateral (
        select s as seal
        from payout.seals as s
        where s.table_name = m.table_name
        order by s.last_id desc
        limit 1
    ) as n
    cross join lateral payout.check_seal(n.seal) as c
$$;
comment on function payout.check_seals() is 'Part of payout_api.doctor().';
