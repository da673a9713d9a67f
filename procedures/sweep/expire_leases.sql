-- expire_leases: close leases that ran out without a report; their transfers become unknown.
--
-- A lease that ends further ahead than one lease was written by a clock that has since been set
-- back: the age of its key is unknown, so its transfer is parked. The clock is read for each row:
-- a claim after p_now is not ahead of it.
-- Locks: the transfers' progress rows, skipping those that a report has locked.

create or replace function payout.expire_leases(
    p_now timestamptz, p_limit integer, p_ids bigint[]
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_parked integer;
    v_expired integer;
begin
    with expired as (
        select s.payout_transfer_id, s.generation, s.attempt,
            case
                when s.lease_until > payout.clock() then 'clock_was_set_back'
                when s.tries + 1 >= e.max_tries then 'tries_used_up_worker_did_not_report'
                else 'worker_did_not_report'
            end as reason
        from payout.transfer_states as s
        cross join payout.engine_settings as e
        where (p_ids is null or s.payout_transfer_id = any (p_ids))
            and (s.lease_until < p_now
                or (s.lease_until > payout.clock() + 2 * e.lease_for and exists (
                    select from payout.transfer_attempts as a
                    where a.payout_transfer_id = s.payout_transfer_id
                        and a.generation = s.generation
                        and a.attempt = s.attempt
                        and a.claimed_at > payout.clock() + e.lease_for)))
        order by s.lease_until
        limit p_limit
        for update of s skip locked
    ), judged as (
        select x.*, case x.reason when 'worker_did_not_report' then 'unknown' else 'parked' end
            as to_state
        from expired as x
    ), observed as (
        insert into payout.transfer_observations (
            payout_transfer_id, generation, attempt, signal, verdict, moved_to, reason,
            error_rule_id, is_counted_try, has_unknown_send, next_attempt_at)
        select j.payout_transfer_id, j.generation, j.attempt, 'lease_expired', 'ok', j.to_state,
            j.reason, r.error_rule_id, true, true, case j.to_state when 'unknown' then p_now end
        from judged as j
        left join payout.stripe_error_rules as r on r.signal = 'lease_expired'
    ), moved as (
        update payout.transfer_states as s
        set state = j.to_state,
            lease_until = null,
            next_attempt_at = case j.to_state when 'unknown' then p_now end,
            tries = s.tries + 1,
            has_unknown_send = true,
            reason = j.reason,
            changed_at = p_now
        from judged as j
        where s.payout_transfer_id = j.payout_transfer_id
        returning s.state
    )
    select (count(*) filter (where m.state = 'parked'))::integer, count(*)::integer
    into v_parked, v_expired
    from moved as m;

    if v_parked > 0 then
        perform payout.notify_operators('transfers_parked', v_parked || ' by the sweep');
    end if;
    return v_expired;
end
$$;
comment on function payout.expire_leases(timestamptz, integer, bigint[]) is
    'Closes up to p_limit leases (of these transfers, if given) and returns how many: a transfer '
    'is due at once, or parked when its tries are used up.';
