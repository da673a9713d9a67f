-- summary_transfers: transfers by state and age, the money of each day, and unpaid reasons.

create or replace function payout.summary_transfers(p_days integer, p_rows integer)
returns table (section text, most integer, place bigint, content jsonb)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with flow as materialized (
        select f.*
        from payout_api.money_flow(current_date - greatest(p_days, 1) + 1, 'infinity') as f
    ),
    totals as (
        select f.currency, sum(f.transfers_settled) as transfers_settled,
            sum(f.transfers_paid) as transfers_paid,
            sum(f.settled) as settled, sum(f.paid) as paid, sum(f.failed) as failed,
            sum(f.taken_back) as taken_back
        from flow as f
        group by f.currency
    )
    -- All but the last have a row for each currency, state and day at most: they are not cut.
    select 'overview', null::integer,
        row_number() over (order by o.currency, st.is_final, o.state, o.since_at_least),
        to_jsonb(o) || jsonb_build_object(
            'meaning', st.meaning,
            'state_transfers', sum(o.transfers) over state,
            'state_amount', sum(o.amount) over state,
            'state_oldest_since', min(o.oldest_since) over state)
    from payout_api.overview_by_age as o
    join payout.states as st on st.state = o.state
    window state as (partition by o.currency, o.state)
    union all
    select 'days', null, row_number() over (order by f.currency, f.day), to_jsonb(f)
    from flow as f
    union all
    select 'totals', null,
        row_number() over (order by f.transfers_settled + f.transfers_paid desc, f.currency),
        to_jsonb(f)
    from totals as f
    union all
    select 'unpaid', p_rows, row_number() over (
            order by u.state in ('scheduled', 'in_flight'), u.transfers desc, u.first_transfer_id),
        to_jsonb(u)
    from payout_api.unpaid_by_reason as u
$$;
comment on function payout.summary_transfers(integer, integer) is 'Part of payout_api.summary().';
