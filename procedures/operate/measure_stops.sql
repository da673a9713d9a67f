-- measure_stops: count what keeps money back: holds, discrepancies, acts that wait for a person.
--
-- Called by: measure. It reads what is open only, from indexes, and p_limit rows at most. Of many
-- kinds thirty are named, the others are `other`: labels stay few.

create or replace function payout.measure_stops(p_limit integer)
returns table (metric text, meaning text, labels jsonb, value double precision)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    with kinds as (
        select payout.metric_label(d.kind) as kind, count(*) as open_count,
            row_number() over (order by count(*) desc, payout.metric_label(d.kind)) as place
        from (
            select o.kind from payout.discrepancies as o
            where o.resolved_at is null
            order by o.found_at
            limit p_limit
        ) as d
        group by payout.metric_label(d.kind)
    )
    select m.metric, m.meaning, m.labels, m.value::double precision from (
        select 'payout_holds' as metric, 'Open holds that are no waits, by scope.' as meaning,
            jsonb_build_object('scope', s.scope) as labels, (
                select count(*) from (
                    select from payout.holds as h
                    where h.released_at is null and h.awaits is null and h.scope = s.scope
                    limit p_limit
                ) as h) as value
        from unnest('{engine,worker,currency,payee,settlement,transfer}'::text[]) as s (scope)
        union all
        select 'payout_waits', 'Currencies, payees and transfers that wait, by the cause.',
            jsonb_build_object('for', s.awaits), (
                select count(*) from (
                    select from payout.holds as h
                    where h.released_at is null and h.awaits = s.awaits
                    limit p_limit
                ) as h)
        from unnest('{funds,account,cap,account_change}'::text[]) as s (awaits)
        union all
        select 'payout_open_discrepancies', 'Open discrepancies, by kind.',
            jsonb_build_object('kind', case when k.place <= 30 then k.kind else 'other' end),
            sum(k.open_count)
        from kinds as k
        group by case when k.place <= 30 then k.kind else 'other' end
        union all
        select 'payout_proposals', 'Acts that wait for another person.', '{}', count(*)
        from payout_api.proposals as p
        union all
        select 'payout_is_stopped', 'One while the database is not adopted: nothing is claimed.',
            '{}', (payout.identity_problem() is not null)::integer
    ) as m;
end
$$;
comment on function payout.measure_stops(integer) is 'Part of payout_api.measure().';
