-- newest_facts: of every transfer the facts that say how far it has come.
--
-- Its newest key, its newest claim, the first claim under that key, the last
-- observation that moved it, and what was seen since the key was opened.
-- Called by: fold_facts.

create or replace function payout.newest_facts()
returns table (
    payout_transfer_id bigint,
    due_at timestamptz,
    generation integer,
    move payout.transfer_observations,
    claim payout.transfer_attempts,
    first_sent_at timestamptz,
    tries integer,
    has_unknown_send boolean,
    is_stopped boolean,
    is_released boolean
)
language sql
stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select
        t.payout_transfer_id, coalesce(s.pay_after, t.created_at), k.generation, m.move, a.claim,
        f.claimed_at, u.tries, u.has_unknown_send, u.is_stopped,
        exists (
            select from payout.ledger_entries as e
            where e.payout_transfer_id = t.payout_transfer_id
                and e.kind = 'release'
                and e.generation = k.generation
        )
    from payout.payout_transfers as t
    join payout.settlements as s on s.settlement_id = t.settlement_id
    cross join lateral (
        select coalesce(max(k.generation), 1) as generation,
            coalesce(max(k.evidence_observation_id), 0) as opened_after
        from payout.key_generations as k
        where k.payout_transfer_id = t.payout_transfer_id
    ) as k
    left join lateral (
        select o as move
        from payout.transfer_observations as o
        where o.payout_transfer_id = t.payout_transfer_id and o.moved_to is not null
        order by o.observation_id desc
        limit 1
    ) as m on true
    left join lateral (
        select a as claim
        from payout.transfer_attempts as a
        where a.payout_transfer_id = t.payout_transfer_id
        order by a.attempt desc
        limit 1
    ) as a on true
    left join lateral (
        select a.claimed_at
        from payout.transfer_attempts as a
        where a.payout_transfer_id = t.payout_transfer_id and a.generation = k.generation
        order by a.attempt
        limit 1
    ) as f on true
    cross join lateral (
        select count(*) filter (where o.is_counted_try)::integer as tries,
            coalesce(bool_or(o.has_unknown_send), false) as has_unknown_send,
            coalesce(bool_or(o.verdict = 'alarm' and o.reason <> 'report_of_another_transfer'
                and o.observation_id > (m.move).observation_id), false) as is_stopped
        from payout.transfer_observations as o
        where o.payout_transfer_id = t.payout_transfer_id and o.observation_id > k.opened_after
    ) as u
$$;
comment on function payout.newest_facts() is
    'One row for each transfer with the facts that fold_facts makes its progress of; tries and '
    'unknown sends are those of the newest key.';
