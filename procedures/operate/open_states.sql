-- open_states: the rows of the transfers that are open, read from indexes only.
--
-- Called by: measure_transfers. Of each of five groups it returns p_limit rows at most, the oldest
-- first. The groups have no row in common and leave none out (payout.progress_problem).

create or replace function payout.open_states(p_limit integer)
returns setof payout.transfer_states
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    (select s.* from payout.transfer_states as s
        where s.next_attempt_at is not null and s.hold_id is null
            and s.state in ('scheduled', 'retry_wait', 'unknown')
        order by s.next_attempt_at limit p_limit)
    union all
    (select s.* from payout.transfer_states as s
        where s.hold_id is not null and s.state in ('scheduled', 'retry_wait', 'unknown')
        limit p_limit)
    union all
    (select s.* from payout.transfer_states as s where s.lease_until is not null limit p_limit)
    union all
    (select s.* from payout.transfer_states as s
        where s.state in ('parked', 'failed') order by s.changed_at limit p_limit)
    union all
    (select s.* from payout.account_waits as w
        join payout.transfer_states as s on s.payout_transfer_id = w.payout_transfer_id
        where w.next_look_at is not null and s.state = 'scheduled' and s.next_attempt_at is null
        limit p_limit)
$$;
comment on function payout.open_states(integer) is
    'Transfers that are scheduled, being sent, waiting, parked or failed.';
