-- metadata_on_page: the metadata of the transfers on a page, by their ids.

create or replace function payout.metadata_on_page(p_kind text, p_objects jsonb)
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_object_agg(t.object ->> 'id', t.object -> 'metadata'), '{}')
    from jsonb_array_elements(p_objects) as o
    cross join lateral (
        select case p_kind when 'events' then o #> '{data,object}' else o end
    ) as t (object)
    where jsonb_typeof(t.object -> 'id') = 'string'
        and jsonb_typeof(t.object -> 'metadata') = 'object'
$$;
comment on function payout.metadata_on_page(text, jsonb) is
    'An object of Stripe''s transfer ids, each with its metadata; those without are left out.';
