-- catalogue_differences: the objects that are not as the last migration left them.
--
-- Texts that a server of another major version wrote are not compared.

create or replace function payout_api.catalogue_differences()
returns table (object text, what text, recorded jsonb, present jsonb)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    with newest as (
        select c.objects,
            c.server_major = current_setting('server_version_num')::integer / 10000 as is_same_major
        from payout.catalogues as c
        order by c.catalogue_id desc
        limit 1
    )
    select object,
        case
            when r.definition is null then 'added'
            when p.definition is null then 'removed'
            else 'changed'
        end,
        r.definition, p.definition
    from (
        select o.key as object, o.value as definition
        from newest as n
        cross join lateral jsonb_each(n.objects) as o
    ) as r
    full join (
        select c.object, jsonb_build_array(c.definition, c.deparsed) as definition
        from payout.catalogue() as c
    ) as p using (object)
    where r.definition is distinct from p.definition
        and (
            coalesce((select n.is_same_major from newest as n), true)
            or r.definition -> 0 is distinct from p.definition -> 0)
    order by object
$$;
comment on function payout_api.catalogue_differences() is
    'One row for each object that was added, removed or changed since the catalogue was recorded; '
    'recorded and present are its definition, and its text as the server writes it.';
grant execute on function payout_api.catalogue_differences() to payout_operator, payout_auditor;
