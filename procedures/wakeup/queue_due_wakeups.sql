-- queue_due_wakeups: queue wake-up jobs for due transfers that have none in the queue.
--
-- Such transfers wait to be tried again, had a pay_after, or lost their job with a worker or
-- with the queue. A job that a worker has fetched does not count: the worker either claims soon
-- or is gone. Jobs are read once, into a hash, and of transfers that have one the progress only.
-- Transfers on hold get none. Those that no sweep has marked yet are walked past, not all of a large
-- hold at once (mark_held_transfers). A queue that fails stops nothing else of the sweep.
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
        select s.payout_transfer_id
        from payout.transfer_states as s
        where s.payout_transfer_id in (
                select d.payout_transfer_id
                from payout.transfer_states as d
                where d.next_attempt_at <= p_now
                    and d.hold_id is null
                    and d.state in ('scheduled', 'retry_wait', 'unknown')
                    and (d.wakeup_id is null
                        or d.next_attempt_at <= p_now - v_settings.queue_wakeup_again_after)
                order by d.next_attempt_at
                limit 10 * p_limit::bigint
            )
            and s.next_attempt_at <= p_now
            and s.hold_id is null
            and s.state in ('scheduled', 'retry_wait', 'unknown')
            and case
                when s.wakeup_id in (
                    select q.id from procrastinate.procrastinate_jobs as q
                    where q.status = 'todo' and q.task_name = 'payout.execute'
                ) then false
                when payout.progress_problem(s) is not null then false
                else (
                    select not exists (
                        select from payout.holds as h
                        where h.released_at is null
                            and (h.scope, h.subject) in (
                                ('currency', t.currency::text), ('payee', t.payee_id::text),
                                ('settlement', t.settlement_id::text),
                                ('transfer', t.payout_transfer_id::text)))
                    from payout.payout_transfers as t
                    where t.payout_transfer_id = s.payout_transfer_id
                )
            end
        order by s.next_attempt_at
        limit p_limit
        for update of s skip locked);

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
