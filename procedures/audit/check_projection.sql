-- check_projection: the differences between transfer_states and the facts, of a range of transfers.
--
-- Leaves out next_attempt_at, which may be moved without a fact, and reason, changed_at and
-- wakeup_id, which are for people and the queue.

create or replace function payout.check_projection(p_from bigint, p_to bigint)
returns table (payout_transfer_id bigint, column_name text, stored text, folded text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select payout_transfer_id, c.column_name, c.stored, c.folded
    from (
        select s.* from payout.transfer_states as s
        where s.payout_transfer_id between p_from and p_to
    ) as s
    full join payout.fold_facts(p_from, p_to) as f using (payout_transfer_id)
    cross join lateral (values
        ('state', s.state::text, f.state),
        ('generation', s.generation::text, f.generation::text),
        ('attempt', s.attempt::text, f.attempt::text),
        ('lease_until', s.lease_until::text, f.lease_until::text),
        ('stripe_transfer_id', s.stripe_transfer_id, f.stripe_transfer_id),
        ('window_begins_at', s.window_begins_at::text, f.window_begins_at::text),
        ('tries', s.tries::text, f.tries::text),
        ('has_unknown_send', s.has_unknown_send::text, f.has_unknown_send::text)
    ) as c (column_name, stored, folded)
    where c.stored is distinct from c.folded
    union all
    select payout_transfer_id, 'money', d.place, b.place
    from (
        select t.payout_transfer_id,
            format('%s %s %s',
                case
                    when s.state = 'paid' then 'stripe_balance'
                    when s.state = 'failed' then 'payable:' || t.payee_id
                    when s.state = 'settled_outside' then 'paid_outside'
                    else 'in_flight'
                end, t.amount_minor, t.currency) as place
        from payout.payout_transfers as t
        join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
        where s.state <> 'cancelled'
            and t.payout_transfer_id between p_from and p_to
            and s.payout_transfer_id between p_from and p_to
    ) as d
    full join payout.booked_states(p_from, p_to) as b using (payout_transfer_id)
    where d.place is distinct from b.place
    union all
    select payout_transfer_id, c.column_name, c.stored, c.told
    from payout.untold_outcomes(p_from, p_to) as u
    cross join lateral (values
        ('status', u.status, u.told_status),
        ('reversed_minor', u.reversed_minor::text, u.told_reversed_minor::text)
    ) as c (column_name, stored, told)
    where c.stored is distinct from c.told
    order by 1, 2
$$;
comment on function payout.check_projection(bigint, bigint) is
    'Part of payout_api.verify_projection().';
