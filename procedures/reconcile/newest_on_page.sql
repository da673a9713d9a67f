-- newest_on_page: the newest time of creation on a page, by Stripe's clock.
--
-- A time ahead of ours may be a broken one: it is left out. An earlier one has more read again.

create or replace function payout.newest_on_page(p_objects jsonb, p_until timestamptz)
returns timestamptz
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select max(to_timestamp(c.created))
    from jsonb_array_elements(p_objects) as o
    cross join lateral payout.read_whole(o -> 'created') as c (created)
    where c.created <= extract(epoch from p_until)
$$;
comment on function payout.newest_on_page(jsonb, timestamptz) is
    'The newest created of the objects that is not later than p_until; null: there is none.';
