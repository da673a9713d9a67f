-- queue_due_wakeups: queue wake-up jobs for due transfers that have none in the queue.
--
-- Such transfers wait to be tried again, had a pay_after, or lost their job with a worker or
-- with the queue. A queue that fails stops nothing else of the sweep.
-- Locks: progress rows, skipping those that another session has locked.

create or replace function payout.queue_due_wakeups(p_now timestamptz, p_limit integer)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    v_settings payout.engine_settings;
    v_due bigint[];
    v_wakeups bigint[];
begin
    if not payout.has_queue() or exists (
        select from payout.holds as h where h.scope = 'engine' and h.released_at is null
    ) then
        return 0;
    end if;
    perform payout.remove_lost_wakeups();
    select * into strict v_settings from payout.engine_settings;

    v_due := array(
        select payout.lock_unrung_transfers(p_now, p_limit, v_settings.queue_wakeup_again_after));

    v_wakeups := payout.defer_job(
        (select t.payout_job_id from payout.payout_transfers as t
            where t.payout_transfer_id = v_due[1]),
        ceil(cardinality(v_due)::numeric / v_settings.transfers_per_wakeup)::integer);

    update payout.transfer_states as s
    set wakeup_id = v_wakeups[1 + (d.place - 1) / v_settings.transfers_per_wakeup]
    from unnest(v_due) with ordinality as d (payout_transfer_id, place)
    where s.payout_transfer_id = d.payout_transfer_id;

    -- The job that was seen may be lost as well: the next settlement looks again.
    perform setval('payout.seen_wakeup', 1, false);
    return coalesce(cardinality(v_wakeups), 0);
exception when others then
    perform payout.note_failed_queue(sqlerrm);
    return 0;
end
$$;
comment on function payout.queue_due_wakeups(timestamptz, integer) is
    'Queues wake-up jobs for up to p_limit due transfers without one; returns the number of jobs, '
    '0 if the queue fails.';
