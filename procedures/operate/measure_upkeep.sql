-- measure_upkeep: measure comparisons, seals, workers, leases and the server.
--
-- Called by: measure. It reads what is open or newest only, from indexes.

create or replace function payout.measure_upkeep(p_now timestamptz)
returns table (metric text, meaning text, labels jsonb, value double precision)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    with compared as (
        select k.kind, coalesce(r.finished_at, e.created_at, p_now) as compared_at
        from (values ('comparison'), ('newest')) as k (kind)
        cross join lateral payout.newest_read(k.kind) as r
        left join lateral (
            select n.created_at from payout.ledger_entries as n order by n.ledger_entry_id limit 1
        ) as e on true
    )
    select m.metric, m.meaning, m.labels, m.value::double precision from (
        select 'payout_compared_seconds' as metric,
            'Time since Stripe''s transfers were compared, all and the newest.' as meaning,
            jsonb_build_object('kind', c.kind) as labels,
            extract(epoch from p_now - c.compared_at) as value
        from compared as c
        union all
        select 'payout_seal_lag_seconds', 'Age of the oldest fact that is not sealed.', '{}',
            coalesce(extract(epoch from p_now - min(r.row_at)), 0)
        from payout.first_unsealed_rows() as r
        union all
        select 'payout_workers', 'Workers that are alive, by release.',
            jsonb_build_object('release', left(w.release, 60)), count(*)
        from payout.workers as w
        where not w.has_ended and w.last_seen_at > p_now - interval '1 minute'
        group by left(w.release, 60)
        union all
        select 'payout_expired_leases', 'Leases that ran out over a minute ago.', '{}', count(*)
        from payout.transfer_states as s where s.lease_until < p_now - interval '1 minute'
        union all
        select 'payout_notification_queue_usage', 'Part of the queue of NOTIFY that is full.', '{}',
            pg_notification_queue_usage()
    ) as m;
end
$$;
comment on function payout.measure_upkeep(timestamptz) is 'Part of payout_api.measure().';
