-- page_problem: the reason why a page is not the one that a read waits for.
--
-- An object on it that cannot be read is no reason: it is set aside by itself.

create or replace function payout.page_problem(
    p_read payout.stripe_reads, p_parameters jsonb, p_objects jsonb, p_has_more boolean
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    -- Once, not for each page that was read.
    v_next jsonb := payout.next_parameters(p_read, p_parameters, p_objects, p_has_more);
begin
    if p_read.abandoned_at is not null or not payout.is_of_this_database(p_read) then
        return 'it no longer counts for this database';
    elsif p_read.finished_at is not null then
        return 'it has all of its pages';
    elsif p_parameters is distinct from p_read.next_parameters then
        return format('the page of %s comes next, not that of %s', p_read.next_parameters,
            coalesce(p_parameters::text, 'nothing'));
    elsif p_objects is null or jsonb_typeof(p_objects) <> 'array' then
        return 'the page is not an array';
    elsif p_has_more is null then
        return 'the page does not say whether more pages follow';
    elsif p_has_more and payout.read_text(p_objects -> -1 -> 'id') is null then
        return 'more pages are said to follow, but the last object has no id to go on from';
    elsif exists (
        select from payout.stripe_read_pages as p
        where p.read_id = p_read.read_id
            and p.parameters = v_next
    ) then
        return 'the page leads back to one that was read';
    end if;
    return null;
end
$$;
comment on function payout.page_problem(payout.stripe_reads, jsonb, jsonb, boolean) is
    'Names the problem, with the parameters expected; null: it is the next page.';
