-- untold_outcomes: the transfers of a range of which the application was told something else last.
--
-- Called by: verify_projection, and the script that makes transfer_states anew. A transfer of which
-- it was told nothing is scheduled.

create or replace function payout.untold_outcomes(
    p_from bigint default -9223372036854775808, p_to bigint default 9223372036854775807
)
returns table (
    payout_transfer_id bigint,
    status text,
    reason text,
    hold_id bigint,
    stripe_transfer_id text,
    reversed_minor bigint,
    told_status text,
    told_reversed_minor bigint
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select payout_transfer_id, p.status,
        case when p.status in ('failed', 'cancelled', 'settled_outside', 'waiting_for_account')
            then p.reason end,
        case p.status when 'on_hold' then p.hold_id end,
        p.stripe_transfer_id, p.reversed_minor, w.status, w.reversed_minor
    from (
        select s.*, coalesce(r.reversed_minor, 0) as reversed_minor, case
                when s.state = 'scheduled' and s.next_attempt_at is null then 'waiting_for_account'
                when s.hold_id is null then st.status
                else st.status_on_hold
            end as status
        from payout.transfer_states as s
        join payout.states as st on st.state = s.state
        left join (
            select e.payout_transfer_id, sum(e.amount_minor)::bigint as reversed_minor
            from payout.ledger_entries as e
            where e.kind = 'reversal' and e.payout_transfer_id between p_from and p_to
            group by e.payout_transfer_id
        ) as r on r.payout_transfer_id = s.payout_transfer_id
        where s.payout_transfer_id between p_from and p_to
    ) as p
    full join (
        select distinct on (o.payout_transfer_id) o.*
        from payout.outcomes as o
        where o.payout_transfer_id between p_from and p_to
        order by o.payout_transfer_id, o.outcome_id desc
    ) as n using (payout_transfer_id)
    cross join lateral (
        select coalesce(n.status::text, 'scheduled') as status,
            coalesce(n.reversed_minor, 0) as reversed_minor
    ) as w
    where (p.status, p.reversed_minor) is distinct from (w.status, w.reversed_minor)
$$;
comment on function payout.untold_outcomes(bigint, bigint) is
    'One row for each such transfer from p_from to p_to with the outcome that the application '
    'should know as the last, and the status and sum of reversals that it was told.';
