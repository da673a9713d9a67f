-- list_problem: what is wrong with the objects of a page of one of Stripe's lists.
--
-- That it is the page which comes next is for page_problem to say.

create or replace function payout.list_problem(p_objects jsonb, p_id_pattern text)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (
        select from jsonb_array_elements(p_objects) as o
        where jsonb_typeof(o) <> 'object'
            or coalesce(o ->> 'id' !~ p_id_pattern or length(o ->> 'id') > 255, true)
            or coalesce(o ->> 'created' !~ '^[0-9]{1,11}$', true)
    ) then
        return 'the page holds something of another kind, or without a time';
    elsif jsonb_array_length(p_objects) <> (
        select count(distinct o ->> 'id') from jsonb_array_elements(p_objects) as o
    ) then
        return 'the page names an object twice';
    end if;
    return null;
end
$$;
comment on function payout.list_problem(jsonb, text) is
    'Why these are no objects with such ids, each once and with the time it was made; null: they '
    'are.';
