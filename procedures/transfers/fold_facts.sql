-- fold_facts: the progress of each transfer of a range, made again out of the facts.
--
-- The last observation that moved a transfer gives its state, unless a claim came after it.
-- Attempts count over all keys, and observations are numbered under the transfer's lock, so both
-- give the order of events.

create or replace function payout.fold_facts(
    p_from bigint default -9223372036854775808, p_to bigint default 9223372036854775807
)
returns table (
    payout_transfer_id bigint,
    state text,
    generation integer,
    attempt integer,
    lease_until timestamptz,
    next_attempt_at timestamptz,
    stripe_transfer_id text,
    window_begins_at timestamptz,
    tries integer,
    has_unknown_send boolean,
    reason text
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select
        n.payout_transfer_id, w.state, n.generation, coalesce(n.claim_attempt, 0),
        case w.state when 'in_flight' then n.lease_until end,
        case
            when w.state in ('scheduled', 'retry_wait', 'unknown') then
                coalesce(n.next_attempt_at, n.due_at)
            -- An alarm about a declined transfer stops its next key.
            when w.state = 'failed' and not n.is_stopped then n.next_attempt_at
        end,
        case w.state when 'paid' then n.stripe_transfer_id end,
        n.window_begins_at, n.tries, n.has_unknown_send,
        case
            when n.moved_to <> 'scheduled' then n.reason
            when w.state = 'scheduled' and coalesce(n.next_attempt_at, n.due_at) is null
                then 'awaiting_account'
        end
    from payout.newest_facts(p_from, p_to) as n
    cross join lateral (
        select case
            when n.moved_to in ('paid', 'parked', 'failed', 'cancelled', 'settled_outside')
                then n.moved_to
            when n.claim_attempt > coalesce(n.moved_attempt, 0) then 'in_flight'
            when n.moved_to is not null then n.moved_to
            else 'scheduled'
        end as state
    ) as w
$$;
comment on function payout.fold_facts(bigint, bigint) is
    'One row for each transfer from p_from to p_to as transfer_states must say it, folded from '
    'attempts, observations and books.';
