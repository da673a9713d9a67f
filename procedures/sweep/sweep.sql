-- sweep: judge what is listed, close leases and keys that ran out, open keys, queue wake-ups.
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
begin
    if p_limit is null or p_limit < 1 then
        raise exception 'sweep of % transfers', coalesce(p_limit::text, 'null')
            using
                errcode = 'SP311',
                hint = 'Give a limit of at least 1, or none.';
    end if;
    -- It seals first, while it has locked no transfer yet.
    perform payout_api.seal();
    perform payout.end_due_holds(payout.clock());
    perform payout.mark_held_transfers(payout.clock());
    perform payout.look_for_accounts(payout.clock(), p_limit);
    perform payout.pull_back_dates(payout.clock());
    perform payout.probe_waits(payout.clock());
    perform payout.plan_late_lookups(payout.clock(), p_limit);
    perform payout.judge_listed_transfers(payout.clock(), p_limit);
    -- Each step reads the clock: the second one takes what the first one has made due.
    return query
    select
        payout.expire_leases(payout.clock(), p_limit),
        payout.park_expired_keys(payout.clock(), p_limit),
        payout.reopen_failed(payout.clock(), p_limit),
        payout.queue_due_wakeups(payout.clock(), p_limit);
end
$$;
comment on function payout_api.sweep(integer) is
    'Judges due transfers that Stripe has listed, closes leases that ran out, parks transfers '
    'whose key is too old to send, opens new keys where the evidence allows it, plans looks before '
    'late first sends, looks for accounts that transfers wait for, ends holds that are over, '
    'queues wake-up jobs for due transfers; up to p_limit of each. Returns how many. Seals too.';
grant execute on function payout_api.sweep(integer) to payout_worker, payout_operator;
