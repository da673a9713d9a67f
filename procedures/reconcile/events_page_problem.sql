-- events_page_problem: the reason to refuse a page of Stripe's events.
--
-- The query must be one that next_events_query gives out now, or gave out before: a later start
-- would leave a gap.

create or replace function payout.events_page_problem(
    p_query jsonb, p_starting_after text, p_events jsonb, p_has_more boolean
)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_former payout.event_pages;
begin
    if p_query is null or p_query -> 'types' is distinct from '["transfer.reversed"]'
        or coalesce(p_query #>> '{created,gte}' !~ '^[0-9]{1,11}$', true)
        or coalesce(p_query #>> '{created,lt}' !~ '^[0-9]{1,11}$', true)
        or to_timestamp((p_query #>> '{created,gte}')::double precision)
            > payout.events_read_until()
        or to_timestamp((p_query #>> '{created,lt}')::double precision)
            > payout.clock() + interval '10 minutes' then
        return 'the query was not given out by next_events_query';
    end if;

    select * into v_former
    from payout.event_pages as p
    where p.query = p_query
    order by p.event_page_id desc
    limit 1;
    return coalesce(
        payout.page_problem(
            v_former.last_id, v_former.has_more, p_starting_after, p_events, p_has_more),
        payout.list_problem(p_events, '^evt_[A-Za-z0-9_]+$'),
        (
            select 'the page holds an event that is not about a transfer'
            from jsonb_array_elements(p_events) as e
            where payout.list_problem(
                jsonb_build_array(e #> '{data,object}'), '^tr_[A-Za-z0-9_]+$') is not null
            limit 1
        ));
end
$$;
comment on function payout.events_page_problem(jsonb, text, jsonb, boolean) is
    'Names the problem, with the cursor expected; null: the page is to be taken.';
