-- record_catalogue: keep the catalogue as it is now, as the one that is deployed.
--
-- Called by: each migration at its end; a member of payout_owner after a change that is meant.
-- Safe to repeat: it writes no row while nothing has changed.

create or replace function payout.record_catalogue(p_reason text)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    insert into payout.catalogues (objects, reason)
    select
        jsonb_object_agg(c.object, jsonb_build_array(c.definition, c.deparsed)), p_reason
    from payout.catalogue() as c
    having exists (select from payout_api.catalogue_differences()) or (
        select n.server_major from payout.catalogues as n order by n.catalogue_id desc limit 1
    ) is distinct from current_setting('server_version_num')::integer / 10000
$$;
comment on function payout.record_catalogue(text) is
    'Records every object of the catalogue, with the reason and the login, for the doctor to '
    'compare with.';
