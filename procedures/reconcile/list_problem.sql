-- list_problem: the reason why objects cannot be those of a page of one of Stripe's lists.
--
-- page_problem checks that the page is the next one.

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
    'Null: each object has an id of that pattern, its own, and the time it was made.';
