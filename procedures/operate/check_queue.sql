-- check_queue: whether wake-up jobs can be queued, and workers sweep and claim.

create or replace function payout.check_queue()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select 'wake-up jobs can be queued', q.problem is null,
        coalesce(q.problem, 'procrastinate''s schema, functions and rights'),
        'payout-engine migrate; transfers are paid without wake-up jobs, a few seconds later'
    from payout.queue_problem() as q (problem)
    union all
    select 'the queue is the engine''s own', payout.has_queue(),
        case when payout.has_queue() then 'the schema procrastinate'
            else 'the schema procrastinate belongs to another application' end,
        'transfers are paid without wake-up jobs, a few seconds later; to share the queue, run '
        'sql/queue_grants.sql, without its revoke, as the owner of that schema, who has to be a '
        'member of payout_owner'
    union all
    select 'a worker is alive', coalesce(bool_or(w.is_alive), false),
        coalesce(
            string_agg(concat_ws(' ', w.worker, w.release), ', ') filter (where w.is_alive),
            'the last one was seen at ' || max(w.last_seen_at), 'none has ever run'),
        'start a worker: payout-engine worker'
    from payout_api.workers as w
    union all
    select 'workers are of one release', count(*) = 0,
        coalesce(string_agg(concat_ws(' ', w.worker, w.release), ', '),
            'that of the schema: ' || payout_api.release()),
        'replace them: one release apart is meant for the time of an upgrade'
    from payout_api.workers as w
    where w.is_alive
        and substring(w.release from '^[0-9]+[.][0-9]+') is distinct from payout_api.release()
    union all
    select 'leases that ran out are closed', count(*) = 0,
        format('%s leases ran out over a minute ago', count(*)),
        'start a worker, or select * from payout_api.sweep()'
    from payout.transfer_states as s
    where s.lease_until < clock_timestamp() - interval '1 minute'
    union all
    -- A backlog that flows at its pace has claims under way: the last lease, read by its index.
    select 'due transfers are claimed', count(*) = 0 or coalesce(
            (select max(c.lease_until) from payout.transfer_states as c) > clock_timestamp(),
            false),
        format('%s transfers have been due for over five minutes', count(*)),
        'start a worker; select * from payout_api.unpaid order by next_attempt_at'
    from payout.transfer_states as s
    where s.next_attempt_at < clock_timestamp() - interval '5 minutes'
        and s.hold_id is null
        -- A look that was too early for a decline is made again later.
        and (s.state <> 'failed'
            or coalesce(s.next_lookup_at, '-infinity') <= clock_timestamp())
$$;
comment on function payout.check_queue() is 'Part of payout_api.doctor().';
