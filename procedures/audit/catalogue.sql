-- catalogue: everything that gives the books their meaning, one row an object.
--
-- Functions count by their text, everything else by its properties in the catalogue. Where only
-- the server can tell what an object says it writes that out (deparsed), and another major version
-- may write it otherwise. No setting of a session shows in it.

create or replace function payout.catalogue()
returns table (object text, definition text, deparsed text)
language sql
stable
set search_path = pg_catalog, pg_temp
set bytea_output = 'hex'
set intervalstyle = 'postgres'
set quote_all_identifiers = off
as $$
    select * from payout.catalogue_relations()
    union all
    select * from payout.catalogue_rules()
    union all
    select * from payout.catalogue_functions()
    union all
    select * from payout.catalogue_rights()
    union all
    select * from payout.catalogue_rows()
$$;
comment on function payout.catalogue() is
    'Relations, columns, constraints, indexes, triggers, rules, policies, functions, types, event '
    'triggers, rights, roles and reference rows of the engine; deparsed is null where definition '
    'says it all.';
