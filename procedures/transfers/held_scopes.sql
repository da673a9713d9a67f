-- held_scopes: the scopes of which there is an open hold, save the engine and workers.
--
-- Nearly always there are few, and no subject of another one has to be looked for.

create or replace function payout.held_scopes()
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select array(
        select s.scope
        from unnest('{currency,payee,settlement,transfer}'::text[]) as s (scope)
        where exists (
            select from payout.holds as h where h.scope = s.scope and h.released_at is null
        ))
$$;
comment on function payout.held_scopes() is
    'Those of currency, payee, settlement and transfer that have an open hold or wait.';
