-- newest_refusals: the newest outcomes of transfers, where one calls for sending less.
--
-- A limit of one object at Stripe (resource-specific) is not one of the fleet.

create or replace function payout.newest_refusals(p_payout_transfer_ids bigint[])
returns table (
    payout_transfer_id bigint,
    awaits text,
    subject text,
    reason text,
    is_for_rate boolean,
    claimed_at timestamptz
)
language sql
stable
rows 20
set search_path = pg_catalog, pg_temp
as $$
    select o.payout_transfer_id, case when o.moved_to = 'failed' then r.awaits end,
        case r.awaits when 'funds' then t.currency else t.payee_id::text end, r.reason,
        r.reason = 'rate_limited'
            and o.facts ->> 'rate_limited_reason' is distinct from 'resource-specific',
        a.claimed_at
    from unnest(p_payout_transfer_ids) as i (payout_transfer_id)
    cross join lateral (
        select n.*
        from payout.transfer_observations as n
        where n.payout_transfer_id = i.payout_transfer_id
        order by n.observation_id desc
        limit 1
    ) as o
    join payout.stripe_error_rules as r on r.error_rule_id = o.error_rule_id
    join payout.payout_transfers as t on t.payout_transfer_id = o.payout_transfer_id
    join payout.transfer_attempts as a on a.payout_transfer_id = o.payout_transfer_id
        and a.attempt = o.attempt
    where o.verdict = 'ok'
        and (r.awaits is not null or r.reason = 'rate_limited')
$$;
comment on function payout.newest_refusals(bigint[]) is
    'Of each transfer whose newest outcome is a decline that passes by itself, or a refusal for '
    'the rate: what waits (a currency or a payee), why, and when the attempt was claimed.';
