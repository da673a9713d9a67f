-- sweep: close leases and keys that ran out, open new keys, queue missing wake-up jobs.
--
-- Called by: every worker every few seconds; operators at any time.
-- Safe to repeat, also by several workers at once: each row is taken once.
-- Raises: SP311 a limit below 1.

create or replace function payout_api.sweep(p_limit integer default 1000)
returns table (
    leases_expired integer,
    transfers_parked integer,
    transfers_reopened integer,
    wakeups_queued integer
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_now timestamptz;
begin
    if p_limit is null or p_limit < 1 then
        raise exception 'sweep of % transfers', coalesce(p_limit::text, 'null')
            using
                errcode = 'SP311',
                hint = 'Give a limit of at least 1, or none.';
    end if;
    -- It seals first, while it has locked no transfer yet.
    perform payout_api.seal();
    v_now := payout.clock();
    perform payout.mark_held_transfers(v_now);
    perform payout.plan_late_lookups(v_now, p_limit);
    return query
    select
        payout.sweep_apart('expire_leases', v_now, p_limit),
        payout.sweep_apart('park_expired_keys', v_now, p_limit),
        payout.sweep_apart('reopen_failed', v_now, p_limit),
        payout.queue_due_wakeups(v_now, p_limit);
end
$$;
comment on function payout_api.sweep(integer) is
    'Closes leases that ran out, parks transfers whose key is too old to send, opens new keys '
    'where the evidence allows it, plans looks before late first sends, queues wake-up jobs for '
    'due transfers; up to p_limit of each. Returns how many. It also seals.';
revoke execute on function payout_api.sweep(integer) from public;
grant execute on function payout_api.sweep(integer) to payout_worker, payout_operator;
