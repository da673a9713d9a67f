-- expire_leases: close leases that ran out without a report.
--
-- A lease that ends further ahead than one lease was written by a clock that has since been set
-- back. The clock is read for each row: a claim after p_now is not ahead of it.
-- Locks: the transfers' progress rows, and their own, to which observations refer; skipping those
-- that a report has locked.

create or replace function payout.expire_leases(p_now timestamptz, p_limit integer)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return payout.record_expiries('lease_expired', array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        cross join payout.engine_settings as e
        where (s.lease_until < p_now
                or (s.lease_until > payout.clock() + 2 * e.lease_for and exists (
                    select from payout.transfer_attempts as a
                    where a.payout_transfer_id = s.payout_transfer_id
                        and a.generation = s.generation
                        and a.attempt = s.attempt
                        and a.claimed_at > payout.clock() + e.lease_for)))
        order by s.lease_until
        limit p_limit
        for update of s skip locked
        for key share of t skip locked));
end
$$;
comment on function payout.expire_leases(timestamptz, integer) is
    'Closes up to p_limit leases and returns how many: a transfer '
    'is due at once, or parked when its tries are used up.';
