-- present_outcomes: the outcome that the application should know as the last, of a range.
--
-- Called by: verify_projection, and the script that makes transfer_states anew.

create or replace function payout.present_outcomes(
    p_from bigint default -9223372036854775808, p_to bigint default 9223372036854775807
)
returns table (
    payout_transfer_id bigint,
    status text,
    reason text,
    hold_id bigint,
    stripe_transfer_id text,
    reversed_minor bigint
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select s.payout_transfer_id, w.status,
        case when w.status in ('failed', 'cancelled', 'settled_outside', 'waiting_for_account')
            then s.reason end,
        case when w.status = 'on_hold' then s.hold_id end,
        s.stripe_transfer_id, coalesce(r.reversed_minor, 0)
    from payout.transfer_states as s
    join payout.states as st on st.state = s.state
    left join (
        select e.payout_transfer_id, sum(e.amount_minor)::bigint as reversed_minor
        from payout.ledger_entries as e
        where e.kind = 'reversal' and e.payout_transfer_id between p_from and p_to
        group by e.payout_transfer_id
    ) as r on r.payout_transfer_id = s.payout_transfer_id
    cross join lateral (
        select case
            when s.state = 'scheduled' and s.next_attempt_at is null then 'waiting_for_account'
            when s.hold_id is null then st.status
            else st.status_on_hold
        end as status
    ) as w
    where s.payout_transfer_id between p_from and p_to
$$;
comment on function payout.present_outcomes(bigint, bigint) is
    'One row for each transfer from p_from to p_to: its status with the mark of a hold, reason, '
    'hold, Stripe''s id, and the sum of its reversals.';
