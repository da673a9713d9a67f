-- measure: the gauges of the whole engine, for one worker at a time.
--
-- Called by: each worker that serves metrics, about every quarter of a minute.
-- Safe to repeat. Another worker that measured within 45 seconds goes on with it; then the
-- others get no rows. It takes the same time whatever the history (D-146).

create or replace function payout_api.measure(p_worker text)
returns table (metric text, meaning text, labels jsonb, value double precision)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set work_mem = '16MB'
as $$
declare
    v_now timestamptz := payout.clock();
begin
    -- Two that call at once: one of them waits for its next turn. The first row is the lock: an
    -- advisory one could be taken by any login, for good.
    perform
    from payout.workers as w
    where w.worker = (select min(f.worker) from payout.workers as f)
    for no key update skip locked;
    if not found then
        return;
    end if;
    update payout.workers as w
    set measured_at = v_now
    where w.worker = p_worker
        and not exists (
            select from payout.workers as o
            where o.worker <> p_worker and o.measured_at > v_now - interval '45 seconds'
        );
    if not found then
        return;
    end if;
    return query
    select g.metric, g.meaning, g.labels, g.value from payout_api.gauges as g
    union all
    select m.metric, m.meaning, m.labels, m.value::double precision
    from (
        select 'payout_is_stopped', 'One while the database is not adopted: nothing is claimed.',
            '{}'::jsonb, (payout.identity_problem() is not null)::integer::numeric
        union all
        select 'payout_seal_lag_seconds', 'Age of the oldest fact that is not sealed.', '{}',
            coalesce(extract(epoch from v_now - min(r.row_at)), 0)
        from payout.first_unsealed_rows() as r
        union all
        select 'payout_compared_seconds',
            'Time since Stripe''s transfers were compared, all and the newest.',
            jsonb_build_object('kind', k.kind),
            extract(epoch from v_now - coalesce(r.finished_at, e.created_at, v_now))
        from unnest('{comparison,newest}'::text[]) as k (kind)
        cross join lateral payout.newest_read(k.kind) as r
        left join lateral (
            select n.created_at from payout.ledger_entries as n order by n.ledger_entry_id limit 1
        ) as e on true
    ) as m (metric, meaning, labels, value);
end
$$;
comment on function payout_api.measure(text) is
    'Names, meanings, labels and values of the gauges, or no row while another worker measures; '
    'the worker is one that heartbeat has noted.';
grant execute on function payout_api.measure(text) to payout_worker;
