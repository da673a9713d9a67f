-- summary_lists: the sections of the summary that may be long, cut after p_rows rows.

create or replace function payout.summary_lists(p_rows integer)
returns table (section text, row_count bigint, content jsonb)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'unpaid', count(*), to_jsonb((array_agg(
        to_jsonb(u) order by u.state in ('scheduled', 'in_flight'), u.transfers desc,
            u.first_transfer_id))[:p_rows])
    from payout_api.unpaid_by_reason as u
    union all
    select 'payees', count(*), to_jsonb((array_agg(
        to_jsonb(p) order by p.rank, p.currency))[:p_rows])
    from payout_api.payees_owed as p
    union all
    -- Only those that are shown are explained.
    select 'discrepancies', (
        select count(*) from payout.discrepancies as o where o.resolved_at is null
    ), jsonb_agg(to_jsonb(d) - '{ours,theirs}'::text[] order by d.since, d.discrepancy_id)
    from payout_api.discrepancies as d
    where d.discrepancy_id = any (array(
        select o.discrepancy_id from payout.discrepancies as o where o.resolved_at is null
        order by o.found_at, o.discrepancy_id limit greatest(p_rows, 0)))
    union all
    select 'reversed', count(*), to_jsonb((array_agg(
        to_jsonb(m) || jsonb_build_object('open', m.open_minor * c.minor_unit)
        order by m.since, m.payout_transfer_id))[:p_rows])
    from payout_api.reversed_money as m
    left join payout.currencies as c on c.currency = m.currency
    union all
    select 'holds', count(*), to_jsonb((array_agg(
        to_jsonb(h) order by h.scope <> 'engine', h.hold_id))[:p_rows])
    from payout.holds as h
    where h.released_at is null
    union all
    select 'workers', count(*), to_jsonb((array_agg(
        to_jsonb(w) order by w.is_alive desc, w.last_seen_at desc, w.worker))[:p_rows])
    from payout_api.workers as w
$$;
comment on function payout.summary_lists(integer) is
    'Part of payout_api.summary(): each list with the number of all its rows.';
