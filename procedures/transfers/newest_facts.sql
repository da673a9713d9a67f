-- newest_facts: the facts of each transfer of a range that give its progress.
--
-- These are its newest key and claim, the first claim under that key, the last observation that
-- moved it, and the observations since the key was opened. Before its payee has an account it is
-- not due. Whole ranges are joined: looked up one by one, all transfers would take hours.

create or replace function payout.newest_facts(
    p_from bigint default -9223372036854775808, p_to bigint default 9223372036854775807
)
returns table (
    payout_transfer_id bigint, due_at timestamptz, generation integer, moved_to text,
    moved_attempt integer, next_attempt_at timestamptz, stripe_transfer_id text, reason text,
    claim_attempt integer, lease_until timestamptz, window_begins_at timestamptz, tries integer,
    has_unknown_send boolean, is_stopped boolean
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with keys as (
        select t.payout_transfer_id,
            case
                when (
                    select true from payout.payee_accounts as a where a.payee_id = t.payee_id
                    limit 1
                ) then coalesce((
                    select s.pay_after from payout.settlements as s
                    where s.settlement_id = t.settlement_id), t.created_at)
            end as due_at,
            coalesce(k.generation, 1) as generation, coalesce(k.opened_after, 0) as opened_after
        from payout.payout_transfers as t
        left join (
            select k.payout_transfer_id, max(k.generation) as generation,
                max(k.observation_id) as opened_after
            from payout.transfer_observations as k
            where k.signal = 'key_opened' and k.payout_transfer_id between p_from and p_to
            group by k.payout_transfer_id
        ) as k on k.payout_transfer_id = t.payout_transfer_id
        where t.payout_transfer_id between p_from and p_to
    ), moves as (
        select distinct on (o.payout_transfer_id) o.payout_transfer_id, o.observation_id,
            o.moved_to, o.attempt, o.next_attempt_at, o.stripe_transfer_id, o.reason
        from payout.transfer_observations as o
        where o.moved_to is not null and o.payout_transfer_id between p_from and p_to
        order by o.payout_transfer_id, o.observation_id desc
    ), claims as (
        select distinct on (a.payout_transfer_id) a.payout_transfer_id, a.attempt,
            a.lease_until
        from payout.transfer_attempts as a
        where a.payout_transfer_id between p_from and p_to
        order by a.payout_transfer_id, a.attempt desc
    ), first_claims as (
        select distinct on (a.payout_transfer_id, a.generation) a.payout_transfer_id,
            a.generation, a.window_begins_at
        from payout.transfer_attempts as a
        where a.payout_transfer_id between p_from and p_to
        order by a.payout_transfer_id, a.generation, a.attempt
    ), seen as (
        select o.payout_transfer_id, count(*) filter (where o.is_counted_try)::integer as tries,
            bool_or(o.has_unknown_send) as has_unknown_send,
            bool_or(o.verdict = 'alarm' and o.observation_id > m.observation_id) as is_stopped
        from payout.transfer_observations as o
        join keys as k on k.payout_transfer_id = o.payout_transfer_id
        left join moves as m on m.payout_transfer_id = o.payout_transfer_id
        where o.observation_id > k.opened_after
            and o.payout_transfer_id between p_from and p_to
        group by o.payout_transfer_id
    )
    select k.payout_transfer_id, k.due_at, k.generation, m.moved_to, m.attempt,
        m.next_attempt_at, m.stripe_transfer_id, m.reason, a.attempt, a.lease_until,
        f.window_begins_at, coalesce(o.tries, 0), coalesce(o.has_unknown_send, false),
        coalesce(o.is_stopped, false)
    from keys as k
    left join moves as m on m.payout_transfer_id = k.payout_transfer_id
    left join claims as a on a.payout_transfer_id = k.payout_transfer_id
    left join first_claims as f
        on f.payout_transfer_id = k.payout_transfer_id and f.generation = k.generation
    left join seen as o on o.payout_transfer_id = k.payout_transfer_id
$$;
comment on function payout.newest_facts(bigint, bigint) is
    'One row for each transfer from p_from to p_to with the facts that fold_facts makes its '
    'progress of; tries and unknown sends are those of the newest key.';
