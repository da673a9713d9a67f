-- check_rights: whether roles have more rights than the migrations give.
--
-- Rights to read do no harm; any other that given_rights returns is named, unless expected_rights
-- lists it.

create or replace function payout.check_rights()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'no role has more rights than deployed', count(*) = 0,
        coalesce(string_agg(format('%s on %s to %s', g.privilege_type, g.thing,
            case g.grantee when 0 then 'public' else g.grantee::regrole::text end), ', '), 'none'),
        'revoke … on … from …; then find out who granted it'
    from payout.given_rights() as g
    where g.grantee <> g.owner
        and not exists (
            select
            from payout.expected_rights() as w
            where g.grantee <> 0
                and g.grantee::regrole::text = any (string_to_array(w.roles, '|'))
                and g.privilege_type = any (string_to_array(w.privileges, '|'))
                and g.thing ~ w.things
        )
$$;
comment on function payout.check_rights() is 'Part of payout_api.doctor().';
