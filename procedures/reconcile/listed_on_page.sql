-- listed_on_page: the transfers that a page of a comparison, or of events, shows.
--
-- Of several events about one transfer, the one with the most reversed counts.

create or replace function payout.listed_on_page(p_kind text, p_objects jsonb)
returns payout.stripe_transfer[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select array(
        select distinct on (t.stripe_transfer_id) t
        from jsonb_array_elements(p_objects) as o
        cross join lateral payout.read_stripe_transfer(
            case p_kind when 'events' then o #> '{data,object}' else o end) as t
        where t.stripe_transfer_id is not null
        order by t.stripe_transfer_id, t.amount_reversed_minor desc nulls last)
$$;
comment on function payout.listed_on_page(text, jsonb) is
    'Each once, in order of their ids; those whose id cannot be read are left out.';
