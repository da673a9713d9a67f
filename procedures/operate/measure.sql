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
    select * from payout.measure_transfers(v_now, 50000)
    union all
    select * from payout.measure_stops(50000)
    union all
    select * from payout.measure_upkeep(v_now);
end
$$;
comment on function payout_api.measure(text) is
    'Names, meanings, labels and values of the gauges, or no row while another worker measures; '
    'the worker is one that heartbeat has noted.';
grant execute on function payout_api.measure(text) to payout_worker;
