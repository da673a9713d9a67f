-- sweep: do what is due and has nobody to do it.
--
-- Called by: every worker every few seconds, operators when they like.
-- Safe to repeat, and at once from many places: each row is taken by one.
-- Raises: SP311 a limit that is none.

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
    -- First, while the sweep has locked no transfer yet.
    perform payout_api.seal();
    v_now := payout.clock();
    return query
    select
        payout.expire_leases(v_now, p_limit),
        payout.park_expired_keys(v_now, p_limit),
        payout.reopen_failed(v_now, p_limit),
        payout.queue_due_wakeups(v_now, p_limit);
end
$$;
comment on function payout_api.sweep(integer) is
    'Closes leases that ran out, parks what is too old to send, opens new keys where rule K '
    'allows, rings for what is due; up to p_limit of each. Returns how many. It also seals.';
revoke execute on function payout_api.sweep(integer) from public;
grant execute on function payout_api.sweep(integer) to payout_worker, payout_operator;
