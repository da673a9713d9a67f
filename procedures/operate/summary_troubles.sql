-- summary_troubles: open discrepancies, reversed money, holds and workers.

create or replace function payout.summary_troubles(p_rows integer)
returns table (section text, most integer, place bigint, content jsonb)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- Only rows that are shown are explained.
    select 'discrepancies', p_rows, d.place, case when d.place <= p_rows then (
        select to_jsonb(v) - '{ours,theirs}'::text[]
        from payout_api.discrepancies as v
        where v.discrepancy_id = d.discrepancy_id)
    end
    from (
        select d.discrepancy_id, row_number() over (order by d.found_at, d.discrepancy_id) as place
        from payout.discrepancies as d
        where d.resolved_at is null
    ) as d
    union all
    select 'reversed', p_rows, row_number() over (order by m.since, m.payout_transfer_id),
        to_jsonb(m) || jsonb_build_object('open', m.open_minor * c.minor_unit)
    from payout_api.reversed_money as m
    left join payout.currencies as c on c.currency = m.currency
    union all
    select 'holds', p_rows, row_number() over (order by h.scope <> 'engine', h.hold_id), to_jsonb(h)
    from payout.holds as h
    where h.released_at is null
    union all
    select 'workers', p_rows,
        row_number() over (order by w.is_alive desc, w.last_seen_at desc, w.worker), to_jsonb(w)
    from payout_api.workers as w
$$;
comment on function payout.summary_troubles(integer) is 'Part of payout_api.summary().';
