-- fold_facts: the progress of each transfer of a range, made again out of the facts.
--
-- The last observation that moved a transfer gives its state, unless a claim came after it; tries
-- and unknown sends are those of the newest key. Attempts count over all keys, and observations
-- are numbered under the transfer's lock, so both give the order of events. Before its payee has an
-- account a transfer is not due. Whole ranges are joined: one by one, all would take hours.

create or replace function payout.fold_facts(
    p_from bigint default -9223372036854775808, p_to bigint default 9223372036854775807
)
returns table (
    payout_transfer_id bigint, state text, generation integer, attempt integer,
    lease_until timestamptz, next_attempt_at timestamptz, stripe_transfer_id text,
    window_begins_at timestamptz, tries integer, has_unknown_send boolean, reason text
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with observed as (
        select o.*,
            coalesce(max(o.observation_id) filter (where o.signal = 'key_opened') over w, 0)
                as opened_by,
            max(o.observation_id) filter (where o.moved_to is not null) over w as moved_by
        from payout.transfer_observations as o
        where o.payout_transfer_id between p_from and p_to
        window w as (partition by o.payout_transfer_id)
    ), seen as (
        select o.payout_transfer_id,
            max(o.generation) filter (where o.observation_id = o.opened_by) as generation,
            count(*) filter (where o.is_counted_try and o.observation_id > o.opened_by) as tries,
            bool_or(o.has_unknown_send and o.observation_id > o.opened_by) as has_unknown_send,
            bool_or(o.verdict = 'alarm' and o.observation_id > o.moved_by) as is_stopped
        from observed as o
        group by o.payout_transfer_id
    ), claims as (
        select distinct on (a.payout_transfer_id) a.*, first_value(a.window_begins_at) over (
            partition by a.payout_transfer_id, a.generation order by a.attempt) as key_begins_at
        from payout.transfer_attempts as a
        where a.payout_transfer_id between p_from and p_to
        order by a.payout_transfer_id, a.attempt desc
    )
    select t.payout_transfer_id, w.state, w.generation, coalesce(a.attempt, 0),
        case w.state when 'in_flight' then a.lease_until end,
        case
            when w.state in ('scheduled', 'retry_wait', 'unknown') then w.due_at
            -- An alarm about a declined transfer stops its next key.
            when w.state = 'failed' and o.is_stopped is not true then m.next_attempt_at
        end,
        case w.state when 'paid' then m.stripe_transfer_id end,
        case a.generation when w.generation then a.key_begins_at end,
        coalesce(o.tries, 0)::integer, coalesce(o.has_unknown_send, false),
        case
            when m.moved_to <> 'scheduled' then m.reason
            when w.state = 'scheduled' and w.due_at is null then 'awaiting_account'
        end
    from payout.payout_transfers as t
    left join seen as o on o.payout_transfer_id = t.payout_transfer_id
    left join observed as m
        on m.payout_transfer_id = t.payout_transfer_id and m.observation_id = m.moved_by
    left join claims as a on a.payout_transfer_id = t.payout_transfer_id
    cross join lateral (
        select case
                when m.moved_to in ('paid', 'parked', 'failed', 'cancelled', 'settled_outside')
                    then m.moved_to::text
                when a.attempt > coalesce(m.attempt, 0) then 'in_flight'
                else coalesce(m.moved_to::text, 'scheduled')
            end as state,
            coalesce(o.generation, 1) as generation,
            coalesce(m.next_attempt_at, case when (
                select true from payout.payee_accounts as p where p.payee_id = t.payee_id limit 1
            ) then coalesce((
                select s.pay_after from payout.settlements as s
                where s.settlement_id = t.settlement_id
            ), t.created_at) end) as due_at
    ) as w
    where t.payout_transfer_id between p_from and p_to
$$;
comment on function payout.fold_facts(bigint, bigint) is
    'One row for each transfer from p_from to p_to as transfer_states must say it, folded from '
    'attempts and observations.';
