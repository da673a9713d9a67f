-- lock_unrung_transfers: lock due transfers that have no wake-up job in the queue, oldest first.
--
-- A job that a worker has fetched does not count: the worker either claims soon or is gone. Jobs
-- are read once, into a hash, and of transfers that have one the progress only. Transfers on hold
-- are none of them; those that no sweep has marked yet are walked past, not all of a large hold at
-- once (mark_held_transfers).
-- Called by: queue_due_wakeups, which survives every error of the queue.
-- Locks: progress rows, skipping those that another session has locked.

create or replace function payout.lock_unrung_transfers(
    p_now timestamptz, p_limit integer, p_again_after interval
)
returns setof bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select s.payout_transfer_id
    from payout.transfer_states as s
    where s.payout_transfer_id in (
            select d.payout_transfer_id
            from payout.transfer_states as d
            where d.next_attempt_at <= p_now
                and d.hold_id is null
                and d.state in ('scheduled', 'retry_wait', 'unknown')
                and (d.wakeup_id is null or d.next_attempt_at <= p_now - p_again_after)
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
    for update of s skip locked;
end
$$;
comment on function payout.lock_unrung_transfers(timestamptz, integer, interval) is
    'Returns up to p_limit of the first due transfers without a wake-up job, of ten times as many.';
