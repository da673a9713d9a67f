-- page_problem: the reason why a page of one of Stripe's lists is not the next one.

create or replace function payout.page_problem(
    p_last_id text,
    p_had_more boolean,
    p_starting_after text,
    p_items jsonb,
    p_has_more boolean
)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_items is null or jsonb_typeof(p_items) <> 'array' then
        return 'the page is not an array';
    elsif exists (
        select from jsonb_array_elements(p_items) as i
        where coalesce(jsonb_typeof(i -> 'id') <> 'string', true)
    ) then
        return 'the page holds something without an id';
    elsif p_has_more is null then
        return 'the page does not say whether more pages follow';
    elsif p_has_more and jsonb_array_length(p_items) = 0 then
        return 'the page is empty, but more are said to follow';
    elsif not p_had_more then
        return 'there are no more pages';
    elsif p_starting_after is distinct from p_last_id then
        return format('the page after %s comes next, not that after %s',
            coalesce(p_last_id, 'nothing'), coalesce(p_starting_after, 'nothing'));
    end if;
    return null;
end
$$;
comment on function payout.page_problem(text, boolean, text, jsonb, boolean) is
    'Compares a page with the last id of the page before and with whether more were to follow '
    '(both null: there is no page before); null: it is the next one.';
